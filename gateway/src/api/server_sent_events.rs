//! Responses of server-sent events: the headers, and what keeps proxies from closing a quiet one.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderName, HeaderValue, header},
    response::{
        IntoResponse as _, Response,
        sse::{Event, Sse},
    },
};
use futures::{Stream, StreamExt as _};
use tokio::time::timeout;

/// A stream that is silent for this long gets a comment.
const PING: Duration = Duration::from_secs(15);

/// A comment (HTML Standard, section 9.2.6). It ends with one newline: after an event with an id,
/// agentex-client 0.28 takes every empty line for an event, and fails on one without data
/// (`findings/agentex-client-comment-events.sh`).
const COMMENT: Bytes = Bytes::from_static(b": ping\n");

/// A response that is open for as long as there are events.
pub(super) fn response(events: impl Stream<Item = Event> + Send + 'static) -> Response {
    let mut response = Sse::new(events.map(Ok::<_, Infallible>))
        .into_response()
        .map(|body| with_keep_alive(body, PING));
    let headers = response.headers_mut();
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-transform"),
    );
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    response
}

/// Sends a comment whenever the body has been silent for this long. Each chunk of the body must be
/// a whole event.
fn with_keep_alive(body: Body, interval: Duration) -> Body {
    Body::from_stream(async_stream::stream! {
        let mut events = body.into_data_stream();
        loop {
            match timeout(interval, events.next()).await {
                Ok(Some(event)) => yield event,
                Ok(None) => break,
                Err(_) => yield Ok(COMMENT),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    #[tokio::test]
    async fn a_silent_stream_sends_comments_that_end_with_one_newline() {
        let silent = Body::from_stream(stream::pending::<Result<Bytes, axum::Error>>());
        let mut chunks = with_keep_alive(silent, Duration::from_millis(1)).into_data_stream();
        for _ in 0..2 {
            assert_eq!(chunks.next().await.unwrap().unwrap(), ": ping\n");
        }
    }

    #[tokio::test]
    async fn events_pass_unchanged_and_the_stream_ends_with_them() {
        let events = Body::from_stream(stream::iter([Ok::<_, axum::Error>("data: 1\n\n")]));
        let chunks = with_keep_alive(events, Duration::from_secs(15)).into_data_stream();
        let chunks: Vec<Bytes> = chunks.map(Result::unwrap).collect().await;
        assert_eq!(chunks, ["data: 1\n\n"]);
    }
}
