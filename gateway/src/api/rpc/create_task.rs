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
use steadfast_payload::pack;
use temporalio_common::protos::temporal::api::common::v1::Payload;
use uuid::Uuid;

use super::params;
use crate::{
    access::{Action, Caller},
    agentex::wire,
    agents::AgentEntry,
    api::extractors::{MAX_MESSAGE_BYTES, traceparent},
    app::Gateway,
    error::ApiError,
    temporal::{StartRequest, Started},
};

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
    let task_params = params::object(params, "params", MAX_MESSAGE_BYTES)?;
    let metadata = params::object(params, "task_metadata", MAX_METADATA_BYTES)?;
    let id = match (&name, params::idempotency_key(headers)?) {
        (Some(name), _) => agent.named_task_id(name),
        (None, Some(key)) => agent.keyed_task_id(caller.name(), key),
        (None, None) => Uuid::now_v7().to_string(),
    };

    let mut start = StartTask::new(&id, &agent.name.namespace, &agent.name.name);
    caller.name().clone_into(&mut start.creator);
    start.traceparent = traceparent(headers);
    start.params = task_params.clone().unwrap_or_default();
    let mut memo = vec![
        (MEMO_AGENT, payload(&agent.name.to_string())?),
        (MEMO_CREATOR, payload(&caller.name())?),
    ];
    if let Some(name) = &name {
        memo.push((MEMO_NAME, payload(name)?));
    }
    if let Some(metadata) = &metadata {
        memo.push((MEMO_METADATA, payload(metadata)?));
    }
    let request = StartRequest {
        workflow_id: id.clone(),
        workflow_type: WORKFLOW_TYPE,
        task_queue: agent.task_queue.clone(),
        input: payload(&start)?,
        memo,
    };
    match gateway.temporal.start(request).await? {
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

fn payload<T: Serialize>(value: &T) -> Result<Payload, ApiError> {
    pack(value).map_err(|error| ApiError::internal("a payload cannot be written", error))
}
