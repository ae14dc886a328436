//! The id of a request: in every response, and in the audit log. A proxy in front may choose it.

use axum::{
    extract::Request,
    http::{HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};
use uuid::Uuid;

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Ids of proxies are shorter, and UUIDs or the like.
const MAX_BYTES: usize = 128;

/// The id of a request, for its handlers.
#[derive(Clone, Debug)]
pub(super) struct RequestId(pub(super) HeaderValue);

impl RequestId {
    /// The id that a proxy or a client has given, or a new one.
    fn of(request: &Request) -> Self {
        let given = request.headers().get(REQUEST_ID).filter(|id| is_usable(id));
        let id = given.cloned().unwrap_or_else(|| {
            let id = format!("req_{}", Uuid::now_v7().simple());
            HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("req_"))
        });
        Self(id)
    }

    pub(super) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// Letters, digits and what stands between them: nothing that a log or a terminal takes for something else.
fn is_usable(id: &HeaderValue) -> bool {
    let is_usable = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
    (1..=MAX_BYTES).contains(&id.len()) && id.as_bytes().iter().all(is_usable)
}

/// Gives the request an id, and its response the same.
pub(super) async fn identify(mut request: Request, next: Next) -> Response {
    let id = RequestId::of(&request);
    request.extensions_mut().insert(id.clone());
    let mut response = next.run(request).await;
    response.headers_mut().insert(REQUEST_ID, id.0);
    response
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn id(given: Option<&'static [u8]>) -> String {
        let mut request = Request::new(Body::empty());
        if let Some(given) = given {
            let given = HeaderValue::from_bytes(given).unwrap();
            request.headers_mut().insert(REQUEST_ID, given);
        }
        RequestId::of(&request).as_str().to_owned()
    }

    #[test]
    fn a_proxy_chooses_the_id_unless_it_is_no_id() {
        assert_eq!(id(Some(b"4bf92f35-77b3.4da6")), "4bf92f35-77b3.4da6");
        for unusable in [None, Some(&b""[..]), Some(b"a b"), Some(b"\xff"), Some(&[b'a'; 129])] {
            assert!(id(unusable).starts_with("req_"), "{unusable:?}");
        }
        assert_ne!(id(None), id(None));
    }
}
