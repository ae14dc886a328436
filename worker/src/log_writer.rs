//! Writes what one activity attempt shows to the task's log, live and in time
//! slices, beside the activity and never in its way: while Redis is slow or
//! away, deltas are dropped and made up for later; finished messages are kept.

use std::time::Duration;

use steadfast_contract::activities::LogAck;
use steadfast_eventlog::{Batch, EventLog, Genesis, Numbered};
use steadfast_events::EntryId;
use steadfast_events::{Event, EventKind, Message};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use crate::outbox::Resolved;

/// Between two appends: short enough to look live, long enough to merge what comes in bursts.
const SLICE: Duration = Duration::from_millis(30);
/// After a failed append, before the next try.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(500);

/// Whose events they are.
#[derive(Clone, Debug)]
pub struct Scope {
    pub task_id: String,
    /// Unique for each attempt of each activity of the task.
    pub producer: String,
    /// Name of the task's outbox in the log.
    pub outbox_producer: String,
    pub turn: u32,
    pub attempt: u32,
    pub agent: String,
    /// See [`steadfast_events::Event::path`].
    pub path: String,
    pub seen: Option<EntryId>,
}

/// A handle on the writer of one attempt.
pub struct LogWriter {
    sender: mpsc::UnboundedSender<Command>,
    writer: JoinHandle<LogAck>,
}

impl LogWriter {
    /// Starts with the waiting events of the task.
    pub fn start(log: EventLog, scope: Scope, outbox: Resolved) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let writer = Writer {
            log,
            scope,
            counter: 0,
            queue: Vec::new(),
            attempt: Shown::default(),
            retry_at: None,
        };
        Self {
            sender,
            writer: tokio::spawn(writer.run(receiver, outbox)),
        }
    }

    /// Hands over an event; never waits.
    pub fn show(&self, event: EventKind) {
        // The writer ends only after this handle is gone.
        drop(self.sender.send(Command::Show(Box::new(event))));
    }

    /// Takes back every message this attempt has shown: it came to nothing.
    pub fn take_back(&self) {
        drop(self.sender.send(Command::TakeBack));
    }

    /// Waits until everything stands in the log, or the log has shown that it cannot take it now.
    pub async fn finish(self) -> LogAck {
        drop(self.sender);
        self.writer.await.unwrap_or_else(|error| {
            tracing::error!(%error, "the log writer failed");
            LogAck {
                behind: true,
                ..LogAck::default()
            }
        })
    }
}

enum Command {
    Show(Box<EventKind>),
    TakeBack,
}

struct Writer {
    log: EventLog,
    scope: Scope,
    counter: u64,
    /// Not yet in the log.
    queue: Vec<EventKind>,
    /// What this attempt has shown so far, in case the log loses it.
    attempt: Shown,
    retry_at: Option<Instant>,
}

#[derive(Default)]
struct Shown {
    open: Vec<OpenMessage>,
    done: Vec<Message>,
}

struct OpenMessage {
    id: String,
    started: EventKind,
    deltas: Vec<EventKind>,
}

impl Writer {
    async fn run(mut self, mut receiver: mpsc::UnboundedReceiver<Command>, outbox: Resolved) -> LogAck {
        let mut carried = outbox.events.is_empty();
        let mut next_slice = Instant::now();
        loop {
            if !carried && self.may_try() {
                carried = self.append_outbox(&outbox).await;
            }
            let Some(command) = receiver.recv().await else { break };
            self.obey(command);
            while let Ok(Some(command)) = timeout_at(next_slice, receiver.recv()).await {
                self.obey(command);
            }
            next_slice = Instant::now() + SLICE;
            if carried && self.may_try() {
                self.flush().await;
            }
        }
        carried = carried || self.append_outbox(&outbox).await;
        // What the task told must stand before what came of it.
        let behind = !carried || !self.flush().await;
        let acked = if carried { outbox.last_number } else { 0 };
        LogAck {
            acked,
            seen: self.scope.seen.map(|seen| seen.to_string()),
            behind,
        }
    }

