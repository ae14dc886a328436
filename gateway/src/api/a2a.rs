//! A2A 1.0 below `/a2a/{namespace}/{agent}`: the card of each agent, and its two bindings, JSON-RPC and HTTP+JSON, over
//! the same operations. A task of A2A is a turn, a context is a task of ours.

pub(super) mod card;
mod envelope;
pub(super) mod http_json;
mod listing;
mod operations;
pub(super) mod rpc;
mod wire;

use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use utoipa::IntoParams;

pub(super) use self::envelope::envelope;
use crate::{
    a2a::{card::VERSION, errors},
    access::{Action, Caller},
    agents::{AgentEntry, AgentName},
    app::Gateway,
    error::ApiError,
};

const VERSION_HEADER: &str = "a2a-version";
/// What a client speaks that does not say.
const VERSION_BEFORE_THE_HEADER: &str = "0.3";

/// Where an agent is: namespace and name.
type AgentPath = (String, String);

/// The version of a client, where it cannot set the header.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct VersionQuery {
    /// `1.0`, as in the header `A2A-Version`.
    #[serde(rename = "A2A-Version")]
    version: Option<String>,
}

/// Refuses a client of another version. The patch number does not count.
fn require_version(headers: &HeaderMap, query: &VersionQuery) -> Result<(), ApiError> {
    let header = headers
        .get(VERSION_HEADER)
        .map(|value| value.to_str().unwrap_or("?").trim());
    let given = header
        .filter(|version| !version.is_empty())
        .or(query.version.as_deref());
    let version = given
        .filter(|version| !version.is_empty())
        .unwrap_or(VERSION_BEFORE_THE_HEADER);
    let mut parts = version.splitn(3, '.');
    let major_and_minor = [parts.next(), parts.next()].map(Option::unwrap_or_default).join(".");
    if major_and_minor == VERSION {
        return Ok(());
    }
    Err(refusal(
        errors::VERSION_NOT_SUPPORTED,
        format!("this agent speaks A2A {VERSION}; the request is of version {version:?}: set the header A2A-Version"),
    ))
}

/// The agent, if the caller may do anything with its tasks. The operation checks what it needs itself.
async fn agent(gateway: &Gateway, caller: &Caller, (namespace, name): AgentPath) -> Result<Arc<AgentEntry>, ApiError> {
    let found = gateway.agents.by_name(&AgentName::new(namespace, name));
    for action in [Action::WriteTasks, Action::ReadTasks] {
        match gateway.agent(caller, action, found.clone()).await {
            Err(error) if error.status == StatusCode::NOT_FOUND => {}
            answer => return answer,
        }
    }
    gateway.agent(caller, Action::ReadAllTasks, found).await
}

/// An error that A2A defines, with status 400.
fn refusal(reason: &'static str, message: impl Into<String>) -> ApiError {
    ApiError::bad_request(message).code(reason)
}

fn task_not_found() -> ApiError {
    ApiError::not_found("the task").code(errors::TASK_NOT_FOUND)
}

fn push_not_supported() -> ApiError {
    refusal(
        errors::PUSH_NOTIFICATION_NOT_SUPPORTED,
        "this agent sends no push notifications: subscribe to the task, or get it now and then",
    )
}

fn no_extended_card() -> ApiError {
    refusal(
        errors::UNSUPPORTED_OPERATION,
        "this agent has no extended card: its card has everything",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_version_1_0_is_served_whatever_its_patch() {
        let asked = |header: Option<&str>, query: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(version) = header {
                headers.insert(VERSION_HEADER, version.parse().unwrap());
            }
            let query = VersionQuery {
                version: query.map(str::to_owned),
            };
            require_version(&headers, &query)
        };
        for (header, query) in [
            (Some("1.0"), None),
            (Some("1.0.1"), None),
            (None, Some("1.0")),
            (Some(""), Some("1.0")),
        ] {
            assert!(asked(header, query).is_ok(), "{header:?} {query:?}");
        }
        for (header, query) in [
            (None, None),
            (Some(""), None),
            (Some("0.3"), None),
            (Some("1"), None),
            (Some("1.1"), None),
            (Some("10.0"), None),
            (Some("x"), None),
            (Some("0.3"), Some("1.0")),
        ] {
            let error = asked(header, query).unwrap_err();
            assert_eq!(error.status, StatusCode::BAD_REQUEST, "{header:?} {query:?}");
            assert!(error.message.contains("A2A-Version"), "{}", error.message);
        }
    }
}
