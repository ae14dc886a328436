//! Converts the entries of a task's outbox into events of the log.

use std::collections::BTreeMap;

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

/// The events that an activity appends to the log for the task.
#[derive(Clone, Debug)]
pub(crate) struct OutboxEvents {
    pub events: Vec<Numbered>,
    /// When the calls ran that some events end, by the counter of the event.
    pub intervals: BTreeMap<u64, Interval>,
    /// An earlier activity has counted the events with lower counters in its metrics.
    pub first_uncounted: u64,
    /// The number to acknowledge once the log has the events.
    pub last_number: u64,
    pub first_batch: FirstBatch,
}

impl OutboxEvents {
    pub(crate) fn none() -> Self {
        Self {
            events: Vec::new(),
            intervals: BTreeMap::new(),
            first_uncounted: 0,
            last_number: 0,
            first_batch: FirstBatch::No,
        }
    }
}

/// Name of a task's outbox among the producers of the log that it writes to.
pub(crate) fn producer(start: &StartTask) -> String {
    match start.path() {
        "" => PRODUCER.to_owned(),
        path => format!("{path}:{PRODUCER}"),
    }
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
    let counted = entries.iter().rev().find(|entry| entry.redelivered);
    let first_uncounted = counted.map_or(0, |entry| (entry.number + 1) * EVENTS_PER_ENTRY);
    let mut events = Vec::with_capacity(entries.len());
    let mut intervals = BTreeMap::new();
    for entry in entries {
        let first = entry.number * EVENTS_PER_ENTRY;
        match entry.pending {
            Pending::Event(event) => events.push(Numbered {
                counter: first,
                event: *event,
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
                    events.push(Numbered { counter, event });
                }
            }
        }
        // The last event of an entry is the end of its call.
        if let (Some(interval), Some(end)) = (entry.interval, events.last()) {
            intervals.insert(end.counter, interval);
        }
    }
    Ok(OutboxEvents {
        events,
        intervals,
        first_uncounted,
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
