//! Following a task for one viewer: the entries of its log in order, all messages where the log
//! lost some, and the end of the task, until the viewer may no longer see it. Each surface turns
//! these updates into what its clients read.

mod revocation;

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use backon::{ExponentialBuilder, Retryable as _};
use futures::{Stream, StreamExt as _, stream::BoxStream};
use jiff::Timestamp;
use steadfast_eventlog::{Entry, LogError, LogItem, Snapshot};
use steadfast_events::{EntryId, EventKind, Message, ParseEntryIdError};
use temporalio_common::protos::temporal::api::workflowservice::v1::DescribeWorkflowExecutionResponse;
use tokio::time::{Instant, sleep};

use self::revocation::revoked;
use crate::{
    access::Session, agentex::wire::TaskStatus, app::Gateway, error::ApiError, load::Permit, messages,
    metrics::OpenStream, task::TaskRecord, temporal::TemporalError,
};

/// How often Temporal is asked for the task's status while the log is quiet: the log of a
/// terminated task does not record the end.
const STATUS_PERIOD: Duration = Duration::from_secs(15);
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(15);

/// What a viewer is told next.
#[derive(Debug)]
pub(crate) enum Update {
    /// The next entry of the log.
    Entry(Arc<Entry>),
    /// All messages: what the viewer was told before may be wrong or incomplete.
    Messages(AllMessages),
    /// The task has ended, and its log does not say so.
    Ended(Box<EndedTask>),
    /// The updates end early, or something is missing: why.
    Error(String),
}

/// All messages of a task.
#[derive(Debug)]
pub(crate) struct AllMessages {
    pub(crate) messages: Vec<Message>,
    /// How far the viewer has come with them; absent where the next update says so.
    pub(crate) position: Option<Position>,
    /// The latest end of a turn, where the viewer was not told of it.
    pub(crate) turn_end: Option<Arc<Entry>>,
}

/// A task that has ended.
#[derive(Debug)]
pub(crate) struct EndedTask {
    pub(crate) task: TaskRecord,
    /// All messages, where the log lacks some of them.
    pub(crate) missing: Option<Vec<Message>>,
    /// Set where no entry tells a viewer who comes back that it has all.
    pub(crate) position: Option<Position>,
}

/// How far a viewer has come, as the id of an event says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// `0`: before the first entry.
    Start,
    /// The last entry that the viewer has.
    After(EntryId),
    /// `end`: the viewer has all of a task that has ended and has no log.
    End,
}

const START: &str = "0";
const END: &str = "end";

impl Position {
    pub(crate) fn after(last: Option<EntryId>) -> Self {
        last.map_or(Self::Start, Self::After)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str(START),
            Self::After(id) => id.fmt(f),
            Self::End => f.write_str(END),
        }
    }
}

impl FromStr for Position {
    type Err = ParseEntryIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            START => Ok(Self::Start),
            END => Ok(Self::End),
            id => id.parse().map(Self::After),
        }
    }
}

/// Where the updates end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// When the task ends.
    WithTask,
    /// After the last entry of a task that has ended.
    AfterEntry(EntryId),
    /// After all messages of a task that has ended and has no log.
    AfterReset,
}

impl End {
    /// Where the updates of a task end as it is now.
    pub(crate) async fn of(gateway: &Gateway, task: &TaskRecord) -> Result<Self, LogError> {
        if !task.status.is_terminal() {
            return Ok(Self::WithTask);
        }
        let last = gateway.log.tail(&task.own_log()).await?;
        Ok(last.map_or(Self::AfterReset, Self::AfterEntry))
    }
}

/// One viewer of a task.
pub(crate) struct Follower {
    gateway: Arc<Gateway>,
    session: Arc<Session>,
    task: Arc<TaskRecord>,
    /// The place among the streams of the gateway.
    _place: Permit,
    /// Counts it among them.
    _open: OpenStream,
    /// The last entry that the viewer has.
    cursor: Option<EntryId>,
    /// The log lost entries while a turn ran. Messages that the turn finished before may be in
    /// neither log nor history; when the turn has ended, history has them.
    incomplete: bool,
    /// Temporal does not know the task any more, or another task has its id. The client comes back and is told, or
    /// is authorised for the other task.
    gone: bool,
}

