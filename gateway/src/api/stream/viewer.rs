//! One viewer of a task: follows the log, recovers from lost entries, and asks Temporal for
//! the task's status while the log is quiet.

use std::{sync::Arc, time::Duration};

use axum::response::sse::Event as SseEvent;
use futures::{Stream, StreamExt as _, stream::BoxStream};
use steadfast_eventlog::{Entry, LogItem, Snapshot};
use steadfast_events::{EntryId, EventKind};
use temporalio_common::protos::temporal::api::workflowservice::v1::DescribeWorkflowExecutionResponse;
use tokio::time::{Instant, timeout_at};

use super::{
    format::{Format, Output, Position},
    recovery,
    revocation::revoked,
};
use crate::{
    access::Session, agentex::wire::TaskStatus, app::Gateway, load::Permit, messages, task::TaskRecord,
    temporal::TemporalError,
};

/// How often Temporal is asked for the task's status while the log is quiet: the log of a
/// terminated task does not record the end.
const STATUS_PERIOD: Duration = Duration::from_secs(15);

/// Where a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// When the task ends.
    WithTask,
    /// After the last entry of a task that has ended.
    AfterEntry(EntryId),
    /// After all messages of a task that has ended and has no log.
    AfterReset,
}

/// Where a stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// At the first entry.
    First,
    /// After the last entry that the client has.
    After(EntryId),
    /// At a position that the client does not know yet.
    Told(Position),
}

pub(super) struct Viewer {
    gateway: Arc<Gateway>,
    session: Session,
    task: TaskRecord,
    /// The place among the streams of the gateway.
    _place: Permit,
    output: Output,
    /// The last entry that the viewer has.
    cursor: Option<EntryId>,
    /// The log lost entries while a turn ran. Messages that the turn finished before may be in
    /// neither log nor history; when the turn has ended, history has them.
    incomplete: bool,
    /// Temporal does not know the task any more, or another task has its id. The client comes back and is told, or
    /// is authorised for the other task.
    gone: bool,
}

impl Viewer {
    pub(super) fn new(
        gateway: Arc<Gateway>,
        session: Session,
        task: TaskRecord,
        format: Format,
        place: Permit,
    ) -> Self {
        Self {
            output: Output::new(format, &task),
            gateway,
            session,
            task,
            _place: place,
            cursor: None,
            incomplete: false,
            gone: false,
        }
    }

