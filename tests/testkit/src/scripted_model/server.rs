//! The HTTP server: receives requests, calls the script, writes the response.

use std::{collections::BTreeMap, convert::identity, io, net::TcpListener, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    response::Response,
    routing::post,
};
use futures::{Stream, TryStreamExt as _, stream};
use serde_json::Value;
use tokio::{sync::oneshot, time::Instant};

use super::{
    ModelRequest, Reply, Script,
    journal::{Journal, OpenCall},
    render::{self, Action},
    reply, validation,
};

/// For long conversations.
const BODY_LIMIT_BYTES: usize = 64 * 1024 * 1024;

#[derive(Clone)]
struct AppState {
    journal: Journal,
    script: Arc<Script>,
}

pub(super) fn app(journal: Journal, script: Arc<Script>) -> Router {
    Router::new()
        .route("/v1/responses", post(respond))
        .route("/v1/chat/completions", post(respond))
        .fallback(unexpected)
        .with_state(AppState { journal, script })
}

/// Serves until `stopped`. Then breaks off open responses.
pub(super) async fn serve(listener: TcpListener, app: Router, stopped: oneshot::Receiver<()>) {
    let served = async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        axum::serve(listener, app).await
    };
    tokio::select! {
        outcome = served => {
            if let Err(error) = outcome {
                tracing::error!("the scripted model ended: {error}");
            }
        }
        _ = stopped => {}
    }
}

async fn unexpected(State(app_state): State<AppState>, request: Request) -> Response {
    let violation = format!("unexpected request: {} {}", request.method(), request.uri());
    app_state.journal.add_violation(violation.clone());
    plain(404, &[], violation)
}

async fn respond(State(app_state): State<AppState>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let read = if app_state.journal.reads_next_body() {
        let bytes = axum::body::to_bytes(body, BODY_LIMIT_BYTES).await;
        bytes.map(|bytes| Some(serde_json::from_slice(&bytes).unwrap_or_default()))
    } else {
        body.into_data_stream()
            .try_for_each(async |_| Ok(()))
            .await
            .map(|()| None)
    };
    let body: Option<Value> = match read {
        Ok(body) => body,
        Err(error) => return plain(400, &[], format!("read the body of the request: {error}")),
    };
    let found = body.as_ref().map(validation::violations).unwrap_or_default();
    let (request, open_call) = app_state.journal.open(|number| ModelRequest {
        number,
        headers: names_and_values(&parts.headers),
        body: body.unwrap_or_default(),
    });
    for violation in found {
        app_state
            .journal
            .add_violation(format!("request {}: {violation}", request.number));
    }
    let Reply { status, headers, body } = (app_state.script)(&request);
    match body {
        reply::Body::Plain(text) => {
            open_call.completed();
            plain(status, &headers, text)
        }
        reply::Body::Raw(pieces) => {
            let actions = pieces.into_iter().map(Action::from).collect();
            streamed(status, &headers, request.number, body_of(actions, open_call))
        }
        reply::Body::Stream { parts, end } => {
            let actions = render::actions(request.number, request.model(), &parts, &end);
            streamed(status, &headers, request.number, body_of(actions, open_call))
        }
    }
}

fn streamed(
    status: u16,
    headers: &[(String, String)],
    number: usize,
    body: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
) -> Response {
    let mut response = Response::new(Body::from_stream(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    put(
        response.headers_mut(),
        "content-type",
        "text/event-stream; charset=utf-8",
    );
    put(response.headers_mut(), "x-request-id", &format!("req_{number}"));
    for (name, value) in headers {
        put(response.headers_mut(), name, value);
    }
    response
}

/// A stream that is later than this does not catch up.
const MOST_BEHIND: Duration = Duration::from_secs(1);

/// The bytes of the stream. `open_call` is dropped with the stream, so the journal
/// records when the client disconnects.
fn body_of(actions: Vec<Action>, open_call: OpenCall) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let begin = (actions.into_iter(), open_call, None);
    let chunks = stream::unfold(begin, async |(mut actions, open_call, mut paused_until)| {
        let chunk = match actions.next().unwrap_or(Action::End) {
            Action::Event(event) => Some(Ok(sse(&event))),
            Action::Bytes(bytes) => Some(Ok(bytes.into())),
            Action::Hold(gate) => {
                gate.pass().await;
                paused_until = None;
                None
            }
            Action::Pause(pause) => {
                // From where the last pause was to end: what timers and writes take on top must not add up.
                let now = Instant::now();
                let last = paused_until.filter(|last| now.duration_since(*last) < MOST_BEHIND);
                let until = last.unwrap_or(now) + pause;
                tokio::time::sleep_until(until).await;
                paused_until = Some(until);
                None
            }
            Action::Cut => {
                // Lets the connection write the earlier chunks.
                tokio::task::yield_now().await;
                Some(Err(io::Error::other("cut by the script")))
            }
            Action::End => {
                open_call.completed();
                return None;
            }
        };
        Some((chunk, (actions, open_call, paused_until)))
    });
    futures::StreamExt::filter_map(chunks, async |chunk| identity(chunk))
}

fn sse(event: &Value) -> Bytes {
    let kind = event["type"].as_str().unwrap_or("message");
    Bytes::from(format!("event: {kind}\ndata: {event}\n\n"))
}

fn plain(status: u16, headers: &[(String, String)], text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers {
        put(response.headers_mut(), name, value);
    }
    response
}

fn put(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (name.parse::<http::HeaderName>(), value.parse()) {
        headers.insert(name, value);
    }
}

fn names_and_values(headers: &HeaderMap) -> BTreeMap<String, String> {
    let pairs = headers.iter();
    pairs
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}
