//! How each binding writes a result, an error, and the events of a stream.

use std::{convert::Infallible, pin::Pin, time::Duration};

use a2a_types::{JsonRpcId, JsonRpcResponse, StreamResponse};
use axum::{
    Json,
    body::{Body, Bytes},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response, sse::Event as SseEvent},
};
use futures::{Stream, StreamExt as _};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::operations::Following;
use crate::{
    a2a::{errors::Described, turn::Artifacts},
    api::{keep_alive::kept_alive, server_sent_events::response_with_ping, turn::take_in},
    error::{ApiError, Failure, with_body},
    follow::Update,
    turn_writer::TurnWriter as _,
};

/// After so long without a byte the client hears from us: that of python gives up after 5 s.
const KEEP_ALIVE: Duration = Duration::from_secs(3);
/// JSON may begin with it.
const SPACE: Bytes = Bytes::from_static(b" ");
const A2A_JSON: HeaderValue = HeaderValue::from_static("application/a2a+json");

/// A binding of A2A.
#[derive(Clone, Debug)]
pub(super) enum Binding {
    /// JSON-RPC, for the request with this id.
    Rpc(JsonRpcId),
    Http,
}

impl Binding {
    pub(super) fn result(&self, result: Value) -> Response {
        let mut response = Json(self.body(result)).into_response();
        self.label(&mut response);
        response
    }

    /// JSON-RPC has its errors in bodies of status 200; a client would not read another.
    pub(super) fn failure(&self, error: &ApiError) -> Response {
        let mut response = error.respond_with(());
        let Some(failure) = response.extensions_mut().remove::<Failure>() else {
            return response;
        };
        let status = match self {
            Self::Rpc(_) => StatusCode::OK,
            Self::Http => error.status,
        };
        self.enclosed(&failure, &response, status)
    }

    /// The error of a response, in the words of the binding.
    pub(super) fn enclosed(&self, failure: &Failure, response: &Response, status: StatusCode) -> Response {
        let error = Described::new(response.status(), &failure.message, failure.code, failure.param);
        let mut enclosed = with_body(response, status, self.error(&error));
        self.label(&mut enclosed);
        enclosed
    }

    /// The task when it has ended, or waits for a person. Until then the client is kept from giving up.
    pub(super) async fn when_settled(self, mut following: Following, history_length: Option<usize>) -> Response {
        match timeout(KEEP_ALIVE, following.wait()).await {
            Ok(Ok(())) => return self.result(task(&following, history_length)),
            Ok(Err(error)) => return self.failure(&error),
            Err(_) => {}
        }
        let label = self.clone();
        let body = Body::from_stream(async_stream::stream! {
            yield Ok::<_, Infallible>(SPACE);
            // The status is on its way: where the wait ends early, the client gets the task as it is.
            let _ = following.wait().await;
            yield Ok(Bytes::from(self.body(task(&following, history_length)).to_string()));
        });
        let mut response = kept_alive(Response::new(body), KEEP_ALIVE, SPACE);
        label.label(&mut response);
        response
    }

    /// The events of a task from now on, to its end or until it waits for a person. The first one is the task as it is.
    pub(super) fn stream(self, following: Following) -> Response {
        response_with_ping(self.events(following), KEEP_ALIVE)
    }

    fn events(self, mut following: Following) -> Pin<Box<dyn Stream<Item = SseEvent> + Send>> {
        Box::pin(async_stream::stream! {
            let begin = following.turn.begin();
            yield self.event(&begin);
            while !following.turn.has_ended() {
                let Some(update) = following.updates.next().await else { return };
                if let Update::Error(reason) = &update {
                    yield self.error_event(reason);
                    return;
                }
                let events = take_in(&mut following.turn, update);
                for event in &events {
                    yield self.event(event);
                }
                let has_changed = events.iter().any(|event| matches!(event, StreamResponse::StatusUpdate(_)));
                if has_changed && following.is_settled() {
                    return;
                }
            }
        })
    }

    fn event(&self, event: &StreamResponse) -> SseEvent {
        SseEvent::default().data(self.body(json!(event)).to_string())
    }

    /// The stream ends early; the client subscribes again, and is told why it cannot.
    fn error_event(&self, reason: &str) -> SseEvent {
        let error = Described::new(StatusCode::SERVICE_UNAVAILABLE, reason, None, None);
        SseEvent::default().event("error").data(self.error(&error).to_string())
    }

    fn body(&self, result: Value) -> Value {
        match self {
            Self::Rpc(id) => json!(JsonRpcResponse::success(id.clone(), result)),
            Self::Http => result,
        }
    }

    fn error(&self, error: &Described<'_>) -> Value {
        match self {
            Self::Rpc(id) => json!(JsonRpcResponse::error(id.clone(), error.of_rpc())),
            Self::Http => error.of_http(),
        }
    }

    fn label(&self, response: &mut Response) {
        let kind = match self {
            Self::Rpc(_) => HeaderValue::from_static("application/json"),
            Self::Http => A2A_JSON,
        };
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
}

fn task(following: &Following, history_length: Option<usize>) -> Value {
    json!({"task": following.turn.task(history_length, Artifacts::Shown)})
}
