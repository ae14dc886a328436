//! A connection to one server for one operation: which protocol it speaks, its session,
//! and requests with their answers. A request that is given up is cancelled at the server.

mod exchange;

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};
use steadfast_contract::mcp::McpInputRequest;
use tokio::time::timeout;

use self::exchange::Exchange;
use super::{
    elicitation::{self, Elicitations},
    error::McpError,
    http::{Reply, SESSION, Wire, rpc_error},
    param_headers,
};

/// The protocol without sessions.
const NEWEST: &str = "2026-07-28";
/// The protocols with a handshake, the newest first. A server answers with the one that it speaks; one that refuses
/// instead is asked for the next.
const OLDER: [&str; 3] = ["2025-11-25", "2025-06-18", "2025-03-26"];
/// Limit for asking a server for its protocols. Servers from before that question may never answer it.
const DISCOVER_TIMEOUT: Duration = Duration::from_secs(2);
/// Limit for a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Limit for cancelling a request and for ending a session: nobody waits for it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

const PROTOCOL_VERSION: &str = "mcp-protocol-version";
const LAST_EVENT_ID: &str = "last-event-id";
/// Headers that are the protocol's own.
const RESERVED: [&str; 5] = ["accept", "content-type", SESSION, PROTOCOL_VERSION, LAST_EVENT_ID];

/// Which protocol a server speaks, from the operation before.
#[derive(Debug, Default)]
pub(super) struct ProtocolMemory(Mutex<Option<Spoken>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spoken {
    Newest,
    /// The version that the handshake offers.
    Older(&'static str),
}

impl ProtocolMemory {
    fn get(&self) -> Option<Spoken> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, spoken: Option<Spoken>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = spoken;
    }

    /// The server refused the version: ask again.
    pub(super) fn forget(&self) {
        self.set(None);
    }
}

/// The outcome of a request that the server answered.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// What it is has no fixed form. A text is an answer that is no JSON.
    Result(Value),
    /// A server of an older protocol asks a person, and its request stays open.
    Question(McpInputRequest),
}

#[derive(Clone)]
enum Protocol {
    Newest,
    Older {
        version: Option<HeaderValue>,
        session: Option<HeaderValue>,
    },
}

/// The server as it speaks.
#[derive(Clone)]
struct Peer {
    wire: Wire,
    protocol: Protocol,
}

/// An open connection.
pub(super) struct Connection {
    peer: Peer,
    next_id: u64,
    /// The request that the server may still work on.
    open: Option<u64>,
}

/// A request, without what the protocol adds.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) params: Map<String, Value>,
    /// Headers of this request alone.
    pub(super) headers: HeaderMap,
}

impl Connection {
    /// Opens a connection in the protocol that the server spoke before, or asks for it.
    pub(super) async fn open(wire: Wire, memory: &ProtocolMemory) -> Result<Self, McpError> {
        if let Some(name) = RESERVED.iter().find(|name| wire.address.headers.contains_key(**name)) {
            return Err(McpError::Denied(format!(
                "the header {name:?} is reserved for the protocol; remove it from the tool"
            )));
        }
        match memory.get() {
            Some(Spoken::Newest) => return Ok(Self::new(wire, Protocol::Newest)),
            Some(Spoken::Older(version)) => match Self::shake_hands(wire.clone(), &[version]).await {
                Err(error) if !error.is_final() => memory.forget(),
                opened => return opened.map(|(connection, _)| connection),
            },
            None => {}
        }
        match Self::discover(&wire).await {
            Ok(true) => {
                memory.set(Some(Spoken::Newest));
                return Ok(Self::new(wire, Protocol::Newest));
            }
            Err(error) if error.is_final() => return Err(error),
            // Servers of older protocols answer a question that they do not know in every way there is.
            Ok(false) | Err(_) => {}
        }
        let (connection, offered) = Self::shake_hands(wire, &OLDER).await?;
        memory.set(Some(Spoken::Older(offered)));
        Ok(connection)
    }

    fn new(wire: Wire, protocol: Protocol) -> Self {
        Self {
            peer: Peer { wire, protocol },
            next_id: 1,
            open: None,
        }
    }

    /// Whether the server speaks the newest protocol.
    async fn discover(wire: &Wire) -> Result<bool, McpError> {
        let mut connection = Self::new(wire.clone(), Protocol::Newest);
        let request = Request {
            method: "server/discover",
            params: Map::new(),
            headers: HeaderMap::new(),
        };
        let asked = timeout(DISCOVER_TIMEOUT, connection.request(request, &Elicitations::default())).await;
        // A server that does not know the question has nothing to cancel.
        connection.open = None;
        let answer = asked.unwrap_or_else(|_| Err(McpError::Broken("it is late".to_owned())))?;
        let Answer::Result(result) = answer else {
            return Ok(false);
        };
        let versions = result["supportedVersions"].as_array();
        Ok(versions.is_some_and(|versions| versions.iter().any(|version| version == NEWEST)))
    }

