//! Errors in the words of A2A: whatever fails below `/a2a` answers as the binding wants it.

use axum::{
    extract::Request,
    http::{HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::Response,
};

use a2a_types::JsonRpcId;

use super::wire::Binding;
use crate::error::Failure;

const PATHS: &str = "/a2a/";
/// Namespace and name: the path of JSON-RPC.
const SEGMENTS_OF_RPC: usize = 2;

/// Gives errors below `/a2a` the body that clients of A2A read.
pub(in crate::api) async fn envelope(request: Request, next: Next) -> Response {
    let Some(path) = request.uri().path().strip_prefix(PATHS) else {
        return next.run(request).await;
    };
    let segments = path.trim_end_matches('/').split('/').count();
    let binding = if request.method() == Method::POST && segments == SEGMENTS_OF_RPC {
        // Its id has not been read.
        Binding::Rpc(JsonRpcId::Null)
    } else {
        Binding::Http
    };
    let mut response = next.run(request).await;
    let Some(failure) = response.extensions_mut().remove::<Failure>() else {
        return response;
    };
    let status = response.status();
    let mut enclosed = binding.enclosed(&failure, &response, status);
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Bearer");
        enclosed.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    enclosed
}
