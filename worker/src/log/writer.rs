//! Writes the events of one activity attempt to the log of the task, in slices
//! and beside the activity, which never waits for it. While Redis is slow or
//! unavailable, deltas are dropped and their messages published again later;
//! finished messages are kept.

mod attempt;
mod inbox;

use std::{sync::Arc, time::Duration};

use steadfast_contract::activities::LogAck;
use steadfast_eventlog::{Batch, EventLog, FirstBatch, LogRun, Numbered};
use steadfast_events::{EntryId, Event, EventKind, LogId};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::task::TaskTracker;

use self::{
    attempt::{AttemptMessages, belongs_to_message, merge, without_deltas},
    inbox::{Command, Inbox},
};
use super::outbox::OutboxEvents;

/// Time between two appends: short enough to look live, long enough to merge the deltas of a burst.
const SLICE: Duration = Duration::from_millis(30);
/// Delay after a failed append.
const DELAY_AFTER_FAILURE: Duration = Duration::from_millis(500);

/// Identifies the attempt that publishes.
#[derive(Clone, Debug)]
pub(crate) struct WriterScope {
    /// The log that gets the events.
    pub log: LogId,
    /// The run of the log's task that appends, and the run that did before it.
    pub runs: (String, String),
    /// How long the log is kept after its last event, where this task decides it.
    pub expiry: Option<Duration>,
    /// Unique for each attempt of each activity of the task.
    pub producer: String,
    /// Producer name of the task's outbox.
    pub outbox_producer: String,
    pub turn: u32,
    pub attempt: u32,
    pub agent: String,
    /// See [`steadfast_events::Event::path`].
    pub path: String,
    /// The last log entry that the task knows.
    pub cursor: Option<EntryId>,
}

/// Whose events a writer appends.
#[derive(Clone, Copy, Debug)]
enum Producer {
    /// The task's outbox.
    Outbox,
    /// The attempt that publishes.
    Attempt,
}

/// Starts writers, and waits for those whose activities are gone.
#[derive(Clone)]
pub(crate) struct LogWriters {
    log: EventLog,
    tasks: TaskTracker,
}

impl LogWriters {
    pub(crate) fn new(log: EventLog) -> Self {
        Self {
            log,
            tasks: TaskTracker::new(),
        }
    }

    /// Starts a writer; it appends the events of the task's outbox first.
    pub(crate) fn start(&self, scope: WriterScope, outbox: OutboxEvents) -> LogWriter {
        let inbox = Arc::new(Inbox::default());
        let writer = Writer {
            log: self.log.clone(),
            scope,
            counter: 0,
            queue: Vec::new(),
            attempt: AttemptMessages::default(),
            retry_at: None,
        };
        LogWriter {
            task: self.tasks.spawn(writer.run(inbox.clone(), outbox)),
            inbox,
        }
    }

    /// Waits until all writers have ended. A writer outlives an activity that is cancelled, by the time limits of
    /// the log at most.
    pub(crate) async fn close(&self, limit: Duration) {
        self.tasks.close();
        if tokio::time::timeout(limit, self.tasks.wait()).await.is_err() {
            let writers = self.tasks.len();
            tracing::warn!(
                writers,
                "log writers still run at shutdown; their events may be missing in the log"
            );
        }
    }
}

/// The activity's handle to its writer. Dropping it ends the writer as soon as its events are written or refused.
pub(crate) struct LogWriter {
    inbox: Arc<Inbox>,
    task: JoinHandle<LogAck>,
}

impl LogWriter {
    /// Publishes an event; never waits.
    pub(crate) fn publish(&self, event: EventKind) {
        self.inbox.push(Command::Publish(event));
    }

    /// Retracts every message that this attempt has published.
    pub(crate) fn retract_all(&self) {
        self.inbox.push(Command::RetractAll);
    }