    fn may_try(&self) -> bool {
        self.retry_at.is_none_or(|at| Instant::now() >= at)
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Show(event) => self.take(*event),
            Command::TakeBack => {
                for event in self.attempt.resets() {
                    self.take(event);
                }
            }
        }
    }

    fn take(&mut self, event: EventKind) {
        self.attempt.take(&event);
        if !self.queue.last_mut().is_some_and(|last| merge(last, &event)) {
            self.queue.push(event);
        }
    }

    async fn append_outbox(&mut self, outbox: &Resolved) -> bool {
        let producer = self.scope.outbox_producer.clone();
        let batch = Batch {
            producer: &producer,
            events: &outbox.events,
            seen: self.scope.seen,
            genesis: outbox.genesis,
        };
        let opened_epoch = self.append(batch).await;
        if opened_epoch == Some(true) && self.counter > 0 {
            // The log lost what this attempt had written before.
            let mut queue = self.attempt.everything_again();
            queue.extend(self.queue.drain(..).filter(|event| !is_of_message(event)));
            self.queue = queue;
        }
        opened_epoch.is_some()
    }

    async fn flush(&mut self) -> bool {
        if self.queue.is_empty() {
            return true;
        }
        let events = std::mem::take(&mut self.queue);
        let Some(opened_epoch) = self.append_kinds(&events).await else {
            self.queue = keep_without_deltas(events);
            // Deltas are gone: what is open is shown anew when the log takes it again.
            self.queue.extend(self.attempt.open_again());
            return false;
        };
        if opened_epoch && self.counter > u64::try_from(events.len()).unwrap_or(u64::MAX) {
            // The log lost what this attempt had written before.
            let again = self.attempt.everything_again();
            return again.is_empty() || self.append_kinds(&again).await.is_some();
        }
        true
    }

    async fn append_kinds(&mut self, kinds: &[EventKind]) -> Option<bool> {
        let first = self.counter + 1;
        let time = jiff::Timestamp::now();
        let events: Vec<Numbered> = (first..)
            .zip(kinds)
            .map(|(counter, kind)| Numbered {
                counter,
                event: Event {
                    kind: kind.clone(),
                    turn: self.scope.turn,
                    attempt: self.scope.attempt,
                    agent: self.scope.agent.clone(),
                    path: self.scope.path.clone(),
                    time,
                },
            })
            .collect();
        let producer = self.scope.producer.clone();
        let batch = Batch {
            producer: &producer,
            events: &events,
            seen: self.scope.seen,
            genesis: Genesis::No,
        };
        let opened_epoch = self.append(batch).await;
        // A failed append may have reached Redis all the same: its counters are spent.
        self.counter = first + u64::try_from(kinds.len()).unwrap_or(0) - 1;
        opened_epoch
    }

    async fn append(&mut self, batch: Batch<'_>) -> Option<bool> {
        match self.log.append(&self.scope.task_id, batch).await {
            Ok(appended) => {
                self.scope.seen = Some(appended.last);
                self.retry_at = None;
                Some(appended.opened_epoch)
            }
            Err(error) => {
                tracing::warn!(task_id = %self.scope.task_id, %error, "the log did not take events; they wait");
                self.retry_at = Some(Instant::now() + PAUSE_AFTER_FAILURE);
                None
            }
        }
    }
}

impl Shown {
    fn take(&mut self, event: &EventKind) {
        match event {
            EventKind::MessageStarted { message_id, .. } => {
                self.open.push(OpenMessage {
                    id: message_id.clone(),
                    started: event.clone(),
                    deltas: Vec::new(),
                });
            }
            EventKind::MessageDone { message } => {
                self.open.retain(|open| open.id != message.id);
                self.done.push(message.clone());
            }
            EventKind::MessageReset { message_id } => {
                self.open.retain(|open| open.id != *message_id);
                self.done.retain(|done| done.id != *message_id);
            }
            _ => {
                let Some(id) = delta_target(event) else { return };
                if let Some(open) = self.open.iter_mut().find(|open| open.id == id)
                    && !open.deltas.last_mut().is_some_and(|last| merge(last, event))
                {
                    open.deltas.push(event.clone());
                }
            }
        }
    }

