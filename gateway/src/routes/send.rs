//! Starting tasks and sending to them. Both are durable before they are
//! answered, and harmless to repeat under an `Idempotency-Key`.

use std::time::Duration;

use axum::http::HeaderMap;
use futures::StreamExt as _;
use jiff::Timestamp;
use serde_json::{Map, Value};
use steadfast_contract::{
    signals::{ReceiveEvent, SIGNAL_RECEIVE_EVENT},
    start::{StartTask, WORKFLOW_TYPE},
    visibility::{MEMO_AGENT, MEMO_CREATOR, MEMO_METADATA, MEMO_NAME},
};
use steadfast_eventlog::{LogItem, Subscription, reader::From};
use steadfast_events::EntryId;
use steadfast_events::{Author, EventKind};
use steadfast_payload::pack;
use temporalio_common::protos::temporal::api::common::v1::Payload;
use tokio::time::timeout;
use uuid::Uuid;

use super::rpc::task_of;
use crate::{
    access::{Action, Caller},
    directory::AgentEntry,
    error::ApiError,
    gateway::Gateway,
    inbound::{ContentError, MAX_MESSAGE_BYTES, read_content, traceparent},
    temporal::{StartRequest, Started, TemporalError, plain_json},
    wire,
};

/// How long the agent's acknowledgement is waited for.
const ACKNOWLEDGEMENT: Duration = Duration::from_secs(2);
/// How long Redis may take before a message goes out without waiting for the acknowledgement.
const SUBSCRIBE: Duration = Duration::from_millis(500);
/// Pages of the log that are looked through for what became of a repeated message.
const PAGES_BACK: usize = 4;
/// Metadata stands in every list of tasks.
const MAX_METADATA_BYTES: usize = 16 * 1024;
const MAX_NAME_BYTES: usize = 255;
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// `task/create`: a new task, or the one that has this name or key already.
pub async fn create_task(
    gateway: &Gateway,
    caller: &Caller,
    agent: &AgentEntry,
    headers: &HeaderMap,
    params: &Map<String, Value>,
) -> Result<wire::Task, ApiError> {
    let name = match params.get("name") {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) if (1..=MAX_NAME_BYTES).contains(&name.len()) => Some(name.clone()),
        Some(_) => {
            return Err(ApiError::bad_request(format!(
                "name must be a text of 1 to {MAX_NAME_BYTES} bytes"
            )));
        }
    };
    let task_params = object(params, "params", MAX_MESSAGE_BYTES)?;
    let metadata = object(params, "task_metadata", MAX_METADATA_BYTES)?;
    let id = match (&name, idempotency_key(headers)?) {
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

/// `event/send`: a message on its way to the agent.
pub async fn send_event(
    gateway: &Gateway,
    caller: &Caller,
    agent: &AgentEntry,
    headers: &HeaderMap,
    params: &Map<String, Value>,
) -> Result<wire::Event, ApiError> {
    let key = idempotency_key(headers)?.map(str::to_owned);
    let content = read_content(params.get("content")).map_err(|error| match error {
        ContentError::TooLarge => ApiError::too_large(error.to_string()),
        error => ApiError::bad_request(error.to_string()),
    })?;
    let task = task_of(gateway, caller, agent, params).await?;
    let ended = || ApiError::bad_request("the task has ended: it takes no more messages");
    if task.status.is_terminal() {
        return Err(ended());
    }

    let repeatable = key.is_some();
    let message_id = key.unwrap_or_else(|| Uuid::now_v7().to_string());
    let subscription = match timeout(SUBSCRIBE, gateway.reader.subscribe(&task.id, From::Tail)).await {
        Ok(Ok(subscription)) => Some(subscription),
        Ok(Err(_)) | Err(_) => None,
    };
    let event = ReceiveEvent {
        message_id: message_id.clone(),
        content: content.clone(),
        sender: caller.name().to_owned(),
    };
    let request_id = Uuid::new_v4().to_string();
    let created_at = Timestamp::now();
    match gateway
        .temporal
        .signal(&task.id, SIGNAL_RECEIVE_EVENT, plain_json(&event)?, request_id)
        .await
    {
        Ok(()) => {}
        Err(TemporalError::NotFound) => return Err(ended()),
        Err(TemporalError::Refused(reason)) => {
            return Err(ApiError::too_large(format!("Temporal refused the message: {reason}")));
        }
        // It may have arrived: sending it again is harmless only under the same id.
        Err(error) => return Err(ApiError::from(error).repeatable(repeatable)),
    }
    let outcome = match subscription {
        Some(subscription) => {
            let earlier = async {
                if repeatable {
                    earlier_outcome(gateway, &task.id, &message_id).await
                } else {
                    None
                }
            };
            let waited = timeout(ACKNOWLEDGEMENT, outcome(subscription, &message_id));
            match earlier.await {
                Some(outcome) => Some(outcome),
                None => waited.await.ok().flatten(),
            }
        }
        None => None,
    };
    let sequence_id = match outcome {
        Some(Outcome::Rejected(reason)) => {
            return Err(ApiError::bad_request(format!(
                "the task rejected the message: {reason}"
            )));
        }
        Some(Outcome::Accepted(entry)) => entry.number,
        None => 0,
    };
    Ok(wire::Event {
        id: message_id,
        sequence_id,
        task_id: task.id,
        agent_id: agent.id.to_string(),
        created_at,
        content: wire::Content::new(Author::User, &content),
    })
}

/// What the task said of a message.
enum Outcome {
    Accepted(EntryId),
    Rejected(String),
}

fn outcome_in(entry: &steadfast_eventlog::Entry, message_id: &str) -> Option<Outcome> {
    match &entry.event.kind {
        EventKind::MessageAccepted { message_id: id } if id == message_id => Some(Outcome::Accepted(entry.id)),
        EventKind::MessageRejected { message_id: id, reason } if id == message_id => {
            Some(Outcome::Rejected(reason.clone()))
        }
        _ => None,
    }
}

async fn outcome(mut subscription: Subscription, message_id: &str) -> Option<Outcome> {
    while let Some(item) = subscription.next().await {
        let outcome = match item {
            LogItem::Entry(entry) => outcome_in(&entry, message_id),
            LogItem::Reset(snapshot) => snapshot
                .last
                .filter(|_| snapshot.messages.iter().any(|message| message.id == message_id))
                .map(Outcome::Accepted),
        };
        if outcome.is_some() {
            return outcome;
        }
    }
    None
}

/// The task acknowledges a message once, however often it is sent.
async fn earlier_outcome(gateway: &Gateway, task_id: &str, message_id: &str) -> Option<Outcome> {
    let mut before = EntryId {
        epoch: u64::MAX,
        number: u64::MAX,
    };
    for _ in 0..PAGES_BACK {
        let page = gateway.log.page_before(task_id, before).await.ok()?;
        if let Some(outcome) = page.iter().find_map(|entry| outcome_in(entry, message_id)) {
            return Some(outcome);
        }
        before = page.last()?.id;
    }
    None
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(key) if (1..=MAX_NAME_BYTES).contains(&key.len()) => Ok(Some(key)),
        _ => Err(ApiError::bad_request(format!(
            "Idempotency-Key must be 1 to {MAX_NAME_BYTES} printable ASCII characters"
        ))),
    }
}

fn object(params: &Map<String, Value>, field: &str, max_bytes: usize) -> Result<Option<Value>, ApiError> {
    match params.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(object @ Value::Object(_)) => {
            if object.to_string().len() > max_bytes {
                return Err(ApiError::too_large(format!(
                    "{field} is at most {max_bytes} bytes long"
                )));
            }
            Ok(Some(object.clone()))
        }
        Some(_) => Err(ApiError::bad_request(format!("{field} must be an object"))),
    }
}

fn payload<T: serde::Serialize>(value: &T) -> Result<Payload, ApiError> {
    pack(value).map_err(|error| ApiError::internal("a payload cannot be written", error))
}
