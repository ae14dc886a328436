//! Reads server-sent events from the body of a response. The crate `sse-stream`
//! parses them; this module limits how long the connection may be silent. It
//! does not reconnect and does not interpret events.

use std::error::Error;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use sse_stream::{Sse, SseByteStream};

/// The gateway sends a comment every 15 s. A connection that is silent for longer than this is dead.
pub(super) const SILENCE_LIMIT: Duration = Duration::from_secs(45);

/// The events of a body, until the body ends, an error ends it, or no byte came for `silence_limit`.
///
/// A comment is not an event, but it counts as a sign of life. An `id` belongs
/// to its own event only: the caller keeps the last one.
pub(super) fn events<E>(
    body: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    silence_limit: Duration,
) -> impl Stream<Item = Result<Sse, sse_stream::Error>> + Unpin
where
    E: Error + Send + Sync + 'static,
{
    SseByteStream::new(limit_silence(body, silence_limit).boxed())
}

fn limit_silence<E>(
    body: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    limit: Duration,
) -> impl Stream<Item = io::Result<Bytes>>
where
    E: Error + Send + Sync + 'static,
{
    stream::unfold(Box::pin(body), move |mut body| async move {
        let bytes = match tokio::time::timeout(limit, body.next()).await {
            Ok(next) => next?.map_err(io::Error::other),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("the gateway sent nothing for {} s", limit.as_secs()),
            )),
        };
        Some((bytes, body))
    })
}

#[cfg(test)]
mod tests;
