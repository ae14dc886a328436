//! The console: the page where people chat with agents, watch them and approve calls. It is a bundle of files in the
//! program, made by `cargo xtask console`; everything it shows comes from the API, with the user's own token.

mod bundle;

use std::{io::Write as _, sync::LazyLock};

use axum::{
    Router,
    extract::Path,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};

/// What the page may do, whatever a model or a tool writes into it: no script but its own, no request but to the
/// gateway, no frame around it.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
);

/// Headers of every file.
const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (header::VARY, HeaderValue::from_static("accept-encoding")),
];

/// The name of a file changes with its content.
const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// The page names the files, so that it is asked for each time.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

/// A file of the bundle.
struct File {
    /// Its name below `/console/assets/`; empty for the page.
    name: &'static str,
    content_type: &'static str,
    content: &'static [u8],
}

/// A file, and the same compressed.
struct Served {
    file: &'static File,
    compressed: Bytes,
}

static SERVED: LazyLock<Vec<Served>> = LazyLock::new(|| {
    let compress = |file| Served {
        file,
        compressed: gzip(file.content),
    };
    bundle::FILES.iter().map(compress).collect()
});

/// The routes of the console. None is one of the API, and all are for everybody: the page holds no secret.
pub fn console_routes() -> Router {
    Router::new()
        .route("/", get(async |headers: HeaderMap| serve("", &headers)))
        .route(
            "/console/assets/{name}",
            get(async |Path(name): Path<String>, headers: HeaderMap| serve(&name, &headers)),
        )
}

fn serve(name: &str, request: &HeaderMap) -> Response {
    let Some(served) = SERVED.iter().find(|served| served.file.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let file = served.file;
    let takes_gzip = accepts_gzip(request);
    let body = if takes_gzip {
        served.compressed.clone()
    } else {
        Bytes::from_static(file.content)
    };
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.extend(HEADERS);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.content_type));
    headers.insert(header::CACHE_CONTROL, if name.is_empty() { ASK_AGAIN } else { FOREVER });
    if takes_gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
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

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use axum::body::to_bytes;
    use flate2::read::GzDecoder;

    use super::*;

    const LARGEST: usize = 4 * 1024 * 1024;

    fn headers(accept_encoding: Option<&'static str>) -> HeaderMap {
        let value = accept_encoding.map(HeaderValue::from_static);
        value
            .into_iter()
            .map(|value| (header::ACCEPT_ENCODING, value))
            .collect()
    }

    async fn body(response: Response) -> Vec<u8> {
        to_bytes(response.into_body(), LARGEST).await.unwrap().to_vec()
    }

    #[tokio::test]
    async fn every_file_is_served_as_it_is_and_compressed() {
        for file in bundle::FILES {
            let plain = serve(file.name, &headers(None));
            assert_eq!(plain.headers()[header::CONTENT_TYPE], file.content_type);
            assert!(!plain.headers().contains_key(header::CONTENT_ENCODING));
            assert_eq!(body(plain).await, file.content, "{}", file.name);
            let compressed = serve(file.name, &headers(Some("br, gzip;q=0.8")));
            assert_eq!(compressed.headers()[header::CONTENT_ENCODING], "gzip");
            let compressed = body(compressed).await;
            let mut text = Vec::new();
            GzDecoder::new(compressed.as_slice()).read_to_end(&mut text).unwrap();
            assert_eq!(text, file.content, "{}", file.name);
        }
    }

    #[test]
    fn the_page_is_asked_for_each_time_and_its_files_never_again() {
        for file in bundle::FILES {
            let response = serve(file.name, &headers(None));
            let expected = if file.name.is_empty() { ASK_AGAIN } else { FOREVER };
            assert_eq!(response.headers()[header::CACHE_CONTROL], expected, "{}", file.name);
            assert_eq!(response.headers()[header::CONTENT_SECURITY_POLICY], POLICY);
        }
    }

    #[test]
    fn the_page_has_no_script_or_style_of_its_own_and_names_only_files_of_the_bundle() {
        let page = bundle::FILES.iter().find(|file| file.name.is_empty()).unwrap();
        let page = str::from_utf8(page.content).unwrap();
        assert!(!page.contains("<style") && !page.contains("style=") && !page.contains(" on"));
        for script in page.split("<script").skip(1) {
            let (attributes, content) = script.split_once('>').unwrap();
            assert!(attributes.contains("src="), "{attributes}");
            assert!(content.starts_with("</script>"), "{content}");
        }
        let named: Vec<&str> = page
            .split("\"./console/assets/")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert!(named.len() >= 2, "{named:?}");
        for name in named {
            assert_eq!(serve(name, &headers(None)).status(), StatusCode::OK, "{name}");
        }
    }

    #[test]
    fn what_the_bundle_does_not_have_is_not_found() {
        for name in ["index.html", "..", "missing.js"] {
            assert_eq!(serve(name, &headers(None)).status(), StatusCode::NOT_FOUND, "{name}");
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
