//! An MCP server in this process whose answers a script writes, byte by byte if it
//! must: it says what servers in use say and no SDK would. Records the requests.

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
};

const WAIT: Duration = Duration::from_secs(20);
const BODY_LIMIT_BYTES: usize = 16 << 20;

/// A request as the server got it.
#[derive(Clone, Debug)]
pub struct McpRequest {
    /// `POST`, `GET` or `DELETE`.
    pub http_method: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: Value,
}

impl McpRequest {
    /// The JSON-RPC method; empty if there is none.
    #[must_use]
    pub fn method(&self) -> &str {
        self.body["method"].as_str().unwrap_or_default()
    }

    /// An answer with this result.
    #[must_use]
    pub fn result(&self, result: &Value) -> McpReply {
        self.answer("result", result)
    }

    /// An answer with a JSON-RPC error.
    #[must_use]
    pub fn error(&self, code: i64, message: &str) -> McpReply {
        self.answer("error", &json!({"code": code, "message": message}))
    }

    fn answer(&self, member: &str, value: &Value) -> McpReply {
        let answer = json!({"jsonrpc": "2.0", "id": self.body["id"], member: value});
        McpReply::json(200, &answer)
    }
}

/// What the server answers.
#[derive(Clone, Debug)]
pub struct McpReply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub end: End,
}

/// What happens after the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Complete,
    /// The answer stays open.
    StaysOpen,
    /// Not even the status arrives.
    Never,
    /// The connection breaks.
    Breaks,
}

impl McpReply {
    /// A JSON body.
    #[must_use]
    pub fn json(status: u16, body: &Value) -> Self {
        Self::text(status, "application/json", &body.to_string())
    }

    /// A body of any type.
    #[must_use]
    pub fn text(status: u16, media_type: &str, body: &str) -> Self {
        Self {
            status,
            headers: vec![("content-type".to_owned(), media_type.to_owned())],
            body: body.as_bytes().to_vec(),
            end: End::Complete,
        }
    }

    /// An event stream, as text.
    #[must_use]
    pub fn events(body: &str) -> Self {
        Self::text(200, "text/event-stream", body)
    }

    /// No body.
    #[must_use]
    pub fn empty(status: u16) -> Self {
        Self {
            headers: Vec::new(),
            ..Self::text(status, "", "")
        }
    }

    /// No answer at all.
    #[must_use]
    pub fn never() -> Self {
        Self::empty(200).ending(End::Never)
    }

    /// The same in a content coding: `encode` makes the bytes.
    #[must_use]
    pub fn coded(self, coding: &str, encode: impl FnOnce(&[u8]) -> Vec<u8>) -> Self {
        let body = encode(&self.body);
        Self { body, ..self }.header("content-encoding", coding)
    }

    #[must_use]
    pub fn ending(self, end: End) -> Self {
        Self { end, ..self }
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

type Script = dyn Fn(&McpRequest) -> McpReply + Send + Sync;

/// A running server. It ends when the value is dropped.
pub struct ScriptedMcp {
    address: SocketAddr,
    state: Arc<Shared>,
    _stop: oneshot::Sender<()>,
}

struct Shared {
    script: Box<Script>,
    requests: Mutex<Vec<McpRequest>>,
    /// How many answers the client has given up.
    given_up: Mutex<usize>,
    changed: watch::Sender<()>,
}

impl fmt::Debug for ScriptedMcp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ScriptedMcp")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl ScriptedMcp {
    /// Starts a server on a free port of 127.0.0.1.
    pub async fn start(script: impl Fn(&McpRequest) -> McpReply + Send + Sync + 'static) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Shared {
            script: Box::new(script),
            requests: Mutex::default(),
            given_up: Mutex::default(),
            changed: watch::Sender::new(()),
        });
        let app = Router::new().fallback(answer).with_state(Arc::clone(&state));
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(async move {
            tokio::select! {
                _ = async { axum::serve(listener, app).await } => {}
                _ = stopped => {}
            }
        });
        Ok(Self {
            address,
            state,
            _stop: stop,
        })
    }

    /// The value for an AgentTool's `mcp.url`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// All requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<McpRequest> {
        lock(&self.state.requests).clone()
    }

    /// The requests with this JSON-RPC method.
    #[must_use]
    pub fn of(&self, method: &str) -> Vec<McpRequest> {
        let mut requests = self.requests();
        requests.retain(|request| request.method() == method);
        requests
    }

    /// How many answers the client has given up before their end.
    #[must_use]
    pub fn given_up(&self) -> usize {
        *lock(&self.state.given_up)
    }

    /// Waits until the server has seen what `condition` says.
    pub async fn until(&self, condition: impl Fn(&Self) -> bool) -> anyhow::Result<()> {
        let mut changed = self.state.changed.subscribe();
        let seen = async {
            while !condition(self) {
                changed.changed().await?;
            }
            Ok(())
        };
        tokio::time::timeout(WAIT, seen)
            .await
            .with_context(|| format!("the server has only seen {:#?}", self.requests()))?
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts an answer that is dropped before its end.
struct Watched(Option<Arc<Shared>>);

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(state) = self.0.take() {
            *lock(&state.given_up) += 1;
            state.changed.send_replace(());
        }
    }
}

async fn answer(State(state): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, BODY_LIMIT_BYTES).await.unwrap_or_default();
    let headers = parts.headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.to_string(), value)
    });
    let request = McpRequest {
        http_method: parts.method.to_string(),
        path: parts.uri.to_string(),
        headers: headers.collect(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    lock(&state.requests).push(request.clone());
    state.changed.send_replace(());
    let reply = (state.script)(&request);
    if reply.end == End::Never {
        let _watched = Watched(Some(state));
        return futures::future::pending().await;
    }
    let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from(reply.body))]);
    let body = match reply.end {
        End::Complete | End::Never => Body::from_stream(first),
        End::Breaks => Body::from_stream(first.chain(stream::iter([Err(std::io::Error::other("broken off"))]))),
        End::StaysOpen => {
            let watched = Watched(Some(state));
            let open = stream::once(async move {
                let _watched = watched;
                futures::future::pending().await
            });
            Body::from_stream(first.chain(open))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in &reply.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<http::HeaderName>(), value.parse::<http::HeaderValue>()) {
            response.headers_mut().append(name, value);
        }
    }
    response
}
