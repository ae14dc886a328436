//! Classifies the errors of MCP servers. Messages show the host and never the
//! URL, which may hold a secret.

use std::error::Error;

use rmcp::{
    ErrorData,
    model::ErrorCode,
    service::{ClientInitializeError, ServiceError},
    transport::streamable_http_client::{
        AuthRequiredError, HttpStatusError, InsufficientScopeError, StreamableHttpError,
    },
};
use steadfast_process::{ErrorChain, error_chain::causes};

use super::address::ServerAddress;
use crate::{egress::policy::find_denial, failure::CallFailure};

/// Type of a failure that another attempt cannot mend: credentials, an address, an unknown tool, invalid arguments.
const REFUSED: &str = "tool_refused";
/// Type of a failure that may be temporary.
const UNAVAILABLE: &str = "tool_unavailable";

pub(super) fn refused(message: impl Into<String>) -> CallFailure {
    CallFailure::permanent(REFUSED, message)
}

pub(super) fn unavailable(message: impl Into<String>) -> CallFailure {
    CallFailure::transient(UNAVAILABLE, message)
}

type HttpError = StreamableHttpError<reqwest::Error>;

/// Codes of a server that will answer the same request in the same way.
const FINAL_CODES: [ErrorCode; 7] = [
    ErrorCode::INVALID_PARAMS,
    ErrorCode::INVALID_REQUEST,
    ErrorCode::METHOD_NOT_FOUND,
    ErrorCode::RESOURCE_NOT_FOUND,
    ErrorCode::UNSUPPORTED_PROTOCOL_VERSION,
    ErrorCode::MISSING_REQUIRED_CLIENT_CAPABILITY,
    ErrorCode::HEADER_MISMATCH,
];

/// Classifies the error of a request on an open connection.
pub(super) fn classify_request(address: &ServerAddress, error: &ServiceError) -> CallFailure {
    match error {
        ServiceError::McpError(data) => classify_response(address, data),
        other => classify_transport(address, other),
    }
}

/// Classifies the error of opening a connection.
pub(super) fn classify_initialize(address: &ServerAddress, error: &ClientInitializeError) -> CallFailure {
    match error {
        ClientInitializeError::JsonRpcError(data) => classify_response(address, data),
        // The server supports neither protocol version: the error of the older one counts.
        ClientInitializeError::LegacyFallbackFailed { fallback, .. } => classify_initialize(address, fallback),
        ClientInitializeError::NoCompatibleProtocolVersion { .. } => {
            refused(format!("{}: {}", address.host, redacted(address, &error.to_string())))
        }
        // The cause is a field, and no `source`.
        ClientInitializeError::TransportError { error, .. } => classify_transport(address, error.error.as_ref()),
        other => classify_transport(address, other),
    }
}

fn classify_response(address: &ServerAddress, data: &ErrorData) -> CallFailure {
    let message = format!("{} answered: {}", address.host, redacted(address, &data.message));
    if FINAL_CODES.contains(&data.code) {
        refused(message)
    } else {
        unavailable(message)
    }
}

fn classify_transport(address: &ServerAddress, error: &(dyn Error + 'static)) -> CallFailure {
    let host = &address.host;
    let mut text = ErrorChain(error).to_string();
    for cause in causes(error) {
        if cause.is::<AuthRequiredError>() || cause.is::<InsufficientScopeError>() {
            return unauthorized(host);
        }
        if let Some(HttpStatusError { status, .. }) = cause.downcast_ref() {
            return unavailable(format!("{host} answered HTTP {status}"));
        }
        match cause.downcast_ref() {
            Some(HttpError::Client(error)) => {
                if let Some(denied) = find_denial(error) {
                    return refused(denied.to_string());
                }
                text = ErrorChain(error).to_string();
            }
            Some(HttpError::UnexpectedServerResponse(response)) => {
                if let Some(failure) = classify_status(host, response) {
                    return failure;
                }
            }
            Some(HttpError::ReservedHeaderConflict(name)) => {
                return refused(format!(
                    "the header {name:?} is reserved for the protocol; remove it from the tool"
                ));
            }
            Some(error @ HttpError::ResponseBodyTooLarge { .. }) => return refused(format!("{host}: {error}")),
            _ => {}
        }
    }
    unavailable(format!("cannot reach {host}: {}", redacted(address, &text)))
}

/// Classifies a status that the transport reports as text: `HTTP 404 Not Found: …`.
fn classify_status(host: &str, response: &str) -> Option<CallFailure> {
    let status: u16 = response.strip_prefix("HTTP ")?.get(..3)?.parse().ok()?;
    match status {
        401 | 403 => Some(unauthorized(host)),
        408 | 409 | 425 | 429 => Some(unavailable(format!("{host} answered HTTP {status}"))),
        300..=499 => Some(refused(format!("{host} answered HTTP {status}"))),
        _ => None,
    }
}

fn unauthorized(host: &str) -> CallFailure {
    refused(format!(
        "{host} refused the credentials; check the headers of the tool and the agent's credentials"
    ))
}

fn redacted(address: &ServerAddress, text: &str) -> String {
    address
        .redactor
        .text(&text.replace(address.url.as_str(), &address.host))
}
