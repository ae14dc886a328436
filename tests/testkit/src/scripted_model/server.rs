//! The HTTP side: takes requests, asks the script, writes the answer.

use std::collections::BTreeMap;
use std::convert::identity;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::post;
use futures::{Stream, TryStreamExt as _, stream};
use serde_json::Value;
use tokio::sync::oneshot;

use super::journal::{Journal, Pen};
use super::render::{self, Frame};
use super::{ModelRequest, Reply, Script, conversation, reply};

/// A conversation may be long.
const BODY_LIMIT_BYTES: usize = 64 * 1024 * 1024;

#[derive(Clone)]
struct Desk {
    journal: Journal,
    script: Arc<Script>,
}

pub(super) fn app(journal: Journal, script: Arc<Script>) -> Router {
    Router::new()
        .route("/v1/responses", post(respond))
        .fallback(unexpected)
        .with_state(Desk { journal, script })
}

/// Serves until told to stop; what is being answered then is broken off.
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

async fn unexpected(State(desk): State<Desk>, request: Request) -> Response {
    let violation = format!("unexpected request: {} {}", request.method(), request.uri());
    desk.journal.add_violation(violation.clone());
    plain(404, &[], violation)
}

async fn respond(State(desk): State<Desk>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let read = if desk.journal.reads_the_next() {
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
        Err(error) => return plain(400, &[], format!("the request did not arrive whole: {error}")),
    };
    let found = body.as_ref().map(conversation::violations).unwrap_or_default();
    let (request, pen) = desk.journal.open(|number| ModelRequest {
        number,
        headers: names_and_values(&parts.headers),
        body: body.unwrap_or_default(),
    });
    for violation in found {
        desk.journal
            .add_violation(format!("request {}: {violation}", request.number));
    }
    let Reply { status, headers, body } = (desk.script)(&request);
    match body {
        reply::Body::Plain(text) => {
            pen.answered();
            plain(status, &headers, text)
        }
        reply::Body::Stream { parts, end } => {
            let frames = render::frames(request.number, request.model(), &parts, &end);
            let mut response = Response::new(Body::from_stream(written(frames, pen)));
            *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
            put(
                response.headers_mut(),
                "content-type",
                "text/event-stream; charset=utf-8",
            );
            put(
                response.headers_mut(),
                "x-request-id",
                &format!("req_{}", request.number),
            );
            for (name, value) in &headers {
                put(response.headers_mut(), name, value);
            }
            response
        }
    }
}

/// The bytes of the stream. The pen is dropped with it, so the journal knows
/// when a client goes away.
fn written(frames: Vec<Frame>, pen: Pen) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let steps = stream::unfold((frames.into_iter(), pen), async |(mut frames, pen)| {
        let step = match frames.next().unwrap_or(Frame::End) {
            Frame::Event(event) => Some(Ok(sse(&event))),
            Frame::Hold(gate) => {
                gate.pass().await;
                None
            }
            Frame::Pause(pause) => {
                tokio::time::sleep(pause).await;
                None
            }
            Frame::Cut => {
                // Lets the connection write out what came before.
                tokio::task::yield_now().await;
                Some(Err(io::Error::other("cut by the script")))
            }
            Frame::End => {
                pen.answered();
                return None;
            }
        };
        Some((step, (frames, pen)))
    });
    futures::StreamExt::filter_map(steps, async |step| identity(step))
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
