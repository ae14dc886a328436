//! Writes the events of one activity attempt to the log of the task, beside the
//! activity, which never waits for it. What comes while nothing is under way is sent
//! at once; what comes meanwhile is gathered. While Redis is slow or unavailable,
//! deltas are dropped and their messages published again later; finished messages are
//! kept.

mod attempt;
mod inbox;
mod send_window;
mod store;

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, future::BoxFuture, stream::FuturesOrdered};
use steadfast_contract::activities::LogAck;
use steadfast_eventlog::{Appended, EventLog, FirstBatch, LogError, Numbered};
use steadfast_events::{EntryId, Event, EventKind, LogId};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until},
};
use tokio_util::task::TaskTracker;

use self::{
    attempt::{AttemptMessages, belongs_to_message, merge, without_deltas},
    inbox::{Command, Inbox},
    send_window::{LONGEST_WINDOW, SendWindow, WindowMember},
    store::{Append, Store},
};
use super::outbox::OutboxEvents;

/// Delay after a failed append.
const DELAY_AFTER_FAILURE: Duration = Duration::from_millis(500);
/// Appends of one writer that are under way at once, where Redis takes longer than the longest window.
const MOST_IN_FLIGHT: usize = 4;

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
    /// Producer name of the events that end the turns of the task.
    pub end_producer: String,
    pub turn: u32,
    pub attempt: u32,
    pub agent: String,
    /// See [`steadfast_events::Event::path`].
    pub path: String,
    /// The last log entry that the task knows.
    pub cursor: Option<EntryId>,
}

/// Starts writers, and waits for those whose activities are gone.
#[derive(Clone)]
pub(crate) struct LogWriters {
    log: EventLog,
    window: SendWindow,
    tasks: TaskTracker,
}

impl LogWriters {
    pub(crate) fn new(log: EventLog) -> Self {
        Self {
            log,
            window: SendWindow::default(),
            tasks: TaskTracker::new(),
        }
    }

