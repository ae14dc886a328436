//! `POST /agents/{id}/rpc`: JSON-RPC as Agentex speaks it, `jsonrpc` and `id`
//! optional. A failure has an HTTP status too, because the client hides the text
//! of one that comes with 200; its body is an RPC error and a REST error in one.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{send, tasks};
use crate::{
    access::{Action, Caller},
    directory::AgentEntry,
    error::ApiError,
    gateway::Gateway,
    inbound::BoundedBody,
    task::TaskRecord,
};

const PARSE_ERROR: i32 = -32700;
const INVALID_REQUEST: i32 = -32600;
const METHOD_NOT_FOUND: i32 = -32601;
const INVALID_PARAMS: i32 = -32602;
const INTERNAL_ERROR: i32 = -32603;

pub async fn by_id(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: BoundedBody,
) -> Response {
    let found = gateway.directory.by_id(&id);
    answer(&gateway, &caller, found, &headers, &body).await
}

pub async fn by_name(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: BoundedBody,
) -> Response {
    let found = gateway.directory.by_client_name(&name);
    answer(&gateway, &caller, found, &headers, &body).await
}

/// A request whose envelope could be read.
struct Call {
    id: Value,
    method: String,
    params: Map<String, Value>,
}

async fn answer(
    gateway: &Gateway,
    caller: &Caller,
    found: Option<AgentEntry>,
    headers: &HeaderMap,
    body: &BoundedBody,
) -> Response {
    let call = match read_call(&body.0) {
        Ok(call) => call,
        Err((code, message)) => return failure(&Value::Null, code, &ApiError::bad_request(message)),
    };
    let agent = match gateway.agent(caller, Action::WriteTasks, found).await {
        Ok(agent) => agent,
        Err(error) => return failure(&call.id, code_of(&error), &error),
    };
    let result = match call.method.as_str() {
        "task/create" => to_value(send::create_task(gateway, caller, &agent, headers, &call.params).await),
        "event/send" => to_value(send::send_event(gateway, caller, &agent, headers, &call.params).await),
        "task/cancel" => to_value(cancel(gateway, caller, &agent, &call.params).await),
        "task/interrupt" => to_value(interrupt(gateway, caller, &agent, &call.params).await),
        "message/send" => {
            let error = ApiError::bad_request("message/send is for sync agents; use event/send and the task's stream");
            return failure(&call.id, METHOD_NOT_FOUND, &error);
        }
        other => {
            let error = ApiError::bad_request(format!("there is no method {other:?}"));
            return failure(&call.id, METHOD_NOT_FOUND, &error);
        }
    };
    match result {
        Ok(result) => Json(json!({ "jsonrpc": "2.0", "id": call.id, "result": result, "error": null })).into_response(),
        Err(error) => failure(&call.id, code_of(&error), &error),
    }
}

fn read_call(body: &[u8]) -> Result<Call, (i32, String)> {
    let value: Value =
        serde_json::from_slice(body).map_err(|error| (PARSE_ERROR, format!("the body is not JSON: {error}")))?;
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
    serde_json::to_value(result?).map_err(|error| ApiError::internal("the answer cannot be written", error))
}

fn code_of(error: &ApiError) -> i32 {
    if error.status.is_client_error() && error.status != StatusCode::UNAUTHORIZED {
        INVALID_PARAMS
    } else {
        INTERNAL_ERROR
    }
}

fn failure(id: &Value, code: i32, error: &ApiError) -> Response {
    let mut body = error.body();
    if let Value::Object(body) = &mut body {
        body.insert("jsonrpc".to_owned(), json!("2.0"));
        body.insert("id".to_owned(), id.clone());
        body.insert("result".to_owned(), Value::Null);
        body.insert(
            "error".to_owned(),
            json!({ "code": code, "message": error.message, "data": error.data }),
        );
    }
    error.respond_with(body)
}

/// The task that `task_id` or `task_name` names, if it is one of the agent's.
pub(super) async fn task_of(
    gateway: &Gateway,
    caller: &Caller,
    agent: &AgentEntry,
    params: &Map<String, Value>,
) -> Result<TaskRecord, ApiError> {
    let text = |field: &str| match params.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(ApiError::bad_request(format!("{field} must be a string"))),
    };
    let id = match (text("task_id")?, text("task_name")?) {
        (Some(id), None) => id,
        (None, Some(name)) => agent.named_task_id(&name),
        _ => {
            return Err(ApiError::bad_request(
                "exactly one of task_id and task_name is required",
            ));
        }
    };
    let task = gateway.task(caller, Action::WriteTasks, &id).await?;
    if task.agent == agent.name {
        Ok(task)
    } else {
        Err(ApiError::not_found("the task"))
    }
}

async fn cancel(
    gateway: &Gateway,
    caller: &Caller,
    agent: &AgentEntry,
    params: &Map<String, Value>,
) -> Result<crate::wire::Task, ApiError> {
    let task = task_of(gateway, caller, agent, params).await?;
    tasks::cancel_task(gateway, task, "canceled by a client").await
}

async fn interrupt(
    gateway: &Gateway,
    caller: &Caller,
    agent: &AgentEntry,
    params: &Map<String, Value>,
) -> Result<crate::wire::Task, ApiError> {
    let task = task_of(gateway, caller, agent, params).await?;
    tasks::interrupt_task(gateway, task, None).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_envelope_is_optional_and_the_method_is_not() {
        let call = read_call(br#"{"method":"task/create","params":{"name":"n"}}"#)
            .ok()
            .unwrap();
        assert_eq!(
            (call.id, call.method.as_str(), call.params.len()),
            (Value::Null, "task/create", 1)
        );
        let call = read_call(br#"{"jsonrpc":"2.0","id":7,"method":"event/send","params":null}"#)
            .ok()
            .unwrap();
        assert_eq!((call.id, call.params.len()), (json!(7), 0));
        let code = |body: &str| read_call(body.as_bytes()).err().unwrap().0;
        assert_eq!(code(""), PARSE_ERROR);
        assert_eq!(code("{"), PARSE_ERROR);
        assert_eq!(code("[]"), INVALID_REQUEST);
        assert_eq!(code("{}"), INVALID_REQUEST);
        assert_eq!(code(r#"{"method":1}"#), INVALID_REQUEST);
        assert_eq!(code(r#"{"method":"x","id":{}}"#), INVALID_REQUEST);
        assert_eq!(code(r#"{"method":"x","params":[]}"#), INVALID_PARAMS);
    }
}
