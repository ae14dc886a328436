//! Converts the entries of a task's outbox into events of the log.

use std::{collections::BTreeMap, sync::Arc};

use steadfast_agent_loop::{Body, Segment, SegmentRef};
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
    /// How many entries have no events, since no history has their messages any more.
    pub lost: u64,
}

impl OutboxEvents {
    pub(crate) fn none() -> Self {
        Self {
            events: Vec::new(),
            last_number: 0,
            first_batch: FirstBatch::No,
            lost: 0,
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
            lost: 0,
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
    let mut segments = Segments::new();
    for entry in &entries {
        if let Pending::Messages(reference) = &entry.pending {
            let segment = history.segment_of_any_run(reference).await?;
            segments.insert(reference.clone(), segment);
        }
    }
    Ok(events_of(entries, start, revision, &segments))
}

/// The segments of entries. Those without one are gone.
type Segments = BTreeMap<SegmentRef, Option<Arc<Segment>>>;

fn events_of(
    entries: Vec<OutboxEntry>,
    start: &StartTask,
    revision: Option<&AgentRevisionSpec>,
    segments: &Segments,
) -> OutboxEvents {
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
    let mut lost = 0;
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
                let Some(segment) = segments.get(&reference).and_then(Option::as_ref) else {
                    tracing::error!(
                        task_id = %start.task_id,
                        entry = entry.number,
                        segment = ?reference,
                        "no history has these messages of the task any more; its log goes on without them"
                    );
                    lost += 1;
                    continue;
                };
                let messages = messages_of(scope, segment)
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
    OutboxEvents {
        events,
        last_number,
        first_batch,
        lost,
    }
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

#[cfg(test)]
mod tests {
    use steadfast_agent_loop::UserContent;

    use super::*;

    fn segment(text: &str) -> Segment {
        Segment {
            turn: 1,
            step: 0,
            at: jiff::Timestamp::UNIX_EPOCH,
            body: Body::User {
                message_id: text.to_owned(),
                idempotency_key: None,
                content: UserContent::Text(text.to_owned()),
                sender: String::new(),
            },
        }
    }

    #[test]
    fn an_entry_whose_segment_is_gone_holds_up_no_other() {
        let numbered = [(4, segment("gone")), (5, segment("kept"))];
        let entries = numbered.iter().map(|(number, segment)| OutboxEntry {
            number: *number,
            pending: Pending::Messages(segment.reference()),
            interval: None,
            turn_end: None,
            redelivered: false,
        });
        let segments = Segments::from([
            (segment("gone").reference(), None),
            (segment("kept").reference(), Some(Arc::new(segment("kept")))),
        ]);
        let start = StartTask::new("t-1", "default", "weather");
        let outbox = events_of(entries.collect(), &start, None, &segments);
        assert_eq!((outbox.lost, outbox.last_number), (1, 5));
        let counters: Vec<u64> = outbox.events.iter().map(|event| event.numbered.counter).collect();
        assert_eq!(counters, [5 * EVENTS_PER_ENTRY]);
        let EventKind::MessageDone { message } = &outbox.events[0].numbered.event.kind else {
            panic!("{outbox:?}");
        };
        assert_eq!(message.turn, 1);
    }
}