    /// Starts a writer; it appends the events of the task's outbox first.
    pub(crate) fn start(&self, scope: WriterScope, outbox: OutboxEvents) -> LogWriter {
        let inbox = Arc::new(Inbox::default());
        let writer = Writer::new(self.log.clone(), self.window.join(), scope, outbox);
        LogWriter {
            task: self.tasks.spawn(writer.run(inbox.clone())),
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
    task: JoinHandle<Written>,
}

/// What a writer has brought into the log.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Written {
    pub ack: LogAck,
    /// The events that end the turn are in the log.
    pub turn_ended: bool,
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

    /// Publishes the events that end the turn, after all others of the attempt.
    pub(crate) fn end_turn(&self, events: Vec<Numbered>) {
        self.inbox.push(Command::EndTurn(events));
    }

    /// Waits until the log has all events, or has refused them.
    pub(crate) async fn finish(mut self) -> Written {
        self.inbox.close();
        (&mut self.task).await.unwrap_or_else(|error| {
            tracing::error!(%error, "the log writer panicked");
            Written {
                ack: LogAck {
                    lagging: true,
                    ..LogAck::default()
                },
                turn_ended: false,
            }
        })
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

/// An append that has ended.
struct FinishedAppend {
    append: Append,
    outcome: Result<Appended, LogError>,
    sent_at: Instant,
    /// No event was to follow.
    is_last: bool,
}

struct Writer<S> {
    store: S,
    member: WindowMember,
    scope: Arc<WriterScope>,
    cursor: Option<EntryId>,
    /// Counter of the last event that was appended, or may have been.
    counter: u64,
    /// The events of the task's outbox, until they are sent, and again when that has failed.
    outbox: Vec<(String, Vec<Numbered>)>,
    outbox_last_number: u64,
    first_batch: FirstBatch,
    /// Events that have not been sent.
    queue: Vec<EventKind>,
    /// The events that end the turn; sent when no other event will follow.
    end: Vec<Numbered>,
    turn_ended: bool,
    /// The messages so far, in case the log loses them.
    attempt: AttemptMessages,
    in_flight: FuturesOrdered<BoxFuture<'static, FinishedAppend>>,
    /// An append under way carries the outbox: nothing may come before its events.
    outbox_in_flight: bool,
    last_sent: Option<Instant>,
    /// Events whose append has failed.
    failed: Vec<EventKind>,
    retry_at: Option<Instant>,
    failures: Failures,
}

/// What has gone wrong and is not made good yet.
#[derive(Default)]
struct Failures {
    append_failed: bool,
    /// The log has lost what this attempt appended before.
    log_lost: bool,
    /// The last append has failed: nothing is tried any more.
    gave_up: bool,
}

impl<S: Store> Writer<S> {
    fn new(store: S, member: WindowMember, scope: WriterScope, outbox: OutboxEvents) -> Self {
        let (outbox_last_number, first_batch) = (outbox.last_number, outbox.first_batch);
        Self {
            store,
            member,
            cursor: scope.cursor,
            counter: 0,
            outbox: outbox.into_parts(&scope.outbox_producer, &scope.end_producer),
            outbox_last_number,
            first_batch,
            queue: Vec::new(),
            end: Vec::new(),
            turn_ended: false,
            attempt: AttemptMessages::default(),
            in_flight: FuturesOrdered::new(),
            outbox_in_flight: false,
            last_sent: None,
            failed: Vec::new(),
            retry_at: None,
            failures: Failures::default(),
            scope: Arc::new(scope),
        }
    }

    async fn run(mut self, inbox: Arc<Inbox>) -> Written {
        let mut batch = Vec::new();
        let mut open = true;
        loop {
            if open {
                open = inbox.take(&mut batch);
                for command in batch.drain(..) {
                    self.apply(command);
                }
            }
            if self.is_done(open) {
                break;
            }
            let now = Instant::now();
            let due = self.due_at(open, now);
            if due.is_some_and(|due| due <= now) {
                self.send(open, now);
                continue;
            }
            tokio::select! {
                biased;
                Some(finished) = self.in_flight.next() => self.finish_append(finished, Instant::now()),
                () = inbox.ready(), if open => {}
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
        }
        self.written()
    }

    /// No event will follow, no answer is awaited, and there is nothing more to try.
    fn is_done(&self, open: bool) -> bool {
        !open && self.in_flight.is_empty() && (self.failures.gave_up || !self.has_unsent(open))
    }

    fn written(&self) -> Written {
        let outbox_appended = self.outbox.is_empty();
        Written {
            ack: LogAck {
                acked: if outbox_appended { self.outbox_last_number } else { 0 },
                cursor: self.cursor.map(|cursor| cursor.to_string()),
                lagging: !outbox_appended || !self.queue.is_empty(),
            },
            turn_ended: self.turn_ended,
        }
    }

    /// When to send next; `None` while there is nothing to send, or while an answer must come first.
    fn due_at(&self, open: bool, now: Instant) -> Option<Instant> {
        if !self.has_unsent(open) {
            return None;
        }
        if !self.in_flight.is_empty() {
            let waits = !open
                || self.failures.append_failed
                || self.failures.log_lost
                || self.outbox_in_flight
                || self.in_flight.len() >= MOST_IN_FLIGHT;
            return self.last_sent.filter(|_| !waits).map(|sent| sent + LONGEST_WINDOW);
        }
        if !open {
            // The activity waits for it.
            return Some(now);
        }
        let window = self.last_sent.map(|sent| sent + self.member.shared().window());
        Some(self.retry_at.into_iter().chain(window).max().unwrap_or(now))
    }

    /// Something waits to be sent. The end of the turn is sent when no other event will follow.
    fn has_unsent(&self, open: bool) -> bool {
        !self.queue.is_empty() || !self.outbox.is_empty() || (!open && !self.end.is_empty())
    }

    fn apply(&mut self, command: Command) {
        match command {
            Command::Publish(event) => self.enqueue(event),
            Command::RetractAll => {
                for event in self.attempt.retractions() {
                    self.enqueue(event);
                }
            }
            Command::EndTurn(events) => self.end = events,
        }
    }

    fn enqueue(&mut self, event: EventKind) {
        self.attempt.apply(&event);
        if !self.queue.last_mut().is_some_and(|last| merge(last, &event)) {
            self.queue.push(event);
        }
    }

    /// Sends what waits, in one call.
    fn send(&mut self, open: bool, now: Instant) {
        let events = std::mem::take(&mut self.queue);
        let first = self.counter + 1;
        let time = jiff::Timestamp::now();
        let attempt: Vec<Numbered> = (first..)
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
        // A failed append may have reached Redis: its counters are not used again.
        self.counter += u64::try_from(attempt.len()).unwrap_or(0);
        let append = Append {
            scope: self.scope.clone(),
            cursor: self.cursor,
            first_batch: if self.outbox.is_empty() {
                FirstBatch::No
            } else {
                self.first_batch
            },
            outbox: std::mem::take(&mut self.outbox),
            attempt,
            end: if open {
                Vec::new()
            } else {
                std::mem::take(&mut self.end)
            },
        };
        self.outbox_in_flight |= !append.outbox.is_empty();
        self.last_sent = Some(now);
        let appending = self.store.append(append);
        self.in_flight.push_back(Box::pin(async move {
            let (append, outcome) = appending.await;
            FinishedAppend {
                append,
                outcome,
                sent_at: now,
                is_last: !open,
            }
        }));
    }

    /// Takes in the outcome of the oldest append under way.
    fn finish_append(&mut self, finished: FinishedAppend, now: Instant) {
        let FinishedAppend {
            append,
            outcome,
            sent_at,
            is_last,
        } = finished;
        let carried_outbox = !append.outbox.is_empty();
        if carried_outbox {
            self.outbox_in_flight = false;
        }
        match outcome {
            Ok(appended) => {
                self.member.shared().answered(now.duration_since(sent_at));
                self.cursor = Some(appended.last);
                self.retry_at = None;
                self.turn_ended |= !append.end.is_empty();
                let appended_before = append.attempt.first().map_or(self.counter, |first| first.counter - 1);
                self.failures.log_lost |= appended.opened_epoch && appended_before > 0;
            }
            Err(error) => {
                tracing::warn!(task_id = %self.scope.log.task_id, %error, "events not written to the log; retrying");
                self.retry_at = Some(now + DELAY_AFTER_FAILURE);
                self.failures.append_failed = true;
                self.failures.gave_up = is_last;
                if carried_outbox {
                    self.outbox = append.outbox;
                }
                self.failed
                    .extend(append.attempt.into_iter().map(|numbered| numbered.event.kind));
            }
        }
        if self.in_flight.is_empty() {
            self.recover();
        }
    }

    /// Queues again what the log lacks, once no append is under way.
    fn recover(&mut self) {
        if std::mem::take(&mut self.failures.append_failed) {
            let mut events = std::mem::take(&mut self.failed);
            events.append(&mut self.queue);
            self.queue = without_deltas(events);
            self.queue.extend(self.attempt.republish_open());
        }
        if std::mem::take(&mut self.failures.log_lost) {
            let others = std::mem::take(&mut self.queue);
            self.queue = self.attempt.republish_all();
            self.queue
                .extend(others.into_iter().filter(|event| !belongs_to_message(event)));
        }
    }
}

#[cfg(test)]
mod tests;
