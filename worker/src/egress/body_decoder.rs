//! The bytes of a body as text: its content codings are decoded, whoever asked for
//! them, and its charset is read. Chunk by chunk.

use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};

use super::{
    charset::TextDecoder,
    content_coding::{CodingError, ContentDecoder},
};

/// Decodes one body.
pub(crate) struct BodyDecoder {
    coding: ContentDecoder,
    charset: TextDecoder,
}

impl BodyDecoder {
    /// For a response with these headers. One chunk becomes at most so many bytes.
    pub(crate) fn new(headers: &HeaderMap, chunk_limit_bytes: usize) -> Result<Self, CodingError> {
        let codings = headers.get_all(CONTENT_ENCODING).iter();
        let codings: Vec<&str> = codings.filter_map(|value| value.to_str().ok()).collect();
        let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        Ok(Self {
            coding: ContentDecoder::new(&codings.join(","), chunk_limit_bytes)?,
            charset: TextDecoder::new(content_type.unwrap_or_default()),
        })
    }

    /// The text of a chunk, which may be empty.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Result<String, CodingError> {
        let decoded = self.coding.push(chunk)?;
        Ok(self.charset.push(&decoded))
    }

    /// The body has ended: what was held back.
    pub(crate) fn finish(&mut self) -> Result<String, CodingError> {
        let decoded = self.coding.finish()?;
        Ok(self.charset.push(&decoded) + &self.charset.finish())
    }

    /// Whether a chunk became more than the limit: its rest is lost, and nothing can follow.
    pub(crate) fn is_full(&self) -> bool {
        self.coding.is_full()
    }
}