/// What a viewer waits for.
enum Next {
    /// The next item of the log; `None` when the gateway stops.
    Item(Option<LogItem>),
    /// The log was quiet for [`STATUS_PERIOD`].
    Quiet,
    /// The viewer may no longer see the task: why.
    Revoked(String),
}

impl Follower {
    /// A viewer that has all entries up to `cursor`.
    pub(crate) fn new(
        gateway: Arc<Gateway>,
        session: Session,
        task: impl Into<Arc<TaskRecord>>,
        place: Permit,
        cursor: Option<EntryId>,
    ) -> Self {
        Self {
            _open: gateway.metrics.stream_opened(),
            gateway,
            session: Arc::new(session),
            task: task.into(),
            _place: place,
            cursor,
            incomplete: false,
            gone: false,
        }
    }

    /// The updates, until `end`, until the viewer may no longer see the task, or until the gateway
    /// stops.
    pub(crate) fn updates(
        self,
        subscription: impl Stream<Item = LogItem> + Send + Unpin + 'static,
        end: End,
    ) -> BoxStream<'static, Update> {
        // Whatever the viewer waits for, a gateway that stops does not wait for it: the client
        // comes back to another replica.
        let stopping = self.gateway.stopping.clone().cancelled_owned();
        self.follow(subscription, end).take_until(stopping).boxed()
    }

    fn follow(
        mut self,
        mut subscription: impl Stream<Item = LogItem> + Send + Unpin + 'static,
        end: End,
    ) -> impl Stream<Item = Update> + Send + 'static {
        async_stream::stream! {
            let (gateway, session, task) = (self.gateway.clone(), self.session.clone(), self.task.clone());
            let mut revoked = Box::pin(async move { revoked(&gateway, &session, &task).await });
            // One timer for the whole stream: to set it on costs nothing, and a new one for each entry a lock.
            let mut quiet = std::pin::pin!(sleep(STATUS_PERIOD));
            let connected = Timestamp::now();
            while !self.has_reached(end) {
                let next = tokio::select! {
                    biased;
                    reason = &mut revoked => Next::Revoked(reason),
                    item = subscription.next() => Next::Item(item),
                    () = quiet.as_mut() => Next::Quiet,
                };
                quiet.as_mut().reset(Instant::now() + STATUS_PERIOD);
                match next {
                    Next::Revoked(reason) => {
                        yield Update::Error(reason);
                        return;
                    }
                    Next::Item(Some(LogItem::Entry(entry))) => {
                        self.cursor = Some(entry.id);
                        self.gateway.metrics.event_delivered(entry.event.time, connected);
                        let (turn_ends, task_ends, id) = (is_turn_end(&entry), is_task_end(&entry), entry.id);
                        yield Update::Entry(entry);
                        if self.incomplete && turn_ends
                            && let Some(messages) = self.reload(id).await
                        {
                            yield messages;
                        }
                        if task_ends {
                            return;
                        }
                    }
                    Next::Item(Some(LogItem::Reset(snapshot))) => {
                        let update = tokio::select! {
                            reason = &mut revoked => Err(reason),
                            update = self.reset(snapshot) => Ok(update),
                        };
                        match update {
                            Ok(update) => {
                                if let Some(update) = update {
                                    yield update;
                                }
                            }
                            Err(reason) => {
                                yield Update::Error(reason);
                                return;
                            }
                        }
                        if end == End::AfterReset {
                            break;
                        }
                    }
                    Next::Item(None) => break,
                    Next::Quiet => {
                        Box::pin(self.refresh_task()).await;
                        if self.gone || self.task.status.is_terminal() {
                            break;
                        }
                    }
                }
            }
            if let Some(update) = Box::pin(self.end_of_task()).await {
                yield update;
            }
        }
    }

    /// The log is gone or does not record the end of the task: Temporal does.
    async fn end_of_task(&mut self) -> Option<Update> {
        self.refresh_task().await;
        if self.gone || !self.task.status.is_terminal() {
            return None;
        }
        let missing = if self.cursor.is_some() {
            Box::pin(messages::missing_at_the_end(&self.gateway, &self.task)).await
        } else {
            Ok(None)
        };
        Some(match missing {
            Ok(missing) => Update::Ended(Box::new(EndedTask {
                task: TaskRecord::clone(&self.task),
                // Where the log lacks the end, no entry tells a client that comes back that it has all.
                position: (self.cursor.is_none() || missing.is_some()).then_some(Position::End),
                missing,
            })),
            // The client comes back.
            Err(error) => Update::Error(error.message),
        })
    }

    fn has_reached(&self, end: End) -> bool {
        matches!(end, End::AfterEntry(last) if self.cursor >= Some(last))
    }

    /// All messages after entries were lost, and the end of a turn that the viewer has not seen among them; nothing
    /// for a viewer who has just come to a task without messages.
    async fn reset(&mut self, mut snapshot: Snapshot) -> Option<Update> {
        let before = self.cursor;
        let last = snapshot.last;
        self.cursor = last;
        self.incomplete = !snapshot.complete;
        let turn_end = snapshot.turn_end.take().filter(|entry| before < Some(entry.id));
        // On the heap, like the other reads of all messages: every stream would carry their size otherwise.
        match Box::pin(all_messages(&self.gateway, &self.task, snapshot)).await {
            Ok(messages) if before.is_none() && last.is_none() && messages.is_empty() => None,
            Ok(messages) => Some(Update::Messages(AllMessages {
                messages,
                position: Some(Position::after(last)),
                turn_end,
            })),
            Err(error) => Some(Update::Error(error.message)),
        }
    }

    /// All messages once more, when the turn that lost entries has ended.
    async fn reload(&mut self, last: EntryId) -> Option<Update> {
        self.incomplete = false;
        match Box::pin(messages::messages_until(&self.gateway, &self.task, last)).await {
            Ok(messages) => Some(Update::Messages(AllMessages {
                messages,
                // The entry before has it.
                position: None,
                turn_end: None,
            })),
            Err(error) => {
                tracing::warn!(
                    task = %self.task.id,
                    error = &error as &dyn std::error::Error,
                    "a viewer may lack messages: reading them from Temporal failed"
                );
                None
            }
        }
    }

    /// Reads the task from Temporal; keeps what is known while Temporal is down.
    async fn refresh_task(&mut self) {
        match self.gateway.describe_shared(&self.task.id).await {
            Ok(description) => match TaskRecord::read(DescribeWorkflowExecutionResponse::clone(&description)) {
                Some(task) if task.is_same_as(&self.task) => self.task = Arc::new(task),
                _ => self.gone = true,
            },
            Err(error) if matches!(*error, TemporalError::NotFound) => self.gone = true,
            Err(_) => {}
        }
    }
}

/// The messages of a snapshot, and those that the log has lost. While Temporal is down this
/// waits for it: the caller drops the future to stop.
async fn all_messages(gateway: &Gateway, task: &TaskRecord, snapshot: Snapshot) -> Result<Vec<Message>, ApiError> {
    if snapshot.complete {
        return Ok(snapshot.messages);
    }
    let retry = ExponentialBuilder::default()
        .with_min_delay(FIRST_RETRY)
        .with_max_delay(LONGEST_RETRY)
        .with_jitter()
        .without_max_times();
    let in_history = (|| messages::in_history(gateway, task))
        .retry(retry)
        .when(|error: &ApiError| error.status.is_server_error())
        .await?;
    Ok(messages::merge(in_history, snapshot.messages))
}

fn is_turn_end(entry: &Entry) -> bool {
    entry.event.path.is_empty() && matches!(entry.event.kind, EventKind::TurnEnded { .. })
}

/// Whether the task has ended; an agent that works as a tool of the task does not end it.
fn is_task_end(entry: &Entry) -> bool {
    entry.event.path.is_empty()
        && matches!(entry.event.kind, EventKind::TaskUpdated { status, .. } if TaskStatus::from(status).is_terminal())
}

#[cfg(test)]
mod tests;
