//! Starting a task: it is durable before the response.

use axum::http::HeaderMap;
use serde::Serialize;
use serde_json::Value;
use steadfast_contract::{
    signals::SIGNAL_RECEIVE_EVENT,
    start::{StartTask, WORKFLOW_TYPE},
    visibility::{MEMO_AGENT, MEMO_CREATOR, MEMO_METADATA, MEMO_NAME, MEMO_TRACE},
};
use steadfast_payload::{pack, plain_json};
use temporalio_common::protos::temporal::api::common::v1::Payload;
use uuid::Uuid;

use crate::{
    access::Caller,
    agents::AgentEntry,
    app::Gateway,
    audit,
    error::ApiError,
    send::send_error,
    temporal::{StartRequest, Started, TemporalError},
};

/// Every run of the task, and every task that it asks, is given the `params`.
pub(crate) const MAX_PARAMS_BYTES: usize = 256 * 1024;
/// Every list of tasks contains the metadata.
pub(crate) const MAX_METADATA_BYTES: usize = 16 * 1024;

/// A task that is to be started.
pub(crate) struct NewTask<'a> {
    pub(crate) id: &'a str,
    pub(crate) name: Option<&'a str>,
    pub(crate) params: Option<&'a Value>,
    pub(crate) metadata: Option<&'a Value>,
    /// The same request gives the same id.
    pub(crate) may_be_repeated: bool,
}

/// Starts a task unless there is one with its id. Whether the caller may do it was checked before.
pub(crate) async fn start_task(
    gateway: &Gateway,
    caller: &Caller,
    agent: &AgentEntry,
    headers: &HeaderMap,
    task: &NewTask<'_>,
) -> Result<Started, ApiError> {
    let started = gateway.temporal.start(request(caller, agent, headers, task)?).await;
    let started = started.map_err(|error| start_error(error, task.may_be_repeated))?;
    gateway.wake(&agent.name);
    Ok(started)
}

/// Starts a task with its first message, both or nothing. A task with its id gets the message alone.
pub(crate) async fn start_with_message(
    gateway: &Gateway,
    caller: &Caller,
    agent: &AgentEntry,
    headers: &HeaderMap,
    task: &NewTask<'_>,
    message: Payload,
) -> Result<Started, ApiError> {
    let request_id = Uuid::new_v4().to_string();
    let started = gateway
        .temporal
        .signal_with_start(
            request(caller, agent, headers, task)?,
            SIGNAL_RECEIVE_EVENT,
            message,
            request_id,
        )
        .await;
    let started = started.map_err(|error| send_error(error, task.may_be_repeated))?;
    gateway.wake(&agent.name);
    Ok(started)
}

fn request(
    caller: &Caller,
    agent: &AgentEntry,
    headers: &HeaderMap,
    task: &NewTask<'_>,
) -> Result<StartRequest, ApiError> {
    audit::task(task.id);
    if agent.is_being_deleted {
        return Err(ApiError::agent_being_deleted());
    }
    let mut start = StartTask::new(task.id, &agent.name.namespace, &agent.name.name);
    caller.name().clone_into(&mut start.creator);
    start.traceparent = traceparent(headers);
    start.params = task.params.cloned().unwrap_or_default();
    let mut memo = vec![
        (MEMO_AGENT, memo_field(&agent.name.to_string())?),
        (MEMO_CREATOR, memo_field(&caller.name())?),
    ];
    if let Some(name) = task.name {
        memo.push((MEMO_NAME, memo_field(&name)?));
    }
    if let Some(metadata) = task.metadata {
        memo.push((MEMO_METADATA, memo_field(metadata)?));
    }
    if let Some(trace_id) = start.trace_id() {
        memo.push((MEMO_TRACE, memo_field(&trace_id)?));
    }
    Ok(StartRequest {
        workflow_id: task.id.to_owned(),
        workflow_type: WORKFLOW_TYPE,
        task_queue: agent.task_queue.clone(),
        input: payload(&start)?,
        memo,
    })
}

/// Without a name or a key, another attempt after a start that may have happened would be another
/// task.
fn start_error(error: TemporalError, may_be_repeated: bool) -> ApiError {
    if may_be_repeated || !error.may_have_happened() {
        return error.into();
    }
    ApiError::from(error).not_repeatable(
        "the task may have been started: look for it in GET /tasks before you create another, and \
         give a name or the header Idempotency-Key to make this request safe to repeat",
    )
}

fn payload<T: Serialize>(value: &T) -> Result<Payload, ApiError> {
    pack(value).map_err(|error| ApiError::internal("a payload cannot be written", error))
}

/// Plain JSON whatever its size: clients in every language read the memo, and the workflow passes it on to its next run.
fn memo_field<T: Serialize>(value: &T) -> Result<Payload, ApiError> {
    plain_json(value).map_err(|error| ApiError::internal("a memo field cannot be written", error))
}

/// The W3C trace context of a request. A malformed one is ignored, as the standard demands.
fn traceparent(headers: &HeaderMap) -> Option<String> {
    const ID_LENGTHS: [usize; 3] = [32, 16, 2];
    let text = headers.get("traceparent")?.to_str().ok()?;
    let mut parts = text.split('-');
    if parts.next()? != "00" {
        return None;
    }
    for length in ID_LENGTHS {
        let part = parts.next()?;
        let is_hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_id = length > 2;
        if part.len() != length || !part.bytes().all(is_hexadecimal) || (is_id && part.bytes().all(|byte| byte == b'0'))
        {
            return None;
        }
    }
    parts.next().is_none().then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::StatusCode;

    use super::*;

    /// Whether clients repeat a request by themselves after this status: those that Stainless
    /// generates, which Agentex's is, and OpenAI's.
    fn is_repeated_by_clients(status: StatusCode) -> bool {
        status.is_server_error() || [408, 409, 429].contains(&status.as_u16())
    }

    #[test]
    fn a_memo_field_is_plain_json_whatever_its_size() {
        let metadata = serde_json::json!({"notes": "x".repeat(MAX_METADATA_BYTES)});
        let field = memo_field(&metadata).unwrap();
        assert_eq!(field.metadata["encoding"], b"json/plain");
        assert_eq!(serde_json::from_slice::<Value>(&field.data).unwrap(), metadata);
    }

    #[test]
    fn a_start_that_may_have_happened_is_repeated_only_under_a_name_or_a_key() {
        let late = || TemporalError::TimedOut(Duration::from_secs(5));
        let unkeyed = start_error(late(), false);
        assert!(!is_repeated_by_clients(unkeyed.status));
        assert_eq!(unkeyed.retryable, Some(false));
        assert!(unkeyed.message.contains("Idempotency-Key"), "{}", unkeyed.message);
        let keyed = start_error(late(), true);
        assert!(is_repeated_by_clients(keyed.status));
        assert_ne!(keyed.retryable, Some(false));
    }

    #[test]
    fn a_start_that_temporal_refused_is_a_mistake_of_the_request() {
        let refused = start_error(TemporalError::Refused("too large".to_owned()), false);
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    }

    #[test]
    fn a_malformed_trace_context_is_ignored() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", value.parse().unwrap());
            traceparent(&headers)
        };
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(read(good).as_deref(), Some(good));
        assert_eq!(traceparent(&HeaderMap::new()), None);
        for bad in [
            "",
            "00",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
