//! The page on which people browse the OpenAPI document and try it out: Swagger UI, embedded whole, so that a browser
//! asks nobody but the gateway. Everybody may open it, as everybody may read the document; what is tried out needs the
//! token that is typed into it.

use std::sync::{Arc, LazyLock};

use axum::{
    Router,
    extract::Path,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use utoipa_swagger_ui::Config;

use crate::static_files::{ASK_AGAIN, StaticFile};

/// No script but those of the page, and no request but to the gateway: a link to the page can name no other document.
/// The style sheet of Swagger UI has its pictures within.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// The page is empty here: it is `/docs/` itself.
const OWN_FILES: [(&str, &str, &[u8]); 2] = [
    ("", "text/html; charset=utf-8", include_bytes!("api_docs/index.html")),
    (
        "initializer.js",
        "text/javascript; charset=utf-8",
        include_bytes!("api_docs/initializer.js"),
    ),
];

/// Those files of Swagger UI that the page uses.
const FILES_OF_SWAGGER_UI: [(&str, &str); 3] = [
    ("favicon-32x32.png", "image/png"),
    ("swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
    ("swagger-ui.css", "text/css; charset=utf-8"),
];

static FILES: LazyLock<Vec<(&'static str, StaticFile)>> = LazyLock::new(|| {
    let own = OWN_FILES.map(|(name, content_type, content)| (name, StaticFile::plain(content_type, content)));
    let of_swagger_ui = FILES_OF_SWAGGER_UI
        .into_iter()
        .filter_map(|(name, content_type)| Some((name, embedded(name, content_type)?)));
    own.into_iter().chain(of_swagger_ui).collect()
});

/// A file as the crate embeds it: compressed.
fn embedded(name: &str, content_type: &'static str) -> Option<StaticFile> {
    let file = utoipa_swagger_ui::serve(name, Arc::new(Config::default())).ok()??;
    let content: &'static [u8] = match file.bytes {
        std::borrow::Cow::Borrowed(content) => content,
        std::borrow::Cow::Owned(_) => return None,
    };
    Some(StaticFile::compressed(content_type, content))
}

/// The routes of the page.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/docs", get(to_the_page))
        .route("/docs/", get(async |headers: HeaderMap| serve("", &headers)))
        .route(
            "/docs/{name}",
            get(async |Path(name): Path<String>, headers: HeaderMap| serve(&name, &headers)),
        )
}

/// Relative to what was asked for: the gateway may be reached below a prefix.
async fn to_the_page() -> Response {
    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "docs/")]).into_response()
}

fn serve(name: &str, request: &HeaderMap) -> Response {
    match FILES.iter().find(|(known, _)| *known == name) {
        Some((_, file)) => file.answer(request, POLICY, ASK_AGAIN),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    /// Above the size of the bundle.
    const LARGEST: usize = 4 * 1024 * 1024;
    const GZIP: [u8; 2] = [0x1f, 0x8b];

    async fn body(response: Response) -> Vec<u8> {
        to_bytes(response.into_body(), LARGEST).await.unwrap().to_vec()
    }

    fn names() -> impl Iterator<Item = &'static str> {
        let own = OWN_FILES.iter().map(|(name, ..)| *name);
        own.chain(FILES_OF_SWAGGER_UI.iter().map(|(name, _)| *name))
    }

    #[tokio::test]
    async fn every_file_is_served_as_it_is_and_compressed() {
        let gzip = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"))]);
        for name in names() {
            let compressed = serve(name, &gzip);
            assert_eq!(compressed.status(), StatusCode::OK, "{name}");
            assert_eq!(compressed.headers()[header::CONTENT_SECURITY_POLICY], POLICY, "{name}");
            assert!(body(compressed).await.starts_with(&GZIP), "{name}");
            let plain = body(serve(name, &HeaderMap::new())).await;
            assert!(!plain.is_empty() && !plain.starts_with(&GZIP), "{name}");
        }
    }

    #[tokio::test]
    async fn the_page_has_no_script_or_style_of_its_own_and_names_only_files_that_are_served() {
        let page = String::from_utf8(body(serve("", &HeaderMap::new())).await).unwrap();
        assert!(!page.contains("<style") && !page.contains("style=") && !page.contains(" on"));
        for script in page.split("<script").skip(1) {
            let (attributes, content) = script.split_once('>').unwrap();
            assert!(attributes.contains("src="), "{attributes}");
            assert!(content.starts_with("</script>"), "{content}");
        }
        let named: Vec<&str> = page
            .split("\"./")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert_eq!(named.len(), names().count() - 1, "{named:?}");
        for name in named {
            assert!(names().any(|known| known == name), "{name}");
        }
    }

    #[tokio::test]
    async fn what_the_page_does_not_use_is_not_served() {
        for name in ["index.html", "..", "oauth2-redirect.html", "swagger-initializer.js"] {
            assert_eq!(serve(name, &HeaderMap::new()).status(), StatusCode::NOT_FOUND, "{name}");
        }
    }
}
