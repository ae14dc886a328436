//! What lies between the network and the routes: the address of a client behind proxies, the path below which the
//! gateway is reached, and the pages that may call it from a browser. Closed by default.

mod client_address;

use std::{str::FromStr, time::Duration};

use axum::{
    Router,
    extract::Request,
    http::{HeaderName, HeaderValue, Method, Uri, header, uri::PathAndQuery},
    middleware,
};
use ipnet::IpNet;
use tower::ServiceExt as _;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use crate::api::REQUEST_ID;

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
/// How long a browser need not ask again whether a page may call.
const CORS_AGE: Duration = Duration::from_hours(1);
const ANY_ORIGIN: &str = "*";

/// The settings of the edge.
#[derive(Clone, Debug, Default)]
pub struct Edge {
    /// Proxies whose word on the address of a client is taken.
    pub trusted_proxies: Vec<IpNet>,
    pub path_prefix: Option<PathPrefix>,
    pub cors_origins: CorsOrigins,
}

/// A path below which the gateway is reached, without a slash at its end: `/steadfast`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPrefix(String);

/// Origins of pages that may call the gateway from a browser.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CorsOrigins {
    #[default]
    None,
    Listed(Vec<HeaderValue>),
    /// Nobody is logged in by a cookie, so a page of any origin needs a token of its own.
    Any,
}

#[derive(Debug, thiserror::Error)]
#[error("a path prefix begins with / and does not end with it, such as /steadfast, and has no ? or #")]
pub struct InvalidPathPrefix;

impl FromStr for PathPrefix {
    type Err = InvalidPathPrefix;

    fn from_str(text: &str) -> Result<Self, InvalidPathPrefix> {
        let is_path = text.parse::<PathAndQuery>().is_ok_and(|path| path.path() == text);
        if is_path && text.starts_with('/') && !text.ends_with('/') && !text.contains("//") {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidPathPrefix)
        }
    }
}

impl CorsOrigins {
    /// `*` is any origin.
    pub fn new(origins: Vec<HeaderValue>) -> Self {
        if origins.is_empty() {
            Self::None
        } else if origins.iter().any(|origin| origin == ANY_ORIGIN) {
            Self::Any
        } else {
            Self::Listed(origins)
        }
    }
}

impl PathPrefix {
    /// The URI without the prefix; `None` where it has none.
    fn strip(&self, uri: &Uri) -> Option<Uri> {
        let path_and_query = uri.path_and_query()?.as_str();
        let rest = path_and_query.strip_prefix(&self.0)?;
        let rest = match rest.chars().next() {
            None => "/".to_owned(),
            Some('/') => rest.to_owned(),
            Some('?') => format!("/{rest}"),
            // A longer name, which only begins with the prefix.
            Some(_) => return None,
        };
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(rest.parse().ok()?);
        Uri::from_parts(parts).ok()
    }
}

impl Edge {
    /// Lets pages of the configured origins call routes. The codec endpoint has origins of its own.
    pub fn for_browsers(&self, routes: Router) -> Router {
        match cors(&self.cors_origins) {
            Some(cors) => routes.layer(cors),
            None => routes,
        }
    }

    /// Puts the edge around all routes.
    pub fn around(self, routes: Router) -> Router {
        let trusted_proxies = self.trusted_proxies;
        let routes = routes.layer(middleware::map_request(move |request: Request| {
            let request = client_address::resolve(request, &trusted_proxies);
            async move { request }
        }));
        match self.path_prefix {
            Some(prefix) => below(prefix, routes),
            None => routes,
        }
    }
}

/// Serves the routes below a prefix, and as they are: pods of the cluster need not know it. The layers of a router see a
/// path after it was matched, so this stands before it.
fn below(prefix: PathPrefix, routes: Router) -> Router {
    let service = tower::service_fn(move |mut request: Request| {
        if let Some(uri) = prefix.strip(request.uri()) {
            *request.uri_mut() = uri;
        }
        routes.clone().oneshot(request)
    });
    Router::new().fallback_service(service)
}

