//! `POST /agents/{id}/rpc`: JSON-RPC as Agentex uses it, with optional `jsonrpc` and `id`. An
//! error has an HTTP status too, because Agentex's client hides the message of an error with
//! status 200; its body has the members of an RPC error and of a REST error.

mod create_task;
mod message_send;
pub(super) mod params;
mod send_event;

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use self::{create_task::create_task, message_send::send_message, send_event::send_event};
use super::{
    extractors::{JsonBody, UnreadBody},
    tasks,
};
use crate::{
    access::{Action, Caller, Session},
    agentex::wire,
    agents::AgentEntry,
    app::Gateway,
    error::{ApiError, ErrorBody},
};

const PARSE_ERROR: i32 = -32700;
const INVALID_REQUEST: i32 = -32600;
const METHOD_NOT_FOUND: i32 = -32601;
const INVALID_PARAMS: i32 = -32602;
const INTERNAL_ERROR: i32 = -32603;

/// Calls a method of an agent.
#[utoipa::path(
    post,
    path = "/agents/{agent_id}/rpc",
    operation_id = "call_agent",
    tag = "agents",
    params(("agent_id" = String, Path, description = "Id of the agent.")),
    request_body(content = Object, description = "A JSON-RPC request; `method` is `task/create`, `event/send`, `message/send`, `task/cancel` or `task/interrupt`."),
    responses(
        (status = OK, description = "A JSON-RPC response; of `message/send` with `stream`, one per line (`application/x-ndjson`).", body = Object),
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(super) async fn by_id(
    State(gateway): State<Arc<Gateway>>,
    Extension(session): Extension<Session>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: UnreadBody,
) -> Response {
    let agent = gateway.agents.by_id(&id);
    answer(&gateway, &session, agent, &headers, body).await
}

/// Calls a method of an agent by name.
#[utoipa::path(
    post,
    path = "/agents/name/{agent_name}/rpc",
    operation_id = "call_agent_by_name",
    tag = "agents",
    params(("agent_name" = String, Path, description = "Name of the agent.")),
    request_body(content = Object, description = "A JSON-RPC request; `method` is `task/create`, `event/send`, `message/send`, `task/cancel` or `task/interrupt`."),
    responses(
        (status = OK, description = "A JSON-RPC response; of `message/send` with `stream`, one per line (`application/x-ndjson`).", body = Object),
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(super) async fn by_name(
    State(gateway): State<Arc<Gateway>>,
    Extension(session): Extension<Session>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: UnreadBody,
) -> Response {
    let agent = gateway.agents.by_client_name(&name);
    answer(&gateway, &session, agent, &headers, body).await
}

/// A JSON-RPC request.
struct Call {
    id: Value,
    method: String,
    params: Map<String, Value>,
}

/// The method of a request, for the metrics.
#[derive(Clone, Copy, Debug)]
pub(super) struct RpcMethod(pub(super) &'static str);

async fn answer(
    gateway: &Arc<Gateway>,
    session: &Session,
    agent: Option<Arc<AgentEntry>>,
    headers: &HeaderMap,
    body: UnreadBody,
) -> Response {
    let caller = &session.caller;
    let request = async {
        let agent = gateway.agent(caller, Action::WriteTasks, agent).await?;
        let body = body.read(gateway, caller).await?;
        Ok((agent, body))
    };
    let (agent, body) = match request.await {
        Ok(request) => request,
        Err(error) => return failure(&Value::Null, code_of(&error), &error),
    };
    let call = match read_call(&body) {
        Ok(call) => call,
        Err((code, message)) => return failure(&Value::Null, code, &ApiError::bad_request(message)),
    };
    let (method, result) = match call.method.as_str() {
        "task/create" => (
            "task/create",
            to_value(create_task(gateway, caller, &agent, headers, &call.params).await),
        ),
        "event/send" => (
            "event/send",
            send_event(gateway, caller, &agent, headers, &call.params).await,
        ),
        "task/cancel" => (
            "task/cancel",
            to_value(cancel(gateway, caller, &agent, &call.params).await),
        ),
        "task/interrupt" => (
            "task/interrupt",
            to_value(interrupt(gateway, caller, &agent, &call.params).await),
        ),
        "message/send" => {
            let sent = Box::pin(send_message(gateway, session, &agent, headers, &call.id, &call.params)).await;
            let response = sent.unwrap_or_else(|error| failure(&call.id, code_of(&error), &error));
            return of_method(response, "message/send");
        }
        other => {
            let error = ApiError::bad_request(format!("there is no method {other:?}"));
            return failure(&call.id, METHOD_NOT_FOUND, &error);
        }
    };
    let response = match result {
        Ok(result) => Json(json!({ "jsonrpc": "2.0", "id": call.id, "result": result, "error": null })).into_response(),
        Err(error) => failure(&call.id, code_of(&error), &error),
    };
    of_method(response, method)
}

fn of_method(mut response: Response, method: &'static str) -> Response {
    response.extensions_mut().insert(RpcMethod(method));
    response
}

fn read_call(body: &JsonBody) -> Result<Call, (i32, String)> {
    let value = body.value().map_err(|message| (PARSE_ERROR, message))?;
    let Value::Object(mut call) = value else {
        return Err((INVALID_REQUEST, "the body must be a JSON-RPC request object".to_owned()));
    };
    let id = call.remove("id").unwrap_or_default();
    if !(id.is_null() || id.is_string() || id.is_number()) {
        return Err((INVALID_REQUEST, "id must be a string or a number".to_owned()));
    }
    let Some(Value::String(method)) = call.remove("method") else {
        return Err((INVALID_REQUEST, "method is required and must be a string".to_owned()));
    };
    let params = match call.remove("params") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(params)) => params,
        Some(_) => return Err((INVALID_PARAMS, "params must be an object".to_owned())),
    };
    Ok(Call { id, method, params })
}

fn to_value<T: Serialize>(result: Result<T, ApiError>) -> Result<Value, ApiError> {
    Ok(serde_json::to_value(result?)?)
}

fn code_of(error: &ApiError) -> i32 {
    if error.status.is_client_error() && error.status != StatusCode::UNAUTHORIZED {
        INVALID_PARAMS
    } else {
        INTERNAL_ERROR
    }
}

fn error_object(code: i32, message: &str, data: &Value) -> Value {
    json!({ "code": code, "message": message, "data": data })
}

fn failure(id: &Value, code: i32, error: &ApiError) -> Response {
    #[derive(Serialize)]
    struct Failure<'a> {
        jsonrpc: &'static str,
        id: &'a Value,
        result: Value,
        error: Value,
        #[serde(flatten)]
        body: ErrorBody,
    }
    error.respond_with(Failure {
        jsonrpc: "2.0",
        id,
        result: Value::Null,
        error: error_object(code, &error.message, &error.data),
        body: error.body(),
    })
}

