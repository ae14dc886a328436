//! Files that the program embeds for browsers, each served as it is or compressed, as the client asks.

use std::{
    io::{Read as _, Write as _},
    sync::OnceLock,
};

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};

/// The name of a file changes with its content.
pub(crate) const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// The content may change with each release.
pub(crate) const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

/// Headers of every file, beside the policy of the page that it belongs to.
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (header::VARY, HeaderValue::from_static("accept-encoding")),
];

/// A file in both codings. The one that is not embedded is made when the first client asks for it, and kept.
pub(crate) struct StaticFile {
    content_type: &'static str,
    plain: OnceLock<Bytes>,
    compressed: OnceLock<Bytes>,
}

impl StaticFile {
    pub(crate) fn plain(content_type: &'static str, content: &'static [u8]) -> Self {
        Self {
            content_type,
            plain: OnceLock::from(Bytes::from_static(content)),
            compressed: OnceLock::new(),
        }
    }

    /// A file that is embedded compressed with gzip.
    pub(crate) fn compressed(content_type: &'static str, content: &'static [u8]) -> Self {
        Self {
            content_type,
            plain: OnceLock::new(),
            compressed: OnceLock::from(Bytes::from_static(content)),
        }
    }

    /// The answer to a request with these headers, with the policy of the page.
    pub(crate) fn answer(&self, request: &HeaderMap, policy: HeaderValue, cache_control: HeaderValue) -> Response {
        let takes_gzip = accepts_gzip(request);
        let body = if takes_gzip { self.as_gzip() } else { self.as_plain() };
        let mut response = body.into_response();
        let headers = response.headers_mut();
        headers.extend(HEADERS);
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(header::CACHE_CONTROL, cache_control);
        if takes_gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }

    fn as_gzip(&self) -> Bytes {
        let compress = || gzip(self.plain.get().map_or(&[], |plain| plain));
        self.compressed.get_or_init(compress).clone()
    }

    fn as_plain(&self) -> Bytes {
        let inflate = || gunzip(self.compressed.get().map_or(&[], |compressed| compressed));
        self.plain.get_or_init(inflate).clone()
    }
}

/// Whether the client names gzip, and does not refuse it.
fn accepts_gzip(request: &HeaderMap) -> bool {
    let values = request.get_all(header::ACCEPT_ENCODING);
    values.iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|coding| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
            let weight = weight.trim().strip_prefix("q=").map(str::parse::<f32>);
            name.trim().eq_ignore_ascii_case("gzip") && !matches!(weight, Some(Ok(weight)) if weight <= 0.0)
        })
    })
}

fn gzip(content: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to memory does not fail.
    let written = encoder.write_all(content).and_then(|()| encoder.finish());
    Bytes::from(written.unwrap_or_default())
}

/// Only what the program itself embeds: its size is known.
fn gunzip(content: &[u8]) -> Bytes {
    let mut text = Vec::new();
    // Reading from memory fails only where a file is broken, which a test of each bundle would see.
    let read = GzDecoder::new(content).read_to_end(&mut text);
    Bytes::from(read.map(|_| text).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    const POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'");

    fn headers(accept_encoding: Option<&'static str>) -> HeaderMap {
        let value = accept_encoding.map(HeaderValue::from_static);
        value
            .into_iter()
            .map(|value| (header::ACCEPT_ENCODING, value))
            .collect()
    }

    async fn body(response: Response) -> Vec<u8> {
        to_bytes(response.into_body(), 1024).await.unwrap().to_vec()
    }

    #[tokio::test]
    async fn a_file_is_the_same_in_both_codings_whichever_is_embedded() {
        const TEXT: &[u8] = b"text text text text text";
        for file in [
            StaticFile::plain("text/plain", TEXT),
            StaticFile::compressed("text/plain", gzip(TEXT).to_vec().leak()),
        ] {
            let plain = file.answer(&headers(None), POLICY, ASK_AGAIN);
            assert_eq!(plain.headers()[header::CONTENT_TYPE], "text/plain");
            assert!(!plain.headers().contains_key(header::CONTENT_ENCODING));
            assert_eq!(body(plain).await, TEXT);
            let compressed = file.answer(&headers(Some("br, gzip;q=0.8")), POLICY, ASK_AGAIN);
            assert_eq!(compressed.headers()[header::CONTENT_ENCODING], "gzip");
            assert_eq!(gunzip(&body(compressed).await), TEXT);
        }
    }

    #[test]
    fn a_client_that_does_not_name_gzip_or_refuses_it_gets_none() {
        for (value, takes) in [
            (None, false),
            (Some("br, deflate"), false),
            (Some("gzip;q=0"), false),
            (Some("GZIP"), true),
            (Some("br;q=1, gzip; q=0.5"), true),
        ] {
            assert_eq!(accepts_gzip(&headers(value)), takes, "{value:?}");
        }
    }
}
