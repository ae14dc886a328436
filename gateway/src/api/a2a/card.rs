//! `/.well-known/agent-card.json` below the base URL of an agent. Who may not read the agent does not find its card.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use sha2::{Digest as _, Sha256};

use super::AgentPath;
use crate::{
    a2a::card::{Callers, card},
    access::{Access, Action, Caller},
    agents::AgentName,
    app::Gateway,
    error::{ApiError, ErrorBody},
};

/// How long a client may keep a card. It says what the caller may see, so only the caller may keep it.
const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("private, max-age=60");
const FORWARDED_PROTO: &str = "x-forwarded-proto";
const FORWARDED_HOST: &str = "x-forwarded-host";
const FORWARDED_PREFIX: &str = "x-forwarded-prefix";

/// The card of an agent.
#[utoipa::path(
    get,
    path = "/a2a/{namespace}/{agent}/.well-known/agent-card.json",
    operation_id = "get_agent_card",
    tag = "a2a",
    params(
        ("namespace" = String, Path, description = "Kubernetes namespace of the agent."),
        ("agent" = String, Path, description = "Name of the agent."),
    ),
    responses(
        (status = OK, description = "A2A's AgentCard.", body = Object),
        (status = NOT_MODIFIED, description = "The card has the ETag of If-None-Match."),
        (status = "default", description = "`google.rpc.Status` as JSON.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn get(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path((namespace, name)): Path<AgentPath>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let agent = gateway.agents.by_name(&AgentName::new(namespace, name));
    let agent = gateway.agent(&caller, Action::ReadAgent, agent).await?;
    let callers = if matches!(gateway.access, Access::Anonymous) {
        Callers::Anyone
    } else {
        Callers::WithToken
    };
    let url = gateway_url(&headers, &uri)?;
    let card = serde_json::to_value(card(&agent, &url, callers))?;
    let tag = etag(&card.to_string())?;
    let is_known = headers.get_all(header::IF_NONE_MATCH).iter().any(|known| *known == tag);
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Json(card).into_response()
    };
    response.headers_mut().insert(header::ETAG, tag);
    response.headers_mut().insert(header::CACHE_CONTROL, CACHE_CONTROL);
    Ok(response)
}

/// The URL under which the client has reached the gateway, with what proxies on the way say of it. It goes to this
/// client only: who makes something up reads it himself.
fn gateway_url(headers: &HeaderMap, uri: &Uri) -> Result<String, ApiError> {
    let first = |name: &str| {
        let value = headers.get(name)?.to_str().ok()?;
        value.split(',').next().map(str::trim).filter(|value| !value.is_empty())
    };
    let host = first(FORWARDED_HOST)
        .or_else(|| first(header::HOST.as_str()))
        .or_else(|| uri.authority().map(axum::http::uri::Authority::as_str))
        .ok_or_else(|| ApiError::bad_request("the request has no Host"))?;
    let scheme = match first(FORWARDED_PROTO) {
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => "https",
        _ => "http",
    };
    let prefix = first(FORWARDED_PREFIX).unwrap_or_default().trim_end_matches('/');
    let url = format!("{scheme}://{host}{prefix}");
    match url.parse::<Uri>() {
        Ok(read) if read.authority().is_some_and(|authority| authority.as_str() == host) => Ok(url),
        _ => Err(ApiError::bad_request("the Host of the request is malformed")),
    }
}

fn etag(card: &str) -> Result<HeaderValue, ApiError> {
    let digest = format!("{:x}", Sha256::digest(card));
    format!("\"{}\"", &digest[..32])
        .parse()
        .map_err(|error: header::InvalidHeaderValue| ApiError::internal("an ETag cannot be written", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(headers: &[(&'static str, &str)]) -> Option<String> {
        let headers = headers.iter().map(|(name, value)| {
            (
                header::HeaderName::from_static(name),
                value.parse::<HeaderValue>().unwrap(),
            )
        });
        gateway_url(&headers.collect(), &Uri::from_static("/a2a/default/haiku")).ok()
    }

    #[test]
    fn the_url_is_that_of_the_client() {
        assert_eq!(url(&[("host", "gateway:8080")]).as_deref(), Some("http://gateway:8080"));
        let forwarded = [
            ("host", "10.0.0.7:8080"),
            ("x-forwarded-proto", "https, http"),
            ("x-forwarded-host", "agents.example.com"),
            ("x-forwarded-prefix", "/steadfast/"),
        ];
        assert_eq!(url(&forwarded).as_deref(), Some("https://agents.example.com/steadfast"));
        for host in ["a b", "a/b", "a@b/", "a?b"] {
            assert_eq!(url(&[("host", host)]), None, "{host}");
        }
        assert_eq!(url(&[]), None);
    }
}
