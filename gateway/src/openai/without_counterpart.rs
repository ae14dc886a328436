//! What OpenAI's APIs have and Steadfast does not, and what to use instead. Pure.

use axum::http::Method;

/// What is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unserved {
    /// The part of the API, as a parameter of the error.
    pub(crate) parameter: Option<&'static str>,
    pub(crate) instead: &'static str,
}

/// Why a path of OpenAI is not served with this method; `None` for other paths. A 404 would read as "deleted", and
/// clients repeat 409 and 5xx.
pub(crate) fn without_counterpart(method: &Method, path: &str) -> Option<Unserved> {
    let is_read = method.is_safe();
    let parts: Vec<&str> = path.strip_prefix("/v1/")?.split('/').collect();
    let (parameter, instead) = match parts.as_slice() {
        ["agents", "automations", ..] => (Some("automations"), "schedules stand in spec.schedules of the Agent"),
        ["agents", "environments", ..] => (
            Some("environments"),
            "tools run in the workers of the Agent, and sessions have the environment none",
        ),
        ["vaults", ..] => (Some("vaults"), "credentials stand in spec.credentials of the Agent"),
        ["files", ..] => (Some("files"), "send a file with its message, as file_data or file_url"),
        ["responses"] if is_read => (None, "there is no WebSocket: POST /v1/responses with stream"),
        ["responses", "compact"] if !is_read => {
            (None, "an agent shortens its context itself: spec.context of the Agent")
        }
        ["responses", "input_tokens"] if !is_read => (None, "tokens are counted by the model: see usage of a response"),
        ["conversations", _, "items"] if !is_read => (
            None,
            "an agent answers every message: give the items to the next response",
        ),
        ["conversations", _, "items", _] if !is_read => {
            (None, "an item goes with the whole of it: DELETE /v1/conversations/{id}")
        }
        ["chat", "completions", ..] if is_read => (None, "a completion is not kept for later: use /v1/responses"),
        ["models", _] if !is_read => (None, "agents are deleted in the cluster: delete the Agent resource"),
        _ => return None,
    };
    Some(Unserved { parameter, instead })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_counterpart_is_told_where_it_stands_instead() {
        for (method, path) in [
            (Method::POST, "/v1/vaults"),
            (Method::POST, "/v1/agents/automations/a/pause"),
            (Method::GET, "/v1/agents/environments"),
            (Method::POST, "/v1/files"),
            (Method::GET, "/v1/responses"),
            (Method::POST, "/v1/responses/compact"),
            (Method::POST, "/v1/responses/input_tokens"),
            (Method::POST, "/v1/conversations/c/items"),
            (Method::DELETE, "/v1/conversations/c/items/i"),
            (Method::GET, "/v1/chat/completions"),
            (Method::GET, "/v1/chat/completions/c/messages"),
            (Method::DELETE, "/v1/models/m"),
        ] {
            assert!(without_counterpart(&method, path).is_some(), "{method} {path}");
        }
        for (method, path) in [
            (Method::GET, "/v1/agentsx"),
            (Method::GET, "/tasks"),
            (Method::GET, "/v1/responses/compact"),
            (Method::POST, "/v1/responses"),
            (Method::GET, "/v1/conversations/c/items"),
            (Method::POST, "/v1/chat/completions"),
        ] {
            assert_eq!(without_counterpart(&method, path), None, "{method} {path}");
        }
    }
}
