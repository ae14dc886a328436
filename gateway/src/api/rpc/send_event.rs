//! `event/send`: a message to the agent.

use axum::http::HeaderMap;
use jiff::Timestamp;
use serde_json::{Map, Value};
use steadfast_events::{Author, id::user_message_id};
use uuid::Uuid;

use super::params;
use crate::{
    access::Caller,
    agentex::wire,
    agents::AgentEntry,
    app::Gateway,
    attachments::{self, MessageAttachments},
    error::ApiError,
    send::{Outcome, OutgoingMessage},
};

pub(super) async fn send_event(
    gateway: &Gateway,
    caller: &Caller,
    agent: &AgentEntry,
    headers: &HeaderMap,
    params: &Map<String, Value>,
) -> Result<Value, ApiError> {
    let key = params::idempotency_key(headers)?;
    let (content, given) = params::content(params)?;
    let task = params::task(gateway, caller, agent, params).await?;
    let content = attachments::attach(
        gateway,
        &task.agent.namespace,
        &task.id,
        content,
        MessageAttachments {
            given: &given,
            param: "content",
        },
    )
    .await?;
    let message = OutgoingMessage {
        task: &task,
        log: task.own_log(),
        id: key.map_or_else(
            || Uuid::now_v7().to_string(),
            |key| user_message_id(&task.id, caller.name(), key),
        ),
        key,
        may_be_repeated: key.is_some(),
    };
    let created_at = Timestamp::now();
    let sequence_id = match message.send(gateway, caller, &content).await? {
        Some(Outcome::Rejected(reason)) => {
            return Err(ApiError::bad_request(format!(
                "the task rejected the message: {reason}"
            )));
        }
        Some(Outcome::Accepted(entry)) => entry.number,
        None => 0,
    };
    Ok(serde_json::to_value(wire::Event {
        id: wire::MessageId {
            task: &task.id,
            message: &message.id,
        }
        .to_string(),
        idempotency_key: key.map(str::to_owned),
        sequence_id,
        agent_id: agent.id.to_string(),
        created_at,
        content: wire::Content::new(Author::User, &content),
        task_id: task.id.clone(),
    })?)
}
