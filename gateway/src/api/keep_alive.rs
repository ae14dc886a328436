//! Responses that stay open while there is nothing to send: bytes that mean nothing keep clients and proxies from
//! closing them, and headers keep proxies from holding the bytes back.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    http::{HeaderName, HeaderValue, header},
    response::Response,
};
use futures::StreamExt as _;
use tokio::time::{Instant, sleep};

/// How long a stream may be silent.
pub(super) const PING: Duration = Duration::from_secs(15);

/// Sends the filler whenever the body has been silent for this long. Wherever a chunk of the body ends, the format must
/// allow the filler.
pub(super) fn kept_alive(response: Response, interval: Duration, filler: Bytes) -> Response {
    let mut response = response.map(|body| filled(body, interval, filler));
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

fn filled(body: Body, interval: Duration, filler: Bytes) -> Body {
    Body::from_stream(async_stream::stream! {
        let mut chunks = body.into_data_stream();
        // One timer for the whole stream: to set it on costs nothing, and a new one for each chunk a lock.
        let mut silence = std::pin::pin!(sleep(interval));
        loop {
            let chunk = tokio::select! {
                biased;
                chunk = chunks.next() => chunk,
                () = silence.as_mut() => Some(Ok(filler.clone())),
            };
            let Some(chunk) = chunk else { break };
            silence.as_mut().reset(Instant::now() + interval);
            yield chunk;
        }
    })
}
