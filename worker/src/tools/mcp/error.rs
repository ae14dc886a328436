//! What goes wrong between this worker and an MCP server, and what an activity says
//! of it. Messages show the host and never the URL, which may hold a secret.

use super::address::ServerAddress;
use crate::failure::CallFailure;

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

/// The server does not know the protocol version of the request.
pub(super) const UNSUPPORTED_PROTOCOL_VERSION: i64 = -32022;
/// A header of the request does not say what its body says.
pub(super) const HEADER_MISMATCH: i64 = -32020;

/// Why a request has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum McpError {
    /// The egress policy, or a redirect that is not followed.
    Denied(String),
    /// HTTP 401 or 403.
    Unauthorized,
    /// There is no connection.
    NotConnected(String),
    /// An HTTP status without a JSON-RPC error.
    Status(u16),
    /// The server has ended the session.
    SessionLost,
    /// The worker of the attempt before was lost in the middle of the call.
    WorkerLost,
    /// The answer is a JSON-RPC error.
    Rpc { code: i64, message: String },
    /// The connection ended, or the time, before there was an answer.
    Broken(String),
    /// An answer that is not of the protocol.
    Unreadable(String),
}

/// Whether a second run of a call has the effect of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeatable {
    Yes,
    No,
}

impl McpError {
    /// Whether the server may have acted on the request and said nothing of it.
    pub(super) fn may_have_acted(&self) -> bool {
        match self {
            Self::Broken(_) | Self::WorkerLost => true,
            // Of a server that is too busy or away it is the gateway before it that answers.
            Self::Status(status) => *status >= 500 && *status != 503,
            _ => false,
        }
    }

    /// Whether another protocol version cannot help.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Denied(_) | Self::NotConnected(_))
    }

    /// Whether the server refused the request because of its protocol version, and so has not acted on it.
    pub(super) fn is_of_version(&self) -> bool {
        matches!(
            self,
            Self::Status(400 | 404 | 405 | 406 | 415)
                | Self::Rpc {
                    code: UNSUPPORTED_PROTOCOL_VERSION,
                    ..
                }
        )
    }

    /// The failure of an activity. A call that the server may have acted on is made again only if that is safe.
    pub(super) fn failure(&self, address: &ServerAddress, repeatable: Repeatable) -> CallFailure {
        let host = &address.host;
        let text = redacted(address, &self.text(host));
        if self.may_have_acted() {
            return match repeatable {
                Repeatable::Yes => unavailable(text),
                Repeatable::No => refused(format!("{text}; the tool may have acted, so it is not called again")),
            };
        }
        match self {
            Self::NotConnected(_) | Self::SessionLost | Self::Status(408 | 409 | 425 | 429 | 503) => unavailable(text),
            _ => refused(text),
        }
    }

    fn text(&self, host: &str) -> String {
        match self {
            Self::Denied(text) => text.clone(),
            Self::Unauthorized => {
                format!("{host} refused the credentials; check the headers of the tool and the agent's credentials")
            }
            Self::NotConnected(text) => format!("cannot reach {host}: {text}"),
            Self::Status(status @ 300..=399) => {
                format!("{host} answered HTTP {status}; give the address that it redirects to as the tool's URL")
            }
            Self::Status(status @ (404 | 405)) => format!(
                "{host} answered HTTP {status}; check the path of the tool's URL, which must be that of streamable HTTP"
            ),
            Self::Status(status) => format!("{host} answered HTTP {status}"),
            Self::SessionLost => {
                format!("{host} does not know the session that it has just begun; its replicas need session affinity")
            }
            Self::WorkerLost => format!("the worker that called {host} was lost before it had the answer"),
            Self::Rpc { code, message } => format!("{host} answered: {message} (code {code})"),
            Self::Broken(text) => format!("{host} did not answer: {text}"),
            Self::Unreadable(text) => format!("{host} answered in a form that is not of the protocol: {text}"),
        }
    }
}

fn redacted(address: &ServerAddress, text: &str) -> String {
    address
        .redactor
        .text(&text.replace(address.url.as_str(), &address.host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{egress::redaction::Redactor, failure::RetryClass};

    fn is_repeated(error: &McpError, repeatable: Repeatable) -> bool {
        let url = "http://server/mcp".parse().unwrap();
        let address = ServerAddress::new(url, reqwest::header::HeaderMap::new(), Redactor::default());
        error.failure(&address, repeatable).retry != RetryClass::Permanent
    }

    #[test]
    fn what_the_server_may_have_acted_on_is_repeated_only_if_that_is_safe() {
        for error in [
            McpError::Broken("x".to_owned()),
            McpError::Status(500),
            McpError::Status(504),
            McpError::WorkerLost,
        ] {
            assert!(!is_repeated(&error, Repeatable::No), "{error:?}");
            assert!(is_repeated(&error, Repeatable::Yes), "{error:?}");
        }
    }

    #[test]
    fn an_answer_of_any_form_is_never_asked_for_again() {
        let answers = [
            McpError::Rpc {
                code: -32603,
                message: "x".to_owned(),
            },
            McpError::Unreadable("x".to_owned()),
            McpError::Status(400),
            McpError::Status(302),
            McpError::Unauthorized,
            McpError::Denied("x".to_owned()),
        ];
        for error in answers {
            assert!(!is_repeated(&error, Repeatable::Yes), "{error:?}");
        }
    }

    #[test]
    fn what_has_not_reached_the_tool_is_repeated() {
        for error in [
            McpError::NotConnected("x".to_owned()),
            McpError::SessionLost,
            McpError::Status(429),
            McpError::Status(503),
        ] {
            assert!(is_repeated(&error, Repeatable::No), "{error:?}");
        }
    }
}
