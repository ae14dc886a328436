//! `event/send`: a message to the agent. The message is durable before the response; sending
//! it again under the same `Idempotency-Key` is harmless.

use axum::http::HeaderMap;
use jiff::Timestamp;
use serde_json::{Map, Value};
use steadfast_contract::signals::{ReceiveEvent, SIGNAL_RECEIVE_EVENT};
use steadfast_eventlog::{Entry, LogItem};
use steadfast_events::{Author, Content, EntryId, EventKind, LogId, id::user_message_id};
use steadfast_payload::plain_json;
use tokio::time::timeout;
use uuid::Uuid;

use super::params;
use crate::{
    access::Caller,
    admission::{Outgoing, admit},
    agentex::wire,
    agents::AgentEntry,
    api::{
        acknowledgement,
        extractors::{ContentError, MAX_MESSAGE_BYTES, read_content},
    },
    app::Gateway,
    error::ApiError,
    task::TaskRecord,
    temporal::TemporalError,
};

/// Longest payload of a message: its content and what JSON adds to it. Temporal takes 2 MiB.
const MAX_SIGNAL_BYTES: usize = MAX_MESSAGE_BYTES + 64 * 1024;
/// Pages of the log that are searched for the outcome of a repeated message.
const PAGES_BACK: usize = 4;

pub(super) async fn send_event(
    gateway: &Gateway,
    caller: &Caller,
    agent: &AgentEntry,
    headers: &HeaderMap,
    params: &Map<String, Value>,
) -> Result<Value, ApiError> {
    let key = params::idempotency_key(headers)?;
    let content = read_content(params.get("content")).map_err(|error| match error {
        ContentError::TooLarge => ApiError::too_large(error.to_string()),
        error => ApiError::bad_request(error.to_string()),
    })?;
    let task = params::task(gateway, caller, agent, params).await?;
    if task.status.is_terminal() {
        return Err(ended());
    }
    let message = OutgoingMessage {
        task: &task,
        log: task.own_log(),
        id: key.map_or_else(
            || Uuid::now_v7().to_string(),
            |key| user_message_id(&task.id, caller.name(), key),
        ),
        key,
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
        id: message.id,
        idempotency_key: key.map(str::to_owned),
        sequence_id,
        agent_id: agent.id.to_string(),
        created_at,
        content: wire::Content::new(Author::User, &content),
        task_id: task.id.clone(),
    })?)
}

struct OutgoingMessage<'a> {
    task: &'a TaskRecord,
    log: LogId,
    id: String,
    /// The idempotency key under which the client can send the message again.
    key: Option<&'a str>,
}

impl OutgoingMessage<'_> {
    fn task_id(&self) -> &str {
        &self.task.id
    }

    /// Signals the task and waits a moment for its answer; `None` when it does not come in time.
    async fn send(&self, gateway: &Gateway, caller: &Caller, content: &Content) -> Result<Option<Outcome>, ApiError> {
        let event = ReceiveEvent {
            message_id: self.id.clone(),
            idempotency_key: self.key.map(str::to_owned),
            content: content.clone(),
            sender: caller.name().to_owned(),
        };
        let payload = plain_json(&event)?;
        let size_bytes = payload.data.len();
        if size_bytes > MAX_SIGNAL_BYTES {
            return Err(ApiError::too_large(format!(
                "the message takes {size_bytes} bytes as JSON, and a task takes {MAX_SIGNAL_BYTES} at most"
            )));
        }
        if let Err(refused) = admit(self.task, gateway.history_limits, Outgoing::Message { size_bytes }) {
            // The task may have taken the message before: its sender asks again.
            return match self.earlier_outcome(gateway).await {
                Some(outcome) if self.key.is_some() => Ok(Some(outcome)),
                _ => Err(refused),
            };
        }
        let subscription = acknowledgement::subscribe(gateway, &self.log).await;
        let request_id = Uuid::new_v4().to_string();
        gateway
            .temporal
            .signal(self.task_id(), SIGNAL_RECEIVE_EVENT, payload, request_id)
            .await
            .map_err(|error| match error {
                TemporalError::NotFound => ended(),
                TemporalError::Refused(reason) => {
                    ApiError::too_large(format!("Temporal refused the message: {reason}"))
                }
                TemporalError::RunEnding => ApiError::from(error),
                // The signal may have arrived: a retry is harmless only under the same id.
                error if self.key.is_some() || !error.may_have_happened() => ApiError::from(error).retryable(true),
                error => ApiError::from(error).not_repeatable(
                    "the message may have arrived: read the task's messages before you send it again, and \
                     give the header Idempotency-Key to make this request safe to repeat",
                ),
            })?;
        let Some(subscription) = subscription else {
            return Ok(None);
        };
        if self.key.is_some()
            && let Some(outcome) = self.earlier_outcome(gateway).await
        {
            return Ok(Some(outcome));
        }
        let outcome = acknowledgement::wait(subscription, |item| match item {
            LogItem::Entry(entry) => self.outcome_in(entry),
            LogItem::Reset(snapshot) => snapshot
                .last
                .filter(|_| snapshot.messages.iter().any(|message| message.id == self.id))
                .map(Outcome::Accepted),
        });
        Ok(timeout(acknowledgement::TIMEOUT, outcome).await.ok().flatten())
    }

    /// The task acknowledges a message once, however often it is sent.
    async fn earlier_outcome(&self, gateway: &Gateway) -> Option<Outcome> {
        let mut before = EntryId {
            epoch: u64::MAX,
            number: u64::MAX,
        };
        for _ in 0..PAGES_BACK {
            let page = gateway.log.page_before(&self.log, before).await.ok()?;
            if let Some(outcome) = page.iter().find_map(|entry| self.outcome_in(entry)) {
                return Some(outcome);
            }
            before = page.last()?.id;
        }
        None
    }

    fn outcome_in(&self, entry: &Entry) -> Option<Outcome> {
        match &entry.event.kind {
            EventKind::MessageAccepted { message_id, .. } if *message_id == self.id => {
                Some(Outcome::Accepted(entry.id))
            }
            EventKind::MessageRejected { message_id, reason, .. } if *message_id == self.id => {
                Some(Outcome::Rejected(reason.clone()))
            }
            _ => None,
        }
    }
}

/// What the task did with a message.
enum Outcome {
    Accepted(EntryId),
    Rejected(String),
}

fn ended() -> ApiError {
    ApiError::bad_request("the task has ended: it takes no more messages")
}
