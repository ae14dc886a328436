//! `task/create`: a new task, or the existing one with the same name or idempotency key.

use axum::http::HeaderMap;
use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::params;
use crate::{
    access::{Action, Caller},
    agentex::wire,
    agents::AgentEntry,
    app::Gateway,
    error::ApiError,
    start::{MAX_METADATA_BYTES, MAX_PARAMS_BYTES, NewTask, start_task},
    temporal::Started,
};

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
    let id = match (&name, key) {
        (Some(name), _) => agent.named_task_id(caller.name(), name),
        (None, Some(key)) => agent.keyed_task_id(caller.name(), key),
        (None, None) => Uuid::now_v7(),
    };
    let id = id.to_string();
    let task = NewTask {
        id: &id,
        name: name.as_deref(),
        params: task_params.as_ref(),
        metadata: metadata.as_ref(),
        // The same name or key gives the same task.
        may_be_repeated: name.is_some() || key.is_some(),
    };
    match start_task(gateway, caller, agent, headers, &task).await? {
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
