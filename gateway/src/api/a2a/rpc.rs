//! The JSON-RPC binding: every operation is a `POST` to the URL of the agent.
//! Source: A2A 1.0, section 9; JSON-RPC 2.0.

use std::sync::Arc;

use a2a_types::{JsonRpcId, methods};
use axum::{
    Extension,
    extract::{Path, State},
    http::HeaderMap,
    response::Response,
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{
    AgentPath, VersionQuery, agent, no_extended_card,
    operations::{Call, Sent, Wait, history_length},
    push_not_supported, refusal, require_version,
    wire::Binding,
};
use crate::{
    a2a::{errors, turn::Artifacts},
    access::Session,
    api::{
        extractors::{JsonBody, Params, UnreadBody},
        rpc::RpcMethod,
    },
    app::Gateway,
    error::{ApiError, ErrorBody},
};

/// Calls an operation of A2A.
#[utoipa::path(
    post,
    path = "/a2a/{namespace}/{agent}",
    operation_id = "call_a2a",
    tag = "a2a",
    params(
        ("namespace" = String, Path, description = "Kubernetes namespace of the agent."),
        ("agent" = String, Path, description = "Name of the agent."),
        VersionQuery,
        ("A2A-Version" = Option<String>, Header, description = "`1.0`."),
    ),
    request_body(content = Object, description = "A JSON-RPC request; `method` is `SendMessage`, `SendStreamingMessage`, `GetTask`, `ListTasks`, `CancelTask` or `SubscribeToTask`."),
    responses(
        (status = OK, description = "A JSON-RPC response, or server-sent events of them.", body = Object),
        (status = "default", description = "A JSON-RPC response with an error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn call(
    State(gateway): State<Arc<Gateway>>,
    Extension(session): Extension<Session>,
    Path(path): Path<AgentPath>,
    Params(version): Params<VersionQuery>,
    headers: HeaderMap,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    let agent = agent(&gateway, &session.caller, path).await?;
    let body = body.read(&gateway, &session.caller).await?;
    let request = match Request::read(&body) {
        Ok(request) => request,
        Err((id, error)) => return Ok(Binding::Rpc(id).failure(&error)),
    };
    let binding = Binding::Rpc(request.id);
    let is_spoken = require_version(&headers, &version);
    let call = Call {
        gateway,
        session,
        agent,
        headers,
    };
    let method = METHODS.iter().find(|method| **method == request.method).copied();
    let answer = match is_spoken {
        Ok(()) => dispatch(&call, &binding, &request.method, request.params).await,
        Err(error) => Err(error),
    };
    let mut response = answer.unwrap_or_else(|error| binding.failure(&error));
    if let Some(method) = method {
        response.extensions_mut().insert(RpcMethod(method));
    }
    Ok(response)
}

/// The names that metrics may have.
const METHODS: [&str; 11] = [
    methods::SEND_MESSAGE,
    methods::SEND_STREAMING_MESSAGE,
    methods::GET_TASK,
    methods::LIST_TASKS,
    methods::CANCEL_TASK,
    methods::SUBSCRIBE_TO_TASK,
    methods::CREATE_PUSH_CONFIG,
    methods::GET_PUSH_CONFIG,
    methods::LIST_PUSH_CONFIGS,
    methods::DELETE_PUSH_CONFIG,
    methods::GET_EXTENDED_AGENT_CARD,
];

async fn dispatch(call: &Call, binding: &Binding, method: &str, params: Value) -> Result<Response, ApiError> {
    match method {
        methods::SEND_MESSAGE => {
            let request: a2a_types::SendMessageRequest = read(params)?;
            let configuration = request.configuration.as_ref();
            let length = history_length(configuration.and_then(|configuration| configuration.history_length))?;
            match call.send(request, Wait::IfAsked).await? {
                Sent::AsItIs(turn) => Ok(binding.result(json!({"task": turn.task(length, Artifacts::Shown)}))),
                Sent::Followed(following) => Ok(binding.clone().when_settled(following, length).await),
            }
        }
        methods::SEND_STREAMING_MESSAGE => match call.send(read(params)?, Wait::Always).await? {
            Sent::Followed(following) => Ok(binding.clone().stream(following)),
            Sent::AsItIs(turn) => Ok(binding.result(json!({"task": turn.task(None, Artifacts::Shown)}))),
        },
        methods::GET_TASK => Ok(binding.result(json!(call.get(&read(params)?).await?))),
        methods::LIST_TASKS => Ok(binding.result(json!(call.list(read(params)?).await?))),
        methods::CANCEL_TASK => Ok(binding.result(json!(call.cancel(&read(params)?).await?))),
        methods::SUBSCRIBE_TO_TASK => {
            let following = call.subscribe(&read(params)?).await?;
            Ok(binding.clone().stream(following))
        }
        methods::CREATE_PUSH_CONFIG
        | methods::GET_PUSH_CONFIG
        | methods::LIST_PUSH_CONFIGS
        | methods::DELETE_PUSH_CONFIG => Err(push_not_supported()),
        methods::GET_EXTENDED_AGENT_CARD => Err(no_extended_card()),
        other => Err(refusal(
            errors::METHOD_NOT_FOUND,
            format!("there is no method {other:?}; those of A2A 1.0 are written as SendMessage"),
        )),
    }
}

/// The parameters of a method.
pub(super) fn read<T: DeserializeOwned>(params: Value) -> Result<T, ApiError> {
    serde_json::from_value(params)
        .map_err(|error| ApiError::bad_request(format!("the parameters are invalid: {error}")))
}

/// A JSON-RPC request.
struct Request {
    id: JsonRpcId,
    method: String,
    params: Value,
}

impl Request {
    /// The error goes with the id of the request, where it could be read.
    fn read(body: &JsonBody) -> Result<Self, (JsonRpcId, ApiError)> {
        let value = body
            .value()
            .map_err(|message| (JsonRpcId::Null, refusal(errors::PARSE_ERROR, message)))?;
        let invalid = |message: &str| refusal(errors::INVALID_REQUEST, message);
        let Value::Object(mut request) = value else {
            return Err((JsonRpcId::Null, invalid("the body must be a JSON-RPC request object")));
        };
        let id = request.remove("id").map(serde_json::from_value);
        let Some(Ok(id)) = id else {
            return Err((
                JsonRpcId::Null,
                invalid("id is required: a string, a whole number or null"),
            ));
        };
        if request.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
            return Err((id, invalid("jsonrpc must be \"2.0\"")));
        }
        let Some(Value::String(method)) = request.remove("method") else {
            return Err((id, invalid("method is required and must be a string")));
        };
        let params = match request.remove("params") {
            None | Some(Value::Null) => Value::Object(Map::new()),
            Some(params @ Value::Object(_)) => params,
            Some(_) => {
                return Err((id, ApiError::bad_request("params must be an object").param("params")));
            }
        };
        Ok(Self { id, method, params })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &'static str) -> (JsonRpcId, Option<&'static str>) {
        let (id, error) = Request::read(&JsonBody::of(body)).err().unwrap();
        (id, error.reason())
    }

    #[test]
    fn what_is_no_request_of_json_rpc_is_refused() {
        let id = || JsonRpcId::Number(7);
        for (body, id, reason) in [
            ("", JsonRpcId::Null, Some(errors::PARSE_ERROR)),
            ("{", JsonRpcId::Null, Some(errors::PARSE_ERROR)),
            ("[]", JsonRpcId::Null, Some(errors::INVALID_REQUEST)),
            (
                r#"{"jsonrpc":"2.0","method":"GetTask"}"#,
                JsonRpcId::Null,
                Some(errors::INVALID_REQUEST),
            ),
            (
                r#"{"jsonrpc":"2.0","id":{},"method":"GetTask"}"#,
                JsonRpcId::Null,
                Some(errors::INVALID_REQUEST),
            ),
            (r#"{"id":7,"method":"GetTask"}"#, id(), Some(errors::INVALID_REQUEST)),
            (r#"{"jsonrpc":"2.0","id":7}"#, id(), Some(errors::INVALID_REQUEST)),
            (r#"{"jsonrpc":"2.0","id":7,"method":"GetTask","params":[]}"#, id(), None),
        ] {
            assert_eq!(refused(body), (id, reason), "{body}");
        }
        let request = Request::read(&JsonBody::of(r#"{"jsonrpc":"2.0","id":"a","method":"ListTasks"}"#));
        let request = request.ok().unwrap();
        assert_eq!(
            (request.id, request.method.as_str(), request.params),
            (JsonRpcId::from("a"), "ListTasks", json!({}))
        );
    }
}
