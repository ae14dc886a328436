//! The decisions of a task about the messages that it received, read from the events in its outbox,
//! in order.

use std::collections::{BTreeMap, VecDeque};

use steadfast_agent_loop::Recorded;
use steadfast_contract::{
    activities::{Append, ModelCall},
    activity_kind::ActivityKind,
    outbox::{OutboxEntry, Pending},
    start::StartTask,
};
use steadfast_events::EventKind;
use temporalio_common_wasm::protos::temporal::api::history::v1::{HistoryEvent, history_event::Attributes};

use crate::payload::{ReadHistoryError, kind_of, read};

/// The decisions of one run that its history holds, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecordedDecisions(VecDeque<(String, Recorded)>);

impl RecordedDecisions {
    /// Reads the outbox entries that activities took along, and those left to the next run. An entry
    /// may be taken along more than once; its number tells. Those of the run before are left out.
    pub(crate) fn read(events: &[HistoryEvent]) -> Result<Self, ReadHistoryError> {
        let mut inherited = 0;
        let mut decisions = BTreeMap::new();
        for event in events {
            let entries = match &event.attributes {
                Some(Attributes::WorkflowExecutionStartedEventAttributes(started)) => {
                    let start = read::<StartTask>(event, "the input", started.input.as_ref())?;
                    let state = start.and_then(|start| start.state);
                    inherited = state.map_or(0, |state| state.outbox.last_number());
                    Vec::new()
                }
                Some(Attributes::ActivityTaskScheduledEventAttributes(scheduled)) => match kind_of(scheduled) {
                    Some(ActivityKind::InvokeModel | ActivityKind::Compact) => {
                        let call = read::<ModelCall>(event, "a model call", scheduled.input.as_ref())?;
                        call.map(|call| call.append.outbox).unwrap_or_default()
                    }
                    Some(ActivityKind::AppendEvents) => {
                        let append = read::<Append>(event, "waiting events", scheduled.input.as_ref())?;
                        append.map(|append| append.outbox).unwrap_or_default()
                    }
                    _ => Vec::new(),
                },
                Some(Attributes::WorkflowExecutionContinuedAsNewEventAttributes(next)) => {
                    let next = read::<StartTask>(event, "the input of the next run", next.input.as_ref())?;
                    let state = next.and_then(|next| next.state);
                    state.map_or_else(Vec::new, |state| state.outbox.entries().cloned().collect())
                }
                _ => Vec::new(),
            };
            let new = entries.into_iter().filter(|entry| entry.number > inherited);
            decisions.extend(new.filter_map(|entry| Some((entry.number, decision(entry)?))));
        }
        Ok(Self(decisions.into_values().collect()))
    }

    /// The next decision, if it is about this message.
    pub(crate) fn next(&self, message_id: &str) -> Option<Recorded> {
        let (decided, recorded) = self.0.front()?;
        (decided == message_id).then_some(*recorded)
    }

    /// Goes on to the decision after the one about this message.
    pub(crate) fn advance(&mut self, message_id: &str) {
        if self.next(message_id).is_some() {
            self.0.pop_front();
        }
    }
}

fn decision(entry: OutboxEntry) -> Option<(String, Recorded)> {
    let Pending::Event(event) = entry.pending else {
        return None;
    };
    match event.kind {
        // The task ended before the turn of a message that it had accepted.
        EventKind::MessageRejected { .. } if event.turn > 0 => None,
        EventKind::MessageAccepted { message_id } => Some((message_id, Recorded::Accepted)),
        EventKind::MessageRejected { message_id, .. } => Some((message_id, Recorded::Rejected)),
        _ => None,
    }
}
