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

use crate::{
    access::OidcLogin,
    static_files::{ASK_AGAIN, FOREVER, StaticFile},
};

/// What the page may do, whatever a model or a tool writes into it: no script but its own, no request but to the
/// gateway and to where people sign in, no frame around it.
fn policy(login: Option<&OidcLogin>) -> HeaderValue {
    let issuer = login.map_or_else(String::new, |login| format!(" {}", login.origin()));
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'{issuer}; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
         trusted-types 'none'"
    );
    // An origin has no character that a header cannot have; without one, nothing is allowed.
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

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
pub fn console_routes(login: Option<&OidcLogin>) -> Router {
    let policy = policy(login);
    let of_page = policy.clone();
    Router::new()
        .route("/", get(async move |headers: HeaderMap| serve("", &headers, of_page)))
        .route(
            "/console/assets/{name}",
            get(async move |Path(name): Path<String>, headers: HeaderMap| serve(&name, &headers, policy)),
        )
}

fn serve(name: &str, request: &HeaderMap, policy: HeaderValue) -> Response {
    let Some(place) = bundle::FILES.iter().position(|file| file.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    // The page names the files, so that it alone is asked for each time.
    let cache_control = if name.is_empty() { ASK_AGAIN } else { FOREVER };
    SERVED[place].answer(request, policy, cache_control)
}

#[cfg(test)]
mod tests {
    use axum::{body::to_bytes, http::header};

    use super::*;
    use crate::access::OidcSettings;

    const LARGEST: usize = 4 * 1024 * 1024;

    async fn body(response: Response) -> Vec<u8> {
        to_bytes(response.into_body(), LARGEST).await.unwrap().to_vec()
    }

    fn serve(name: &str, request: &HeaderMap) -> Response {
        super::serve(name, request, policy(None))
    }

    #[test]
    fn the_page_may_call_the_gateway_and_the_origin_of_the_issuer_and_nobody_else() {
        let settings = OidcSettings::new("https://login.example.com/realms/team", &["console"]);
        let login = OidcLogin::new(&settings, "console", vec!["openid".to_owned()]).unwrap();
        for (login, allowed) in [(None, "'self'"), (Some(&login), "'self' https://login.example.com")] {
            let policy = policy(login);
            let policy = policy.to_str().unwrap();
            assert!(policy.contains(&format!("; connect-src {allowed};")), "{policy}");
        }
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
            assert_eq!(response.headers()[header::CONTENT_SECURITY_POLICY], policy(None));
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
