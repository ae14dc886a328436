//! One turn for a request that waits for the answer: the task that takes the message, the message, and the
//! updates that follow it.

use std::{sync::Arc, time::Duration};

use axum::http::{HeaderMap, StatusCode};
use futures::{StreamExt as _, stream, stream::BoxStream};
use serde_json::Value;
use steadfast_contract::signals::{ReceiveEvent, SIGNAL_RECEIVE_EVENT};
use steadfast_eventlog::{Entry, LogItem, reader::From};
use steadfast_events::{
    Author, Content, EntryId, EventKind, LogId, Message, TextFormat, TurnStatus, id::user_message_id,
};
use steadfast_payload::unpack;
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::{
    access::{Action, Session},
    agentex::wire::TaskStatus,
    agents::AgentEntry,
    app::Gateway,
    attachments::{self, MessageAttachments},
    error::ApiError,
    follow::{End, Follower, Update},
    messages,
    send::{Outcome, OutgoingMessage, payload},
    start::{NewTask, start_with_message},
    task::TaskRecord,
    temporal::{Started, TemporalError},
    turn_writer::TurnWriter,
};

/// How long the acceptance of a message that may have been sent before is awaited, before the log is searched for it.
const SEARCH_AFTER: Duration = Duration::from_millis(250);
/// Pages of a log that are searched for a message.
const PAGES_BACK: usize = 100;

/// Which task takes the message.
pub(super) enum Thread {
    /// One that there is.
    Of(Box<TaskRecord>),
    /// A new one.
    New {
        id: Uuid,
        name: Option<String>,
        /// There may be one with its id.
        may_be_repeated: bool,
    },
}

/// A message of plain text.
pub(super) fn text(text: String) -> Content {
    Content::text(text, TextFormat::Plain)
}

/// A message that is to be sent.
pub(super) struct Turn<'a> {
    pub(super) gateway: &'a Arc<Gateway>,
    pub(super) session: &'a Session,
    pub(super) headers: &'a HeaderMap,
    pub(super) agent: &'a AgentEntry,
    pub(super) message: Content,
    /// The message for a task that does not have what was said before.
    pub(super) opening: Content,
    /// What the message brings along, which is stored when it is sent.
    pub(super) attachments: MessageAttachments<'a>,
    pub(super) params: Option<&'a Value>,
    pub(super) metadata: Option<&'a Value>,
    /// The idempotency key of the client.
    pub(super) key: Option<&'a str>,
    /// The same request has the same, where the client sends the conversation again each time.
    pub(super) resent: Option<String>,
}

/// A message that was sent.
pub(super) struct Sent {
    pub(super) task: TaskRecord,
    pub(super) message_id: Uuid,
    start: From,
    /// An item of the log that was read already.
    first: Option<LogItem>,
    subscription: Option<steadfast_eventlog::Subscription>,
}