async fn cancel(
    gateway: &Gateway,
    caller: &Caller,
    agent: &AgentEntry,
    params: &Map<String, Value>,
) -> Result<wire::Task, ApiError> {
    let task = params::task(gateway, caller, agent, params).await?;
    tasks::cancel_task(gateway, task, None).await
}

async fn interrupt(
    gateway: &Gateway,
    caller: &Caller,
    agent: &AgentEntry,
    params: &Map<String, Value>,
) -> Result<wire::Task, ApiError> {
    let task = params::task(gateway, caller, agent, params).await?;
    tasks::interrupt_task(gateway, &task, None).await
}

#[cfg(test)]
mod tests {
    use steadfast_bounds::json;

    use super::*;

    #[test]
    fn the_envelope_is_optional_and_the_method_is_not() {
        let read_call = |body: &'static str| super::read_call(&JsonBody::of(body));
        let call = read_call(r#"{"method":"task/create","params":{"name":"n"}}"#)
            .ok()
            .unwrap();
        assert_eq!(
            (call.id, call.method.as_str(), call.params.len()),
            (Value::Null, "task/create", 1)
        );
        let call = read_call(r#"{"jsonrpc":"2.0","id":7,"method":"event/send","params":null}"#)
            .ok()
            .unwrap();
        assert_eq!((call.id, call.params.len()), (json!(7), 0));
        let code = |body| read_call(body).err().unwrap().0;
        assert_eq!(code(""), PARSE_ERROR);
        assert_eq!(code("{"), PARSE_ERROR);
        let levels = json::MAXIMUM_DEPTH;
        let deep = format!(
            r#"{{"method":"x","params":{{"x":{}{}}}}}"#,
            "[".repeat(levels),
            "]".repeat(levels)
        );
        assert_eq!(code(deep.leak()), PARSE_ERROR);
        assert_eq!(code("[]"), INVALID_REQUEST);
        assert_eq!(code("{}"), INVALID_REQUEST);
        assert_eq!(code(r#"{"method":1}"#), INVALID_REQUEST);
        assert_eq!(code(r#"{"method":"x","id":{}}"#), INVALID_REQUEST);
        assert_eq!(code(r#"{"method":"x","params":[]}"#), INVALID_PARAMS);
    }
}
