//! Reads the body of a response up to a limit: no server fills the memory.

use futures::StreamExt as _;
use reqwest::Response;

use super::{body_decoder::BodyDecoder, content_coding::CodingError};

/// A body, or the beginning of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResponseText {
    pub text: String,
    /// The body is longer.
    pub is_cut: bool,
}

/// Why a body cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadBodyError {
    #[error(transparent)]
    Connection(#[from] reqwest::Error),
    /// The response has come, and its bytes are not what its headers say.
    #[error(transparent)]
    Coding(#[from] CodingError),
}

/// Reads at most `limit_bytes` of the body's text.
pub(crate) async fn read_text(response: Response, limit_bytes: usize) -> Result<ResponseText, ReadBodyError> {
    let mut decoder = BodyDecoder::new(response.headers(), limit_bytes.saturating_add(1))?;
    let mut text = String::new();
    let mut chunks = response.bytes_stream();
    let mut is_cut = false;
    while !is_cut && let Some(chunk) = chunks.next().await {
        text.push_str(&decoder.push(&chunk?)?);
        is_cut = decoder.is_full() || text.len() > limit_bytes;
    }
    if !is_cut {
        text.push_str(&decoder.finish()?);
        is_cut = text.len() > limit_bytes;
    }
    text.truncate(text.floor_char_boundary(limit_bytes));
    Ok(ResponseText { text, is_cut })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    async fn read(headers: &[(&str, &str)], body: Vec<u8>, limit_bytes: usize) -> Result<ResponseText, ReadBodyError> {
        let mut response = http::Response::builder();
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        read_text(Response::from(response.body(body).unwrap()), limit_bytes).await
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[tokio::test]
    async fn a_body_is_read_in_its_coding_and_charset() {
        for (headers, body) in [
            (vec![], "né".into()),
            (vec![("content-encoding", "gzip")], gzip("né")),
            (
                vec![("content-encoding", "zstd")],
                zstd::encode_all("né".as_bytes(), 0).unwrap(),
            ),
            (
                vec![("content-encoding", "br")],
                vec![0x0b, 0x01, 0x80, b'n', 0xc3, 0xa9, 0x03],
            ),
            // A proxy that decodes the body and leaves the header, and one that leaves the header out.
            (vec![("content-encoding", "gzip")], "né".into()),
            (vec![], gzip("né")),
            (
                vec![("content-type", "text/plain; charset=iso-8859-1")],
                b"n\xe9".to_vec(),
            ),
        ] {
            let expected = ResponseText {
                text: "né".to_owned(),
                is_cut: false,
            };
            assert_eq!(read(&headers, body, 3).await.unwrap(), expected, "{headers:?}");
        }
        let error = read(&[("content-encoding", "snappy")], b"x".to_vec(), 3)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("snappy"), "{error}");
    }

    #[tokio::test]
    async fn a_body_is_cut_at_the_limit_however_small_it_came() {
        let expected = ResponseText {
            text: "a".repeat(10),
            is_cut: true,
        };
        let long = "a".repeat(100_000);
        for (headers, body) in [
            (vec![], long.clone().into_bytes()),
            (vec![("content-encoding", "gzip")], gzip(&long)),
        ] {
            assert_eq!(read(&headers, body, 10).await.unwrap(), expected);
        }
    }
}