    /// Waits until the log has all events, or has refused them.
    pub(crate) async fn finish(mut self) -> LogAck {
        self.inbox.close();
        (&mut self.task).await.unwrap_or_else(|error| {
            tracing::error!(%error, "the log writer panicked");
            LogAck {
                lagging: true,
                ..LogAck::default()
            }
        })
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

struct Writer {
    log: EventLog,
    scope: WriterScope,
    /// Counter of the last event that was appended, or may have been.
    counter: u64,
    /// Events that are not in the log yet.
    queue: Vec<EventKind>,
    /// The messages so far, in case the log loses them.
    attempt: AttemptMessages,
    retry_at: Option<Instant>,
}

impl Writer {
    async fn run(mut self, inbox: Arc<Inbox>, outbox: OutboxEvents) -> LogAck {
        let mut outbox_appended = outbox.events.is_empty();
        let mut slice_end = Instant::now();
        let mut batch = Vec::new();
        loop {
            if !outbox_appended && self.may_try() {
                outbox_appended = self.append_outbox(&outbox).await;
            }
            if !inbox.receive(slice_end, &mut batch).await {
                break;
            }
            for command in batch.drain(..) {
                self.apply(command);
            }
            slice_end = Instant::now() + SLICE;
            if outbox_appended && self.may_try() {
                self.flush().await;
            }
        }
        // The events of the outbox come before the events of the attempt that they led to.
        outbox_appended = outbox_appended || self.append_outbox(&outbox).await;
        let lagging = !outbox_appended || !self.flush().await;
        LogAck {
            acked: if outbox_appended { outbox.last_number } else { 0 },
            cursor: self.scope.cursor.map(|cursor| cursor.to_string()),
            lagging,
        }
    }

    fn may_try(&self) -> bool {
        self.retry_at.is_none_or(|at| Instant::now() >= at)
    }

    fn apply(&mut self, command: Command) {
        match command {
            Command::Publish(event) => self.enqueue(event),
            Command::RetractAll => {
                for event in self.attempt.retractions() {
                    self.enqueue(event);
                }
            }
        }
    }

    fn enqueue(&mut self, event: EventKind) {
        self.attempt.apply(&event);
        if !self.queue.last_mut().is_some_and(|last| merge(last, &event)) {
            self.queue.push(event);
        }
    }

    async fn append_outbox(&mut self, outbox: &OutboxEvents) -> bool {
        let opened_epoch = self.append(Producer::Outbox, &outbox.events, outbox.first_batch).await;
        if opened_epoch == Some(true) && self.counter > 0 {
            // The log has lost the events of this attempt.
            let mut queue = self.attempt.republish_all();
            queue.extend(self.queue.drain(..).filter(|event| !belongs_to_message(event)));
            self.queue = queue;
        }
        opened_epoch.is_some()
    }

    async fn flush(&mut self) -> bool {
        if self.queue.is_empty() {
            return true;
        }
        let count = self.queue.len();
        let events = std::mem::take(&mut self.queue);
        match self.append_events(events).await {
            Err(events) => {
                self.queue = without_deltas(events);
                self.queue.extend(self.attempt.republish_open());
                false
            }
            Ok(opened_epoch) if opened_epoch && self.counter > u64::try_from(count).unwrap_or(u64::MAX) => {
                // The log has lost the events of this attempt.
                let events = self.attempt.republish_all();
                events.is_empty() || self.append_events(events).await.is_ok()
            }
            Ok(_) => true,
        }
    }

    /// Appends events; returns whether the log opened an epoch, or the events if the append failed.
    async fn append_events(&mut self, events: Vec<EventKind>) -> Result<bool, Vec<EventKind>> {
        let first = self.counter + 1;
        let time = jiff::Timestamp::now();
        let numbered: Vec<Numbered> = (first..)
            .zip(events)
            .map(|(counter, kind)| Numbered {
                counter,
                event: Event {
                    kind,
                    turn: self.scope.turn,
                    attempt: self.scope.attempt,
                    agent: self.scope.agent.clone(),
                    path: self.scope.path.clone(),
                    time,
                },
            })
            .collect();
        let opened_epoch = self.append(Producer::Attempt, &numbered, FirstBatch::No).await;
        // A failed append may have reached Redis: its counters are not used again.
        self.counter = first + u64::try_from(numbered.len()).unwrap_or(0) - 1;
        opened_epoch.ok_or_else(|| numbered.into_iter().map(|numbered| numbered.event.kind).collect())
    }

    async fn append(&mut self, producer: Producer, events: &[Numbered], first_batch: FirstBatch) -> Option<bool> {
        let (run_id, run_before) = &self.scope.runs;
        let batch = Batch {
            producer: match producer {
                Producer::Outbox => &self.scope.outbox_producer,
                Producer::Attempt => &self.scope.producer,
            },
            events,
            cursor: self.scope.cursor,
            first_batch,
            run: LogRun {
                id: run_id,
                follows: run_before,
            },
            expiry: self.scope.expiry,
        };
        match self.log.append(&self.scope.log, batch).await {
            Ok(appended) => {
                self.scope.cursor = Some(appended.last);
                self.retry_at = None;
                Some(appended.opened_epoch)
            }
            Err(error) => {
                tracing::warn!(task_id = %self.scope.log.task_id, %error, "events not written to the log; retrying");
                self.retry_at = Some(Instant::now() + DELAY_AFTER_FAILURE);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use steadfast_eventlog::{LogSettings, RedisConnector};

    use super::*;

    #[tokio::test]
    async fn shutdown_waits_for_the_writer_of_an_activity_that_is_gone() {
        // No server listens there.
        let redis = RedisConnector::from_url("redis://127.0.0.1:1").unwrap();
        let writers = LogWriters::new(EventLog::new(redis, LogSettings::default()));
        let scope = WriterScope {
            log: LogId::new("task", "run"),
            runs: ("run".to_owned(), String::new()),
            expiry: None,
            producer: "producer".to_owned(),
            outbox_producer: "outbox".to_owned(),
            turn: 1,
            attempt: 1,
            agent: "haiku".to_owned(),
            path: String::new(),
            cursor: None,
        };
        let writer = writers.start(scope, OutboxEvents::none());
        writer.publish(EventKind::ModelStarted { step: 0 });
        drop(writer);
        assert_eq!(writers.tasks.len(), 1);
        writers.close(Duration::from_mins(1)).await;
        assert!(writers.tasks.is_empty());
    }
}
