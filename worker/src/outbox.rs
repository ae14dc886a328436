//! Turns what waits in a task's outbox into events for the log.

use std::collections::BTreeMap;

use steadfast_agent_loop::Body;
use steadfast_contract::{
    outbox::{OutboxEntry, PRODUCER, Pending},
    start::StartTask,
    tool_calls::Ran,
};
use steadfast_crds::AgentRevisionSpec;
use steadfast_eventlog::{Genesis, Numbered};
use steadfast_events::{Event, EventKind};
use steadfast_projection::{Scope, messages_of};

use crate::known::{Known, KnownError};

/// Events one entry may become; the log's counters leave room for as many.
const EVENTS_PER_ENTRY: u64 = 1_024;

/// What an activity carries to the log for the task.
#[derive(Clone, Debug)]
pub struct Resolved {
    pub events: Vec<Numbered>,
    /// When what some of them are the end of ran, by their counters.
    pub ran: BTreeMap<u64, Ran>,
    /// Events with lower counters were counted by who carried them first.
    pub news_from: u64,
    /// To be acknowledged when the events stand in the log.
    pub last_number: u64,
    pub genesis: Genesis,
}

impl Resolved {
    pub fn nothing() -> Self {
        Self {
            events: Vec::new(),
            ran: BTreeMap::new(),
            news_from: 0,
            last_number: 0,
            genesis: Genesis::No,
        }
    }
}

/// Name of a task's outbox among the producers of the log it writes to.
pub fn producer(start: &StartTask) -> String {
    match start.path() {
        "" => PRODUCER.to_owned(),
        path => format!("{path}:{PRODUCER}"),
    }
}

/// The events of the entries, each with a counter that is the same however often it is carried.
pub async fn resolve(
    entries: Vec<OutboxEntry>,
    start: &StartTask,
    revision: Option<&AgentRevisionSpec>,
    known: &Known<'_>,
) -> Result<Resolved, KnownError> {
    let scope = Scope {
        task_id: &start.task_id,
        agent: revision.map_or(&start.agent, |revision| &revision.agent),
        revision,
    };
    let last_number = entries.last().map_or(0, |entry| entry.number);
    let is_first = entries.first().is_some_and(|entry| entry.number == 1);
    // A task that works for another does not begin the log of that one.
    let genesis = if is_first && start.parent.is_none() {
        Genesis::Yes
    } else {
        Genesis::No
    };
    let told = entries.iter().rev().find(|entry| entry.again);
    let news_from = told.map_or(0, |entry| (entry.number + 1) * EVENTS_PER_ENTRY);
    let mut events = Vec::with_capacity(entries.len());
    let mut ran = BTreeMap::new();
    for entry in entries {
        let first = entry.number * EVENTS_PER_ENTRY;
        match entry.pending {
            Pending::Event(event) => events.push(Numbered {
                counter: first,
                event: *event,
            }),
            Pending::Messages(reference) => {
                let segment = known.segment(&reference).await?;
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
        // The end is the last that is said of it.
        if let (Some(entry_ran), Some(end)) = (entry.ran, events.last()) {
            ran.insert(end.counter, entry_ran);
        }
    }
    Ok(Resolved {
        events,
        ran,
        news_from,
        last_number,
        genesis,
    })
}

/// A tool's answer is also its end.
pub fn tool_ended(body: &Body) -> Option<EventKind> {
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
