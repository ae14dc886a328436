//! What went wrong with a server, sorted by whether another attempt may help.
//! Messages name the host and never the URL, which may hold a secret.

use std::error::Error;

use rmcp::{
    ErrorData,
    model::ErrorCode,
    service::{ClientInitializeError, ServiceError},
    transport::streamable_http_client::{
        AuthRequiredError, HttpStatusError, InsufficientScopeError, StreamableHttpError,
    },
};

use super::connection::ServerAddress;
use crate::address::{chain, refusal};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum McpError {
    /// Another attempt cannot help: credentials, a bad address, an unknown tool, invalid arguments.
    #[error("{0}")]
    Refused(String),
    /// It may help.
    #[error("{0}")]
    Unavailable(String),
}

type HttpError = StreamableHttpError<reqwest::Error>;

/// Codes that say that the same request will never be answered otherwise.
const FINAL_CODES: [ErrorCode; 7] = [
    ErrorCode::INVALID_PARAMS,
    ErrorCode::INVALID_REQUEST,
    ErrorCode::METHOD_NOT_FOUND,
    ErrorCode::RESOURCE_NOT_FOUND,
    ErrorCode::UNSUPPORTED_PROTOCOL_VERSION,
    ErrorCode::MISSING_REQUIRED_CLIENT_CAPABILITY,
    ErrorCode::HEADER_MISMATCH,
];

/// Of a request on an open connection.
pub(super) fn of_service(address: &ServerAddress, error: &ServiceError) -> McpError {
    match error {
        ServiceError::McpError(data) => of_answer(address, data),
        other => of_transport(address, other),
    }
}

/// Of the way to an open connection.
pub(super) fn of_start(address: &ServerAddress, error: &ClientInitializeError) -> McpError {
    match error {
        ClientInitializeError::JsonRpcError(data) => of_answer(address, data),
        // That the newer protocol was not spoken is no failure; that the older was not either, is.
        ClientInitializeError::LegacyFallbackFailed { fallback, .. } => of_start(address, fallback),
        ClientInitializeError::NoCompatibleProtocolVersion { .. } => {
            McpError::Refused(format!("{}: {error}", address.host))
        }
        // It keeps its cause out of the chain.
        ClientInitializeError::TransportError { error, .. } => of_transport(address, error.error.as_ref()),
        other => of_transport(address, other),
    }
}

fn of_answer(address: &ServerAddress, data: &ErrorData) -> McpError {
    let told = format!("{} answered: {}", address.host, redacted(address, &data.message));
    if FINAL_CODES.contains(&data.code) {
        McpError::Refused(told)
    } else {
        McpError::Unavailable(told)
    }
}

fn of_transport(address: &ServerAddress, error: &(dyn Error + 'static)) -> McpError {
    let host = &address.host;
    let mut text = chain(error);
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<AuthRequiredError>() || error.is::<InsufficientScopeError>() {
            return McpError::Refused(unauthorised(host));
        }
        if let Some(HttpStatusError { status, .. }) = error.downcast_ref() {
            return McpError::Unavailable(format!("{host} answered HTTP {status}"));
        }
        match error.downcast_ref() {
            Some(HttpError::Client(error)) => {
                if let Some(refused) = refusal(error) {
                    return McpError::Refused(refused.to_string());
                }
                text = chain(error);
            }
            Some(HttpError::UnexpectedServerResponse(said)) => {
                if let Some(error) = of_status(host, said) {
                    return error;
                }
            }
            Some(HttpError::ReservedHeaderConflict(name)) => {
                return McpError::Refused(format!("the header {name:?} belongs to the protocol; take it out"));
            }
            Some(error @ HttpError::ResponseBodyTooLarge { .. }) => {
                return McpError::Refused(format!("{host}: {error}"));
            }
            _ => {}
        }
        cause = error.source();
    }
    McpError::Unavailable(format!("{host} cannot be reached: {}", redacted(address, &text)))
}

/// Statuses that the transport tells as text: `HTTP 404 Not Found: …`.
fn of_status(host: &str, said: &str) -> Option<McpError> {
    let status: u16 = said.strip_prefix("HTTP ")?.get(..3)?.parse().ok()?;
    match status {
        401 | 403 => Some(McpError::Refused(unauthorised(host))),
        408 | 409 | 425 | 429 => Some(McpError::Unavailable(format!("{host} answered HTTP {status}"))),
        300..=499 => Some(McpError::Refused(format!("{host} answered HTTP {status}"))),
        _ => None,
    }
}

fn unauthorised(host: &str) -> String {
    format!("{host} refused the credentials; check the headers of the tool and the agent's credentials")
}

fn redacted(address: &ServerAddress, text: &str) -> String {
    text.replace(address.url.as_str(), &address.host)
}