impl Turn<'_> {
    pub(super) async fn send(self, thread: Thread) -> Result<Sent, ApiError> {
        let caller = &self.session.caller;
        match thread {
            Thread::Of(task) => self.send_to(*task).await,
            Thread::New {
                id,
                name,
                may_be_repeated,
            } => {
                if may_be_repeated {
                    match self.gateway.task(caller, Action::WriteTasks, &id.to_string()).await {
                        Ok(task) => return self.send_to(task).await,
                        Err(error) if error.status == StatusCode::NOT_FOUND => {}
                        Err(error) => return Err(error),
                    }
                }
                self.begin(id, name).await
            }
        }
    }

    /// Whether the same request gives the same message.
    fn may_be_repeated(&self) -> bool {
        self.key.is_some() || self.resent.is_some()
    }

    async fn begin(self, id: Uuid, name: Option<String>) -> Result<Sent, ApiError> {
        let caller = &self.session.caller;
        let id = id.to_string();
        let message_id = self.message_id(&id);
        let content = self
            .content(self.opening.clone(), &self.agent.name.namespace, &id)
            .await?;
        let task = NewTask {
            id: &id,
            name: name.as_deref(),
            params: self.params,
            metadata: self.metadata,
            may_be_repeated: self.may_be_repeated(),
        };
        let message = payload(&message_id.to_string(), self.key, caller, &content)?;
        let started = start_with_message(self.gateway, caller, self.agent, self.headers, &task, message).await?;
        let task = self.gateway.task(caller, Action::WriteTasks, &id).await?;
        let fleet = &self.gateway.fleet;
        fleet.expect_first(&task.agent, &task.own_log(), &message_id.to_string());
        Ok(Sent {
            task,
            message_id,
            start: match started {
                Started::New => From::Beginning,
                Started::Existing => From::Start,
            },
            first: None,
            subscription: None,
        })
    }

    async fn send_to(self, task: TaskRecord) -> Result<Sent, ApiError> {
        if task.agent != self.agent.name {
            return Err(ApiError::bad_request(
                "the conversation is with another agent: a conversation stays with the agent it began with",
            )
            .param("model"));
        }
        let log = task.own_log();
        let message_id = self.message_id(&task.id);
        let message = OutgoingMessage {
            task: &task,
            log: log.clone(),
            id: message_id.to_string(),
            key: self.key,
            may_be_repeated: self.may_be_repeated(),
        };
        let mut subscription = self.gateway.reader.subscribe(&log, From::Tail).await.ok();
        let content = self
            .content(self.message.clone(), &task.agent.namespace, &task.id)
            .await?;
        let mut known = message.signal(self.gateway, &self.session.caller, &content).await?;
        let mut first = None;
        if message.may_be_repeated && known.is_none() {
            let deadline = Instant::now() + SEARCH_AFTER;
            while let Some(live) = &mut subscription {
                let Ok(Some(item)) = timeout_at(deadline, live.next()).await else {
                    break;
                };
                // What comes before the acceptance belongs to other turns.
                if matches!(&item, LogItem::Reset(_))
                    || matches!(&item, LogItem::Entry(entry) if message.outcome_in(entry).is_some())
                {
                    first = Some(item);
                    break;
                }
            }
            if first.is_none() {
                known = message.earlier_outcome(self.gateway).await;
            }
        }
        let start = match known {
            Some(Outcome::Accepted(entry)) => {
                subscription = None;
                before(entry)
            }
            Some(Outcome::Rejected(_)) | None => From::Tail,
        };
        Ok(Sent {
            task,
            message_id,
            start,
            first,
            subscription,
        })
    }

    /// The message with what it brings along, which is stored now.
    async fn content(&self, content: Content, namespace: &str, task_id: &str) -> Result<Content, ApiError> {
        attachments::attach(self.gateway, namespace, task_id, content, self.attachments).await
    }

    fn message_id(&self, task_id: &str) -> Uuid {
        let seed = self.key.or(self.resent.as_deref());
        let derived = seed.map(|seed| user_message_id(task_id, self.session.caller.name(), seed));
        derived.and_then(|id| id.parse().ok()).unwrap_or_else(Uuid::now_v7)
    }
}

impl Sent {
    /// What follows the message.
    pub(super) async fn updates(
        self,
        gateway: &Arc<Gateway>,
        session: &Session,
    ) -> Result<BoxStream<'static, Update>, ApiError> {
        let place = gateway.load.stream(&session.caller).await?;
        let subscription = match self.subscription {
            Some(subscription) => subscription,
            None => gateway.reader.subscribe(&self.task.own_log(), self.start).await?,
        };
        let cursor = match (&self.first, self.start) {
            (Some(LogItem::Entry(entry)), _) => Some(EntryId {
                number: entry.id.number.saturating_sub(1),
                ..entry.id
            }),
            (_, From::After(id)) => Some(id),
            _ => subscription.begins_after(),
        };
        let items = stream::iter(self.first).chain(subscription);
        let follower = Follower::new(gateway.clone(), session.clone(), self.task, place, cursor);
        Ok(follower.updates(items, End::WithTask))
    }
}

/// What follows a message that was sent earlier.
pub(super) async fn updates_of(
    gateway: &Arc<Gateway>,
    session: &Session,
    task: TaskRecord,
    start: From,
) -> Result<BoxStream<'static, Update>, ApiError> {
    let end = End::of(gateway, &task).await?;
    let place = gateway.load.stream(&session.caller).await?;
    let subscription = gateway.reader.subscribe(&task.own_log(), start).await?;
    let cursor = match start {
        From::After(id) => Some(id),
        From::Start | From::Beginning | From::Tail => None,
    };
    let follower = Follower::new(gateway.clone(), session.clone(), task, place, cursor);
    Ok(follower.updates(subscription, end))
}