    /// The events of the stream, until `end`, until the viewer may no longer see the task, or until
    /// the gateway stops.
    pub(super) fn events(
        self,
        subscription: impl Stream<Item = LogItem> + Send + Unpin + 'static,
        start: Start,
        end: End,
    ) -> BoxStream<'static, SseEvent> {
        // Whatever the viewer waits for, a gateway that stops does not wait for it: the client
        // comes back to another replica.
        let stopping = self.gateway.stopping.clone().cancelled_owned();
        self.follow(subscription, start, end).take_until(stopping).boxed()
    }

    fn follow(
        mut self,
        mut subscription: impl Stream<Item = LogItem> + Send + Unpin + 'static,
        start: Start,
        end: End,
    ) -> impl Stream<Item = SseEvent> + Send + 'static {
        async_stream::stream! {
            let _open = self.gateway.metrics.stream_opened();
            let (gateway, session, task) = (self.gateway.clone(), self.session.clone(), self.task.clone());
            let mut revoked = Box::pin(async move { revoked(&gateway, &session, &task).await });
            let told = match start {
                Start::First => None,
                Start::After(id) => {
                    self.cursor = Some(id);
                    None
                }
                Start::Told(position) => Some(position),
            };
            yield self.output.connected(&self.task.id, told);
            let mut next_status = Instant::now() + STATUS_PERIOD;
            while !self.has_reached(end) {
                let next = tokio::select! {
                    biased;
                    reason = &mut revoked => Err(reason),
                    next = timeout_at(next_status, subscription.next()) => Ok(next),
                };
                let next = match next {
                    Ok(next) => next,
                    Err(reason) => {
                        yield self.output.error(&reason);
                        return;
                    }
                };
                match next {
                    Ok(Some(LogItem::Entry(entry))) => {
                        for event in self.entry(&entry).await {
                            yield event;
                        }
                        if self.incomplete && is_turn_end(&entry)
                            && let Some(event) = self.reload(entry.id).await
                        {
                            yield event;
                        }
                        if is_task_end(&entry) {
                            return;
                        }
                    }
                    Ok(Some(LogItem::Reset(snapshot))) => {
                        let event = tokio::select! {
                            reason = &mut revoked => Err(reason),
                            event = self.reset(snapshot) => Ok(event),
                        };
                        match event {
                            Ok(events) => {
                                for event in events {
                                    yield event;
                                }
                            }
                            Err(reason) => {
                                yield self.output.error(&reason);
                                return;
                            }
                        }
                        if end == End::AfterReset {
                            break;
                        }
                    }
                    Ok(None) => break,
                    Err(_) => {
                        next_status = Instant::now() + STATUS_PERIOD;
                        self.refresh_task().await;
                        if self.gone || self.task.status.is_terminal() {
                            break;
                        }
                    }
                }
            }
            for event in self.end_of_task().await {
                yield event;
            }
        }
    }

    /// The log is gone or does not record the end of the task: Temporal does.
    async fn end_of_task(&mut self) -> Vec<SseEvent> {
        self.refresh_task().await;
        if self.gone || !self.task.status.is_terminal() {
            return Vec::new();
        }
        let missing = if self.cursor.is_some() {
            messages::missing_at_the_end(&self.gateway, &self.task).await
        } else {
            Ok(None)
        };
        let missing = match missing {
            Ok(missing) => missing,
            // The client comes back.
            Err(error) => return vec![self.output.error(&error.message)],
        };
        // Where the log lacks the end, no entry tells a client that comes back that it has all.
        let position = (self.cursor.is_none() || missing.is_some()).then_some(Position::End);
        let missing = missing.map(|all| self.output.messages(&all, None));
        missing
            .into_iter()
            .chain([self.output.task_updated(&self.task, position)])
            .collect()
    }

    fn has_reached(&self, end: End) -> bool {
        matches!(end, End::AfterEntry(last) if self.cursor >= Some(last))
    }

    async fn entry(&mut self, entry: &Entry) -> impl Iterator<Item = SseEvent> + use<> {
        self.cursor = Some(entry.id);
        if let Some(message_id) = self.output.missing_start(entry) {
            let boundary = recovery::boundary(&self.gateway, &self.task, message_id, entry.id).await;
            self.output
                .remember_start(entry, boundary.as_ref().map(|boundary| &boundary.event));
        }
        self.output.entry(entry).into_iter().flatten()
    }

    /// All messages after entries were lost, and the end of a turn that the viewer has not seen among them; no event
    /// for a viewer who has just come to a task without messages.
    async fn reset(&mut self, mut snapshot: Snapshot) -> Vec<SseEvent> {
        let before = self.cursor;
        let last = snapshot.last;
        self.cursor = last;
        self.incomplete = !snapshot.complete;
        let turn_end = snapshot.turn_end.take().filter(|entry| before < Some(entry.id));
        match recovery::all_messages(&self.gateway, &self.task, snapshot).await {
            Ok(messages) if before.is_none() && last.is_none() && messages.is_empty() => Vec::new(),
            Ok(messages) => {
                let messages = self.output.messages(&messages, Some(Position::after(last)));
                let turn_end = turn_end.map(|entry| self.output.earlier_entry(&entry));
                let turn_end = turn_end.into_iter().flatten().flatten();
                std::iter::once(messages).chain(turn_end).collect()
            }
            Err(error) => vec![self.output.error(&error.message)],
        }
    }

    /// All messages once more, when the turn that lost entries has ended.
    async fn reload(&mut self, last: EntryId) -> Option<SseEvent> {
        self.incomplete = false;
        match messages::messages_until(&self.gateway, &self.task, last).await {
            // The entry's own event has the id.
            Ok(messages) => Some(self.output.messages(&messages, None)),
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
                Some(task) if task.is_same_as(&self.task) => self.task = task,
                _ => self.gone = true,
            },
            Err(error) if matches!(*error, TemporalError::NotFound) => self.gone = true,
            Err(_) => {}
        }
    }
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