    fn resets(&self) -> Vec<EventKind> {
        let shown = self
            .done
            .iter()
            .map(|done| &done.id)
            .chain(self.open.iter().map(|open| &open.id));
        shown
            .map(|id| EventKind::MessageReset { message_id: id.clone() })
            .collect()
    }

    fn open_again(&self) -> Vec<EventKind> {
        let mut events = Vec::new();
        for open in &self.open {
            events.push(EventKind::MessageReset {
                message_id: open.id.clone(),
            });
            events.push(open.started.clone());
            events.extend(open.deltas.iter().cloned());
        }
        events
    }

    fn everything_again(&self) -> Vec<EventKind> {
        let done = self.done.iter().map(|message| EventKind::MessageDone {
            message: message.clone(),
        });
        done.chain(self.open_again()).collect()
    }
}

/// Events that count even when they come late. Deltas, and the starts and resets that only carry them, do not.
fn keep_without_deltas(events: Vec<EventKind>) -> Vec<EventKind> {
    events
        .into_iter()
        .filter(|event| delta_target(event).is_none() && !matches!(event, EventKind::MessageStarted { .. }))
        .collect()
}

fn is_of_message(event: &EventKind) -> bool {
    delta_target(event).is_some()
        || matches!(
            event,
            EventKind::MessageStarted { .. } | EventKind::MessageDone { .. } | EventKind::MessageReset { .. }
        )
}

fn delta_target(event: &EventKind) -> Option<&str> {
    match event {
        EventKind::TextDelta { message_id, .. }
        | EventKind::ReasoningDelta { message_id, .. }
        | EventKind::ReasoningSummaryDelta { message_id, .. }
        | EventKind::ToolArgumentsDelta { message_id, .. } => Some(message_id),
        _ => None,
    }
}

/// Adds a delta to the one before it, if both belong to the same text.
fn merge(last: &mut EventKind, next: &EventKind) -> bool {
    match (last, next) {
        (
            EventKind::TextDelta { message_id: a, delta },
            EventKind::TextDelta {
                message_id: b,
                delta: more,
            },
        )
        | (
            EventKind::ToolArgumentsDelta { message_id: a, delta },
            EventKind::ToolArgumentsDelta {
                message_id: b,
                delta: more,
            },
        ) if a == b => {
            delta.push_str(more);
            true
        }
        (
            EventKind::ReasoningDelta {
                message_id: a,
                index: i,
                delta,
            },
            EventKind::ReasoningDelta {
                message_id: b,
                index: j,
                delta: more,
            },
        )
        | (
            EventKind::ReasoningSummaryDelta {
                message_id: a,
                index: i,
                delta,
            },
            EventKind::ReasoningSummaryDelta {
                message_id: b,
                index: j,
                delta: more,
            },
        ) if a == b && i == j => {
            delta.push_str(more);
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use steadfast_events::{Content, TextFormat};

    use super::*;

    fn delta(id: &str, text: &str) -> EventKind {
        EventKind::TextDelta {
            message_id: id.into(),
            delta: text.into(),
        }
    }

    fn started(id: &str) -> EventKind {
        let content = Content::Text {
            text: String::new(),
            format: TextFormat::Markdown,
        };
        EventKind::MessageStarted {
            message_id: id.into(),
            content,
        }
    }

    #[test]
    fn neighbouring_deltas_of_one_message_become_one() {
        let mut last = delta("a", "Hel");
        assert!(merge(&mut last, &delta("a", "lo")));
        assert_eq!(last, delta("a", "Hello"));
        assert!(!merge(&mut last, &delta("b", "!")));
    }

    #[test]
    fn an_open_message_is_shown_anew_with_all_its_text() {
        let mut shown = Shown::default();
        for event in [started("a"), delta("a", "Hel"), delta("a", "lo")] {
            shown.take(&event);
        }
        assert_eq!(
            shown.open_again(),
            [
                EventKind::MessageReset { message_id: "a".into() },
                started("a"),
                delta("a", "Hello")
            ]
        );
    }

    #[test]
    fn what_is_dropped_is_only_what_is_shown_anew() {
        let kept = keep_without_deltas(vec![started("a"), delta("a", "x"), EventKind::ModelStarted { step: 0 }]);
        assert_eq!(kept, [EventKind::ModelStarted { step: 0 }]);
    }
}
