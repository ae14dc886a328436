//! The console: the page where people chat with agents, watch them and approve calls. It is a bundle of files in the
//! program, made by `cargo xtask console`; everything it shows comes from the API, with the user's own token.

mod bundle;

use std::sync::LazyLock;

use axum::{
    Router,
    extract::Path,
    http::{HeaderMap, HeaderValue, StatusCode},
    response::{IntoResponse as _, Response},
    routing::get,
};

use crate::static_files::{ASK_AGAIN, FOREVER, StaticFile};

/// What the page may do, whatever a model or a tool writes into it: no script but its own, no request but to the
/// gateway, no frame around it.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
);

/// A file of the bundle.
struct File {
    /// Its name below `/console/assets/`; empty for the page.
    name: &'static str,
    content_type: &'static str,
    content: &'static [u8],
}

static SERVED: LazyLock<Vec<StaticFile>> = LazyLock::new(|| {
    let serve = |file: &File| StaticFile::plain(file.content_type, file.content);
    bundle::FILES.iter().map(serve).collect()
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
    let Some(place) = bundle::FILES.iter().position(|file| file.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    // The page names the files, so that it alone is asked for each time.
    let cache_control = if name.is_empty() { ASK_AGAIN } else { FOREVER };
    SERVED[place].answer(request, POLICY, cache_control)
}

#[cfg(test)]
mod tests {
    use axum::{body::to_bytes, http::header};

    use super::*;

    const LARGEST: usize = 4 * 1024 * 1024;

    async fn body(response: Response) -> Vec<u8> {
        to_bytes(response.into_body(), LARGEST).await.unwrap().to_vec()
    }

    #[tokio::test]
    async fn every_file_is_served() {
        for file in bundle::FILES {
            let response = serve(file.name, &HeaderMap::new());
            assert_eq!(response.headers()[header::CONTENT_TYPE], file.content_type);
            assert_eq!(body(response).await, file.content, "{}", file.name);
        }
    }

    #[test]
    fn the_page_is_asked_for_each_time_and_its_files_never_again() {
        for file in bundle::FILES {
            let response = serve(file.name, &HeaderMap::new());
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
            assert_eq!(serve(name, &HeaderMap::new()).status(), StatusCode::OK, "{name}");
        }
    }

    #[test]
    fn what_the_bundle_does_not_have_is_not_found() {
        for name in ["index.html", "..", "missing.js"] {
            assert_eq!(serve(name, &HeaderMap::new()).status(), StatusCode::NOT_FOUND, "{name}");
        }
    }
}
