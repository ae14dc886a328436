//! Converts the entries of a task's outbox into events of the log.

use steadfast_agent_loop::Body;
use steadfast_contract::{
    interval::Interval,
    outbox::{OutboxEntry, PRODUCER, Pending},
    start::StartTask,
};
use steadfast_crds::AgentRevisionSpec;
use steadfast_eventlog::{FirstBatch, Numbered};
use steadfast_events::{Event, EventKind};
use steadfast_projection::{Scope, messages_of};

use crate::cache::run_history::{RunHistory, RunHistoryError};

/// Limit for the events of one entry; the counters of the log are spaced by it.
const EVENTS_PER_ENTRY: u64 = 1_024;

/// An event that an activity appends to the log for the task.
#[derive(Clone, Debug)]
pub(crate) struct OutboxEvent {
    pub numbered: Numbered,
    counted_by: CountedBy,
    /// When the work ran that the event ends.
    pub interval: Option<Interval>,
    /// An earlier activity has counted the event in its metrics.
    pub is_counted: bool,
}

/// What gives an event its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CountedBy {
    Outbox,
    /// The turn that it ends.
    TurnEnd,
}

/// The events that an activity appends to the log for the task.
#[derive(Clone, Debug)]
pub(crate) struct OutboxEvents {
    pub events: Vec<OutboxEvent>,
    /// The number to acknowledge once the log has the events.
    pub last_number: u64,
    pub first_batch: FirstBatch,
}

impl OutboxEvents {
    pub(crate) fn none() -> Self {
        Self {
            events: Vec::new(),
            last_number: 0,
            first_batch: FirstBatch::No,
        }
    }

    #[cfg(test)]
    pub(crate) fn of_task(events: impl IntoIterator<Item = Numbered>) -> Self {
        let events: Vec<OutboxEvent> = events
            .into_iter()
            .map(|numbered| OutboxEvent {
                numbered,
                counted_by: CountedBy::Outbox,
                interval: None,
                is_counted: false,
            })
            .collect();
        Self {
            last_number: u64::try_from(events.len()).unwrap_or(u64::MAX),
            events,
            first_batch: FirstBatch::No,
        }
    }

    /// The events in order, with the producer of each run of them.
    pub(crate) fn into_parts(self, outbox_producer: &str, end_producer: &str) -> Vec<(String, Vec<Numbered>)> {
        let mut parts: Vec<(String, Vec<Numbered>)> = Vec::new();
        for event in self.events {
            let producer = match event.counted_by {
                CountedBy::Outbox => outbox_producer,
                CountedBy::TurnEnd => end_producer,
            };
            match parts.last_mut() {
                Some((name, events)) if name == producer => events.push(event.numbered),
                _ => parts.push((producer.to_owned(), vec![event.numbered])),
            }
        }
        parts
    }
}

/// Name of a task's outbox among the producers of the log that it writes to.
pub(crate) fn producer(start: &StartTask) -> String {
    match start.path() {
        "" => PRODUCER.to_owned(),
        path => format!("{path}:{PRODUCER}"),
    }
}

/// Name of the producer of the events that end the turns of a task: the model call that gives the last word, or the
/// outbox. Each has the same counter from both, so that the log has it once.
pub(crate) fn end_producer(start: &StartTask) -> String {
    format!("{}:end", producer(start))
}

/// Converts the entries. An event gets the same counter in every activity that appends it.
pub(crate) async fn resolve(
    entries: Vec<OutboxEntry>,
    start: &StartTask,
    revision: Option<&AgentRevisionSpec>,
    history: &RunHistory<'_>,
) -> Result<OutboxEvents, RunHistoryError> {
    let scope = Scope {
        task_id: &start.task_id,
        agent: revision.map_or(&start.agent, |revision| &revision.agent),
        revision,
    };
    let last_number = entries.last().map_or(0, |entry| entry.number);
    let is_first = entries.first().is_some_and(|entry| entry.number == 1);
    // A child task writes to the log of its parent, and does not start that log.
    let first_batch = if is_first && start.parent.is_none() {
        FirstBatch::Yes
    } else {
        FirstBatch::No
    };
    let mut events: Vec<OutboxEvent> = Vec::with_capacity(entries.len());
    for entry in entries {
        let first = entry.number * EVENTS_PER_ENTRY;
        let is_counted = entry.redelivered;
        let with_counter = |counter, event, counted_by| OutboxEvent {
            numbered: Numbered { counter, event },
            counted_by,
            interval: None,
            is_counted,
        };
        let before = events.len();
        match entry.pending {
            Pending::Event(event) => events.push(match entry.turn_end {
                None => with_counter(first, *event, CountedBy::Outbox),
                Some(end) => with_counter(end.counter(event.turn), *event, CountedBy::TurnEnd),
            }),
            Pending::Messages(reference) => {
                let segment = history.segment(&reference).await?;
                let messages = messages_of(scope, &segment)
                    .into_iter()
                    .map(|message| EventKind::MessageDone { message });
                let kinds = messages.chain(tool_ended(&segment.body));
                for (counter, kind) in (first..first + EVENTS_PER_ENTRY).zip(kinds) {
                    let event = Event {
                        kind,
                        turn: segment.turn,
                        attempt: 1,
                        agent: scope.agent.to_owned(),
                        path: start.path().to_owned(),
                        time: segment.at,
                    };
                    events.push(with_counter(counter, event, CountedBy::Outbox));
                }
            }
        }
        // The last event of an entry is the end of its call.
        if let Some(end) = events[before..].last_mut() {
            end.interval = entry.interval;
        }
    }
    Ok(OutboxEvents {
        events,
        last_number,
        first_batch,
    })
}

/// The end of a tool call, if the segment is its output.
pub(crate) fn tool_ended(body: &Body) -> Option<EventKind> {
    match body {
        Body::Tool { output, .. } => Some(EventKind::ToolEnded {
            tool_call_id: output.call_id.clone(),
            name: output.name.clone(),
            is_error: output.is_error,
        }),
        Body::User { .. } | Body::Model { .. } | Body::Note { .. } | Body::Handoff { .. } | Body::Summary { .. } => {
            None
        }
    }
}
