//! The HTTP surface of the stand-in.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
    routing::post,
};
use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use serde_json::{Value, json};

use crate::{
    conversation::Conversation,
    fixtures::Fixtures,
    render::{self, Timed},
};

const EVENT_STREAM: &str = "text/event-stream; charset=utf-8";

struct StandIn {
    fixtures: Fixtures,
    /// The number of responses so far.
    responses: AtomicU64,
}

/// `POST /v1/responses` and `POST /v1/chat/completions`. Requests without `stream: true` are refused.
pub fn router(fixtures: Fixtures) -> Router {
    let stand_in = StandIn {
        fixtures,
        responses: AtomicU64::new(0),
    };
    Router::new()
        .route("/v1/responses", post(responses))
        .route("/v1/chat/completions", post(chat))
        .with_state(Arc::new(stand_in))
}

async fn responses(State(stand_in): State<Arc<StandIn>>, Json(body): Json<Value>) -> Response {
    if let Some(refused) = refuse_unstreamed(&body) {
        return refused;
    }
    let answer = stand_in.fixtures.answer(&Conversation::of_responses(&body));
    let events = render::responses(&stand_in.next_id("resp"), model(&body), &answer);
    // Clients look at the name of the event or at `type`.
    let named = |data: &Value| format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or_default());
    event_stream(events, named, "")
}

async fn chat(State(stand_in): State<Arc<StandIn>>, Json(body): Json<Value>) -> Response {
    if let Some(refused) = refuse_unstreamed(&body) {
        return refused;
    }
    let answer = stand_in.fixtures.answer(&Conversation::of_chat(&body));
    let events = render::chat(&stand_in.next_id("chatcmpl"), model(&body), &answer);
    event_stream(events, |data| format!("data: {data}\n\n"), "data: [DONE]\n\n")
}

impl StandIn {
    fn next_id(&self, prefix: &str) -> String {
        format!("{prefix}_{}", self.responses.fetch_add(1, Ordering::Relaxed))
    }
}

fn model(body: &Value) -> &str {
    body["model"].as_str().unwrap_or_default()
}

fn refuse_unstreamed(body: &Value) -> Option<Response> {
    if body["stream"] == true {
        return None;
    }
    let message = "this stand-in for a model answers with a stream only: set stream to true";
    let error = json!({"error": {"type": "invalid_request_error", "message": message}});
    Some((StatusCode::BAD_REQUEST, Json(error)).into_response())
}

fn event_stream(events: Vec<Timed>, frame: impl Fn(&Value) -> String, last: &'static str) -> Response {
    let frames: Vec<(Timed, Bytes)> = events
        .into_iter()
        .map(|event| {
            let frame = Bytes::from(frame(&event.data));
            (event, frame)
        })
        .collect();
    let body = Body::from_stream(paced(frames).chain(stream::iter([Ok(Bytes::from_static(last.as_bytes()))])));
    ([(CONTENT_TYPE, EVENT_STREAM)], body).into_response()
}

fn paced(frames: Vec<(Timed, Bytes)>) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    stream::iter(frames).then(async |(event, frame)| {
        if !event.pause.is_zero() {
            tokio::time::sleep(event.pause).await;
        }
        Ok(frame)
    })
}
