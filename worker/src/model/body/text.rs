//! The text of a body: decoded, in its charset, with a limit and with the timeout
//! for silence.

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, stream::BoxStream};
use reqwest::Response;
use steadfast_process::ErrorChain;

use crate::{
    egress::body_decoder::BodyDecoder,
    failure::CallFailure,
    model::failures::{broken_connection, idle_error, stream_unreadable, too_long},
};

/// The most text that is read of one response.
const LIMIT_BYTES: usize = 256 << 20;
/// The most bytes that one chunk may become; more is an attack or a fault.
const CHUNK_LIMIT_BYTES: usize = 64 << 20;

/// Reads one body.
pub(super) struct TextBody {
    /// Gone when the body has ended or failed.
    bytes: Option<BoxStream<'static, reqwest::Result<Bytes>>>,
    decoder: BodyDecoder,
    idle: Duration,
    read_bytes: usize,
}

impl TextBody {
    pub(super) fn new(response: Response, idle: Duration) -> Result<Self, CallFailure> {
        let decoder = BodyDecoder::new(response.headers(), CHUNK_LIMIT_BYTES);
        let decoder = decoder.map_err(|error| stream_unreadable(&ErrorChain(&error)))?;
        Ok(Self {
            bytes: Some(response.bytes_stream().boxed()),
            decoder,
            idle,
            read_bytes: 0,
        })
    }

    /// The next piece of text, which may be empty.
    pub(super) async fn next(&mut self) -> Option<Result<String, CallFailure>> {
        let bytes = self.bytes.take()?;
        Some(self.read(bytes).await)
    }

    async fn read(&mut self, mut bytes: BoxStream<'static, reqwest::Result<Bytes>>) -> Result<String, CallFailure> {
        let chunk = tokio::time::timeout(self.idle, bytes.next()).await;
        let chunk = chunk.map_err(|_| idle_error(self.idle))?.transpose();
        // The URL may hold a credential.
        let chunk = chunk.map_err(|error| broken_connection(&ErrorChain(&error.without_url())))?;
        let text = match &chunk {
            Some(chunk) => self.decoder.push(chunk),
            None => self.decoder.finish(),
        };
        let text = text.map_err(|error| stream_unreadable(&ErrorChain(&error)))?;
        self.read_bytes += text.len();
        if self.decoder.is_full() || self.read_bytes > LIMIT_BYTES {
            return Err(too_long(LIMIT_BYTES));
        }
        if chunk.is_some() {
            self.bytes = Some(bytes);
        }
        Ok(text)
    }
}

/// The value of a header; empty if absent or no text.
pub(super) fn header<'r>(response: &'r Response, name: &str) -> &'r str {
    let value = response.headers().get(name);
    value.and_then(|value| value.to_str().ok()).unwrap_or_default()
}
