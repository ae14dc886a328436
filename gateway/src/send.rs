//! Sending a message to a task: it is durable before the response. Sending it again under the same
//! id is harmless.

use steadfast_contract::signals::{ReceiveEvent, SIGNAL_RECEIVE_EVENT};
use steadfast_eventlog::{Entry, LogItem};
use steadfast_events::{Content, EntryId, EventKind, LogId};
use steadfast_payload::plain_json;
use temporalio_common::protos::temporal::api::common::v1::Payload;
use tokio::time::timeout;
use uuid::Uuid;

use crate::{
    access::Caller,
    acknowledgement,
    admission::{Outgoing, admit},
    app::Gateway,
    error::ApiError,
    task::TaskRecord,
    temporal::TemporalError,
};

/// Longest text or data of a message.
pub(crate) const MAX_MESSAGE_BYTES: usize = 1024 * 1024;
/// Longest payload of a message: its content and what JSON adds to it. Temporal takes 2 MiB.
const MAX_SIGNAL_BYTES: usize = MAX_MESSAGE_BYTES + 64 * 1024;
/// Pages of the log that are searched for the outcome of a repeated message.
const PAGES_BACK: usize = 4;

/// A message that is to be sent.
pub(crate) struct OutgoingMessage<'a> {
    pub(crate) task: &'a TaskRecord,
    pub(crate) log: LogId,
    pub(crate) id: String,
    /// The idempotency key that the client gave.
    pub(crate) key: Option<&'a str>,
    /// The same request gives the same id.
    pub(crate) may_be_repeated: bool,
}

impl OutgoingMessage<'_> {
    /// Signals the task and waits a moment for its answer; `None` when it does not come in time.
    pub(crate) async fn send(
        &self,
        gateway: &Gateway,
        caller: &Caller,
        content: &Content,
    ) -> Result<Option<Outcome>, ApiError> {
        let subscription = acknowledgement::subscribe(gateway, &self.log).await;
        if let Some(outcome) = self.signal(gateway, caller, content).await? {
            return Ok(Some(outcome));
        }
        let Some(subscription) = subscription else {
            return Ok(None);
        };
        if self.may_be_repeated
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

    /// Signals the task. There is an outcome only where the task has no room for the message and took it before.
    pub(crate) async fn signal(
        &self,
        gateway: &Gateway,
        caller: &Caller,
        content: &Content,
    ) -> Result<Option<Outcome>, ApiError> {
        if self.task.status.is_terminal() {
            return Err(ended());
        }
        let payload = payload(&self.id, self.key, caller, content)?;
        let size_bytes = payload.data.len();
        let admitted = self.agent_takes_messages(gateway).and_then(|()| {
            let outgoing = Outgoing::Message { size_bytes };
            admit(self.task, gateway.history_limits, outgoing)
        });
        if let Err(refused) = admitted {
            // The task may have taken the message before: its sender asks again.
            return match self.earlier_outcome(gateway).await {
                Some(outcome) if self.may_be_repeated => Ok(Some(outcome)),
                _ => Err(refused),
            };
        }
        let request_id = Uuid::new_v4().to_string();
        let expected = gateway.fleet.expect(&self.task.agent, &self.log, &self.id);
        let signaled = gateway
            .temporal
            .signal(&self.task.id, SIGNAL_RECEIVE_EVENT, payload, request_id)
            .await;
        signaled.map_err(|error| send_error(error, self.may_be_repeated))?;
        gateway.wake(&self.task.agent);
        expected.sent();
        Ok(None)
    }

    /// A task whose agent is gone is not refused here: it goes on when an agent of that name is there again.
    fn agent_takes_messages(&self, gateway: &Gateway) -> Result<(), ApiError> {
        match gateway.agents.by_name(&self.task.agent) {
            Some(agent) if agent.is_being_deleted => Err(ApiError::agent_being_deleted()),
            _ => Ok(()),
        }
    }

    /// The task acknowledges a message once, however often it is sent.
    pub(crate) async fn earlier_outcome(&self, gateway: &Gateway) -> Option<Outcome> {
        let log = &gateway.log;
        let found = log.find_back(&self.log, None, PAGES_BACK, |entry| self.outcome_in(entry));
        found.await.ok().flatten()
    }

    pub(crate) fn outcome_in(&self, entry: &Entry) -> Option<Outcome> {
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
pub(crate) enum Outcome {
    /// The entry says so.
    Accepted(EntryId),
    Rejected(String),
}

/// The input of the signal.
pub(crate) fn payload(
    message_id: &str,
    key: Option<&str>,
    caller: &Caller,
    content: &Content,
) -> Result<Payload, ApiError> {
    if let Content::Text { text, .. } = content
        && text.len() > MAX_MESSAGE_BYTES
    {
        return Err(ApiError::too_large(format!(
            "a message is at most {MAX_MESSAGE_BYTES} bytes long"
        )));
    }
    let event = ReceiveEvent {
        message_id: message_id.to_owned(),
        idempotency_key: key.map(str::to_owned),
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
    Ok(payload)
}

/// The signal may have arrived: another attempt is harmless only under the same id.
pub(crate) fn send_error(error: TemporalError, may_be_repeated: bool) -> ApiError {
    match error {
        TemporalError::NotFound | TemporalError::AlreadyExists(_) => ended(),
        TemporalError::Refused(reason) => ApiError::too_large(format!("Temporal refused the message: {reason}")),
        TemporalError::RunEnding => ApiError::from(error),
        error if may_be_repeated || !error.may_have_happened() => ApiError::from(error).retryable(true),
        error => ApiError::from(error).not_repeatable(
            "the message may have arrived: read the task's messages before you send it again, and \
             give the header Idempotency-Key to make this request safe to repeat",
        ),
    }
}

fn ended() -> ApiError {
    ApiError::bad_request("the task has ended: it takes no more messages")
}
