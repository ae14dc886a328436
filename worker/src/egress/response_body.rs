//! Reads the body of a response up to a limit: no server fills the memory.

use futures::StreamExt as _;
use reqwest::Response;

/// A body, or the beginning of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResponseText {
    pub text: String,
    /// The body is longer.
    pub is_cut: bool,
}

/// Reads at most `limit_bytes` of the body.
pub(crate) async fn read_text(response: Response, limit_bytes: usize) -> Result<ResponseText, reqwest::Error> {
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        body.extend_from_slice(&chunk?);
        if body.len() > limit_bytes {
            break;
        }
    }
    let is_cut = body.len() > limit_bytes;
    body.truncate(limit_bytes);
    Ok(ResponseText {
        text: String::from_utf8_lossy(&body).into_owned(),
        is_cut,
    })
}
