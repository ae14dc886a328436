//! A model server that answers every contestant alike: the same deltas at the same pace, each with the time at which
//! it was sent.
//!
//! The message says how much work a run is ([`Work`]). The server asks for the tool as often as the message says, then
//! streams the answer. It keeps no bodies, so that long conversations do not fill its memory.

mod answer;
mod calls;
mod work;

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::post,
};
use futures::{Stream, stream};
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use super::{local_server::LocalServer, stamps};
use answer::TextAnswer;
use calls::{Calls, OpenCall};

pub(super) use calls::Repeated;
pub(super) use work::Work;

/// The name of the only tool that the model asks for.
pub(super) const TOOL: &str = "look_up";

/// One server. It ends when the value is dropped.
#[derive(Debug)]
pub(super) struct PacedModel {
    server: LocalServer,
    calls: Arc<Calls>,
}

impl PacedModel {
    pub(super) fn start() -> anyhow::Result<Self> {
        let calls = Arc::new(Calls::default());
        let app = Router::new()
            .route("/v1/responses", post(respond))
            // A conversation of 200k tokens.
            .layer(axum::extract::DefaultBodyLimit::max(64 * 1024 * 1024))
            .with_state(calls.clone());
        let server = LocalServer::start("paced model", app)?;
        Ok(Self { server, calls })
    }

    /// The value for `model.baseUrl` and `OPENAI_BASE_URL`: `http://<address>:<port>/v1`.
    pub(super) fn base_url(&self) -> String {
        format!("{}/v1", self.server.url())
    }

    /// When the requests of a run have arrived.
    pub(super) fn arrivals(&self, run: &str) -> Vec<std::time::Instant> {
        self.calls.arrivals(run)
    }

    /// All requests so far.
    pub(super) fn requests(&self) -> usize {
        self.calls.requests()
    }

    /// The requests whose like had been answered to the last byte before.
    pub(super) fn repeated(&self) -> Vec<Repeated> {
        self.calls.repeated()
    }
}

async fn respond(State(calls): State<Arc<Calls>>, body: Bytes) -> Response {
    let Ok(request) = serde_json::from_slice::<Value>(&body) else {
        return (StatusCode::BAD_REQUEST, "the body is not JSON").into_response();
    };
    let Some(work) = work::of_request(&request) else {
        return (
            StatusCode::BAD_REQUEST,
            "no message of the user says how much work this is",
        )
            .into_response();
    };
    let call = Calls::open(&calls, &work.run, &body);
    let number = call.number();
    let stream = match work::step(&request, &work) {
        Some(step) => Body::from_stream(whole(answer::call(number, &work, step), call)),
        None => Body::from_stream(paced(TextAnswer::new(number), &work, call)),
    };
    ([("content-type", "text/event-stream; charset=utf-8")], stream).into_response()
}

/// One chunk.
fn whole(chunk: Bytes, call: OpenCall) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    stream::unfold((Some(chunk), call), async |(chunk, call)| {
        let Some(chunk) = chunk else {
            call.completed();
            return None;
        };
        Some((Ok(chunk), (None, call)))
    })
}

/// The start, one chunk per delta, the end.
fn paced(
    answer: TextAnswer,
    work: &Work,
    call: OpenCall,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + use<> {
    let (deltas, pace) = (work.deltas, Duration::from_millis(u64::from(work.pace_ms)));
    let state = (answer, call, 0_u32, Instant::now());
    stream::unfold(state, move |(mut answer, call, sent, started)| async move {
        let chunk = if sent == 0 {
            answer.start()
        } else if sent <= deltas {
            // From the start of the answer, so that a late delta does not delay the rest.
            sleep_until(started + pace * sent).await;
            answer.delta(&stamps::now())
        } else if sent == deltas + 1 {
            answer.end()
        } else {
            call.completed();
            return None;
        };
        Some((Ok(chunk), (answer, call, sent + 1, started)))
    })
}