/// Where the turn of a message begins in the log; `None` if the log does not tell.
pub(super) async fn beginning(gateway: &Gateway, log: &LogId, message_id: &str) -> Result<Option<From>, ApiError> {
    let begins = |entry: &Entry| match &entry.event.kind {
        EventKind::MessageAccepted { message_id: id, .. } | EventKind::MessageRejected { message_id: id, .. } => {
            (id == message_id).then(|| before(entry.id))
        }
        _ => None,
    };
    Ok(gateway.log.find_back(log, None, PAGES_BACK, begins).await?)
}

/// The last message of users that the task has accepted.
pub(super) async fn last_message(gateway: &Gateway, task: &TaskRecord) -> Result<Option<String>, ApiError> {
    let accepted = |entry: &Entry| match &entry.event.kind {
        EventKind::MessageAccepted { message_id, .. } => Some(message_id.clone()),
        _ => None,
    };
    let log = &gateway.log;
    let last = log.find_back(&task.own_log(), None, PAGES_BACK, accepted).await?;
    if last.is_some() {
        return Ok(last);
    }
    let messages = messages::messages(gateway, task).await?;
    let last = messages
        .into_iter()
        .rev()
        .find(|message| message.author == Author::User);
    Ok(last.map(|message| message.id))
}

/// The messages of the task, if it was ever sent this message: one that waits for a worker is not among them yet.
pub(super) async fn messages_of(
    gateway: &Gateway,
    task: &TaskRecord,
    message_id: &str,
) -> Result<Option<Vec<Message>>, ApiError> {
    let messages = messages::messages(gateway, task).await?;
    let is_accepted = |message: &Message| message.author == Author::User && message.id == message_id;
    if messages.iter().any(is_accepted) {
        return Ok(Some(messages));
    }
    let history = match gateway.temporal.history(&task.id, &task.run_id).await {
        Ok(history) => history,
        Err(TemporalError::NotFound) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let is_sent = history.iter().any(|event| match &event.attributes {
        Some(Attributes::WorkflowExecutionSignaledEventAttributes(signaled))
            if signaled.signal_name == SIGNAL_RECEIVE_EVENT =>
        {
            let input = signaled.input.as_ref().and_then(|input| input.payloads.first());
            let event: Option<ReceiveEvent> = input.and_then(|payload| unpack(payload).ok());
            event.is_some_and(|event| event.message_id == message_id)
        }
        _ => false,
    });
    Ok(is_sent.then_some(messages))
}

/// What an update adds.
pub(super) fn take_in<W: TurnWriter>(writer: &mut W, update: Update) -> Vec<W::Event> {
    match update {
        Update::Entry(entry) => writer.apply(&entry.event),
        Update::Messages(all) => writer.catch_up(&all.messages, all.turn_end.as_ref().map(|entry| &entry.event)),
        Update::Ended(ended) => {
            let mut events = writer.catch_up(&ended.missing.unwrap_or_default(), None);
            events.extend(writer.end_unseen(turn_status(ended.task.status)));
            events
        }
        Update::Error(_) => Vec::new(),
    }
}

/// Waits until the turn has ended. It goes on where that fails, so another request would be another turn.
pub(super) async fn until_ended<W: TurnWriter>(
    writer: &mut W,
    updates: &mut BoxStream<'static, Update>,
) -> Result<(), ApiError> {
    while !writer.has_ended() {
        match updates.next().await {
            Some(Update::Error(reason)) => {
                return Err(ApiError::new(StatusCode::FAILED_DEPENDENCY, reason).retryable(false));
            }
            Some(update) => drop(take_in(writer, update)),
            None => return Err(ApiError::overloaded("the gateway stops; the turn goes on").retryable(false)),
        }
    }
    Ok(())
}

/// How a turn ended whose task has ended.
pub(super) fn turn_status(task: TaskStatus) -> TurnStatus {
    match task {
        TaskStatus::Canceled | TaskStatus::Terminated => TurnStatus::Canceled,
        TaskStatus::Failed | TaskStatus::TimedOut => TurnStatus::Failed,
        _ => TurnStatus::Completed,
    }
}

/// The position before an entry. Numbers have no gaps, and the first entry opens the log.
fn before(entry: EntryId) -> From {
    From::After(EntryId {
        number: entry.number.saturating_sub(1),
        ..entry
    })
}