    /// Begins a session in one of these versions; returns the one that was offered.
    async fn shake_hands(wire: Wire, versions: &[&'static str]) -> Result<(Self, &'static str), McpError> {
        let mut failure = McpError::Broken("there is no version to offer".to_owned());
        for version in versions {
            let shaken = timeout(HANDSHAKE_TIMEOUT, Self::initialize(wire.clone(), version)).await;
            match shaken.unwrap_or_else(|_| Err(McpError::Broken(late(HANDSHAKE_TIMEOUT)))) {
                Ok(connection) => return Ok((connection, version)),
                Err(McpError::Rpc { code, message }) if message.to_ascii_lowercase().contains("version") => {
                    failure = McpError::Rpc { code, message };
                }
                Err(error) => return Err(error),
            }
        }
        Err(failure)
    }

    async fn initialize(wire: Wire, version: &str) -> Result<Self, McpError> {
        let older = Protocol::Older {
            version: None,
            session: None,
        };
        let mut connection = Self::new(wire, older);
        let peer = &mut connection.peer;
        let params = json!({
            "protocolVersion": version,
            "capabilities": elicitation::capabilities(),
            "clientInfo": client_info(),
        });
        let message = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
        let Reply { session, mut messages } = peer.wire.post(&message, HeaderMap::new()).await?;
        let result = loop {
            match messages.next().await? {
                Some(message) if message.get("method").is_some() => {}
                Some(message) => match (rpc_error(&message), message.get("result")) {
                    (Some(error), _) => return Err(error),
                    (None, Some(result)) => break result.clone(),
                    (None, None) => return Err(McpError::Unreadable("to the handshake".to_owned())),
                },
                None => return Err(McpError::Unreadable("nothing to the handshake".to_owned())),
            }
        };
        let version = result["protocolVersion"]
            .as_str()
            .and_then(|version| HeaderValue::from_str(version).ok());
        peer.protocol = Protocol::Older { version, session };
        // Nothing depends on the answer, and some servers refuse what they need not answer.
        match peer.notify("notifications/initialized", Map::new()).await {
            Err(error) if error.is_final() => Err(error),
            _ => Ok(connection),
        }
    }

    /// Sends a request and waits for its answer.
    pub(super) async fn request(
        &mut self,
        request: Request<'_>,
        elicitations: &Elicitations,
    ) -> Result<Answer, McpError> {
        let id = self.next_id;
        self.next_id += 1;
        let headers = self.peer.headers(&request);
        let params = self.peer.params(request.params);
        let message = json!({"jsonrpc": "2.0", "id": id, "method": request.method, "params": params});
        self.open = Some(id);
        let exchange = Exchange {
            peer: &self.peer,
            id,
            elicitations,
        };
        let answer = exchange.answer(&message, headers, request.method).await;
        let is_open = match &answer {
            Ok(Answer::Result(_)) => false,
            Ok(Answer::Question(_)) => true,
            Err(error) => error.may_have_acted(),
        };
        if !is_open {
            self.open = None;
        }
        answer
    }
}

impl Peer {
    async fn notify(&self, method: &str, params: Map<String, Value>) -> Result<(), McpError> {
        let request = Request {
            method,
            params,
            headers: HeaderMap::new(),
        };
        let headers = self.headers(&request);
        let params = self.params(request.params);
        let message = json!({"jsonrpc": "2.0", "method": method, "params": params});
        self.wire.post(&message, headers).await.map(drop)
    }

    fn params(&self, mut params: Map<String, Value>) -> Map<String, Value> {
        if let Protocol::Newest = self.protocol {
            let meta = params.entry("_meta").or_insert_with(|| json!({}));
            meta["io.modelcontextprotocol/protocolVersion"] = json!(NEWEST);
            meta["io.modelcontextprotocol/clientInfo"] = client_info();
            meta["io.modelcontextprotocol/clientCapabilities"] = elicitation::capabilities();
        }
        params
    }

    fn headers(&self, request: &Request<'_>) -> HeaderMap {
        let mut headers = request.headers.clone();
        let mut insert = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        match &self.protocol {
            Protocol::Newest => {
                insert(PROTOCOL_VERSION, NEWEST);
                insert("mcp-method", request.method);
                if let Some(name) = request.params.get("name").and_then(Value::as_str) {
                    insert("mcp-name", &param_headers::encoded(name));
                }
            }
            Protocol::Older { .. } => headers.extend(self.session_headers()),
        }
        headers
    }

    /// The headers of every message of a session.
    fn session_headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Protocol::Older { version, session } = &self.protocol {
            let named = [(PROTOCOL_VERSION, version), (SESSION, session)];
            for (name, value) in named {
                if let Some(value) = value {
                    headers.insert(HeaderName::from_static(name), value.clone());
                }
            }
        }
        headers
    }

    fn has_session(&self) -> bool {
        matches!(&self.protocol, Protocol::Older { session: Some(_), .. })
    }

    /// Cancels the open request and ends the session.
    async fn close(self, open: Option<u64>) {
        if let Some(id) = open {
            let mut params = Map::new();
            params.insert("requestId".to_owned(), json!(id));
            params.insert("reason".to_owned(), json!("the caller does not wait for the answer"));
            if let Err(error) = self.notify("notifications/cancelled", params).await {
                tracing::debug!(?error, "request of an MCP server not cancelled");
            }
        }
        if self.has_session()
            && let Err(error) = self.wire.delete(self.session_headers()).await
        {
            tracing::debug!(?error, "session of an MCP server not ended");
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let open = self.open.take();
        if open.is_none() && !self.peer.has_session() {
            return;
        }
        let closing = self.peer.clone().close(open);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(timeout(CLOSE_TIMEOUT, closing));
        }
    }
}

fn client_info() -> Value {
    json!({"name": "steadfast", "version": env!("CARGO_PKG_VERSION")})
}

pub(super) fn late(limit: Duration) -> String {
    format!("{} s are over", limit.as_secs_f32())
}
