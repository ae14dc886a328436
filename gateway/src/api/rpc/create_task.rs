//! `task/create`: a new task, or the existing one with the same name or idempotency key. The
//! task is durable before the response.

use axum::http::HeaderMap;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use steadfast_contract::{
    start::{StartTask, WORKFLOW_TYPE},
    visibility::{MEMO_AGENT, MEMO_CREATOR, MEMO_METADATA, MEMO_NAME},
};
use steadfast_payload::{pack, plain_json};
use temporalio_common::protos::temporal::api::common::v1::Payload;
use uuid::Uuid;

use super::params;
use crate::{
    access::{Action, Caller},
    agentex::wire,
    agents::AgentEntry,
    api::extractors::traceparent,
    app::Gateway,
    error::ApiError,
    temporal::{StartRequest, Started, TemporalError},
};

/// Every run of the task, and every task that it asks, is given the `params`.
const MAX_PARAMS_BYTES: usize = 256 * 1024;
/// Every list of tasks contains the metadata.
const MAX_METADATA_BYTES: usize = 16 * 1024;

pub(super) async fn create_task(
    gateway: &Gateway,
    caller: &Caller,
    agent: &AgentEntry,
    headers: &HeaderMap,
    params: &Map<String, Value>,
) -> Result<wire::Task, ApiError> {
    let name = params::name(params)?;
    let task_params = params::object(params, "params", MAX_PARAMS_BYTES)?;
    let metadata = params::object(params, "task_metadata", MAX_METADATA_BYTES)?;
    let key = params::idempotency_key(headers)?;
    // The same name or key gives the same task.
    let may_be_repeated = name.is_some() || key.is_some();
    let id = match (&name, key) {
        (Some(name), _) => agent.named_task_id(caller.name(), name),
        (None, Some(key)) => agent.keyed_task_id(caller.name(), key),
        (None, None) => Uuid::now_v7().to_string(),
    };

    let mut start = StartTask::new(&id, &agent.name.namespace, &agent.name.name);
    caller.name().clone_into(&mut start.creator);
    start.traceparent = traceparent(headers);
    start.params = task_params.clone().unwrap_or_default();
    let mut memo = vec![
        (MEMO_AGENT, memo_field(&agent.name.to_string())?),
        (MEMO_CREATOR, memo_field(&caller.name())?),
    ];
    if let Some(name) = &name {
        memo.push((MEMO_NAME, memo_field(name)?));
    }
    if let Some(metadata) = &metadata {
        memo.push((MEMO_METADATA, memo_field(metadata)?));
    }
    let request = StartRequest {
        workflow_id: id.clone(),
        workflow_type: WORKFLOW_TYPE,
        task_queue: agent.task_queue.clone(),
        input: payload(&start)?,
        memo,
    };
    let started = match gateway.temporal.start(request).await {
        Ok(started) => started,
        Err(error) => return Err(start_error(error, may_be_repeated)),
    };
    match started {
        Started::New => {
            let now = Timestamp::now();
            Ok(wire::Task {
                id,
                name,
                status: wire::TaskStatus::Running,
                status_reason: None,
                created_at: now,
                updated_at: now,
                cleaned_at: None,
                params: task_params,
                task_metadata: metadata,
            })
        }
        Started::Existing => {
            let task = gateway.task(caller, Action::WriteTasks, &id).await?;
            Ok(task.to_wire(None))
        }
    }
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
}