fn cors(origins: &CorsOrigins) -> Option<CorsLayer> {
    let origins = match origins {
        CorsOrigins::None => return None,
        CorsOrigins::Listed(origins) => AllowOrigin::list(origins.iter().cloned()),
        CorsOrigins::Any => AllowOrigin::any(),
    };
    let layer = CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        // Clients of OpenAI send a dozen headers that say what machine they run on.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([REQUEST_ID, header::RETRY_AFTER, SHOULD_RETRY])
        .max_age(CORS_AGE);
    Some(layer)
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, extract::MatchedPath, http::StatusCode, response::Response, routing::get};

    use super::*;

    fn routes() -> Router {
        let matched = async |path: MatchedPath, uri: Uri| format!("{} {uri}", path.as_str());
        Router::new().route("/tasks/{id}", get(matched))
    }

    async fn send(edge: Edge, request: Request) -> (StatusCode, String, Response<()>) {
        let routes = edge.for_browsers(routes());
        let response = edge.around(routes).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        (
            parts.status,
            String::from_utf8(body.to_vec()).unwrap(),
            Response::from_parts(parts, ()),
        )
    }

    async fn path(prefix: &str, path: &str) -> (StatusCode, String) {
        let edge = Edge {
            path_prefix: Some(prefix.parse().unwrap()),
            ..Edge::default()
        };
        let request = Request::get(path).body(Body::empty()).unwrap();
        let (status, body, _) = send(edge, request).await;
        (status, body)
    }

    #[tokio::test]
    async fn the_gateway_is_reached_below_its_prefix_and_without_it() {
        for reached in ["/ai/steadfast/tasks/t?a=b", "/tasks/t?a=b"] {
            let (status, body) = path("/ai/steadfast", reached).await;
            assert_eq!(
                (status, body.as_str()),
                (StatusCode::OK, "/tasks/{id} /tasks/t?a=b"),
                "{reached}"
            );
        }
        for elsewhere in ["/ai/steadfastly/tasks/t", "/ai/tasks/t", "/ai/steadfast"] {
            assert_eq!(
                path("/ai/steadfast", elsewhere).await.0,
                StatusCode::NOT_FOUND,
                "{elsewhere}"
            );
        }
    }

    #[test]
    fn a_prefix_is_a_path() {
        for prefix in ["", "/", "steadfast", "/steadfast/", "/a?b", "/a#b", "//a", "/a b"] {
            assert!(prefix.parse::<PathPrefix>().is_err(), "{prefix}");
        }
    }

    async fn allowed_origin(origins: &[&'static str], origin: &str, method: Method) -> Option<String> {
        let edge = Edge {
            cors_origins: CorsOrigins::new(origins.iter().map(|&origin| HeaderValue::from_static(origin)).collect()),
            ..Edge::default()
        };
        let request = Request::builder()
            .method(method)
            .uri("/tasks/t")
            .header(header::ORIGIN, origin)
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
            .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "authorization,x-stainless-lang")
            .body(Body::empty())
            .unwrap();
        let (_, _, response) = send(edge, request).await;
        assert!(
            !response
                .headers()
                .contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS)
        );
        let allowed = response.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN)?;
        Some(allowed.to_str().unwrap().to_owned())
    }

    #[tokio::test]
    async fn pages_call_from_listed_origins_only_and_from_none_by_default() {
        const CHAT: &str = "https://chat.example.com";
        for method in [Method::OPTIONS, Method::GET] {
            let allowed = async |origins, origin| allowed_origin(origins, origin, method.clone()).await;
            assert_eq!(allowed(&[], CHAT).await, None);
            assert_eq!(allowed(&[CHAT], CHAT).await.as_deref(), Some(CHAT));
            assert_eq!(allowed(&[CHAT], "https://evil.example.com").await, None);
            assert_eq!(allowed(&["*"], CHAT).await.as_deref(), Some("*"));
        }
    }
}
