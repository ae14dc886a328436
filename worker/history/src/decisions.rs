//! The decisions of a task about the messages that it received, read from the events in its outbox,
//! in order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use steadfast_agent_loop::Recorded;
use steadfast_contract::{
    activities::{Append, HistoryRecord, ModelCall, StatePart},
    activity_kind::ActivityKind,
    outbox::{OutboxEntry, Pending},
    start::StartTask,
    state::DurableState,
    text_parts::TextParts,
};
use steadfast_events::EventKind;
use steadfast_payload::read_json;
use temporalio_common_wasm::protos::temporal::api::history::v1::{
    ActivityTaskScheduledEventAttributes, HistoryEvent, history_event::Attributes,
};

use crate::payload::{ReadHistoryError, kind_of, read};

/// The decisions of one run that its history holds, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecordedDecisions(VecDeque<(String, Recorded)>);

impl RecordedDecisions {
    /// Reads the outbox entries that activities took along, and those left to the next run. An entry
    /// may be taken along more than once; its number tells. Those of the run before are left out.
    pub(crate) fn read(events: &[HistoryEvent]) -> Result<Self, ReadHistoryError> {
        let mut outboxes = Outboxes::default();
        let mut decisions = BTreeMap::new();
        for event in events {
            let entries = outboxes.entries(event)?;
            let inherited = outboxes.inherited;
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

/// Finds the outbox entries in the events of a run.
#[derive(Default)]
struct Outboxes {
    /// The number of the last entry of the run before.
    inherited: u64,
    /// Events that schedule the fetch of a part of the state.
    fetches: BTreeSet<i64>,
    /// How many parts the state of the run before has.
    count: u32,
    fetched: TextParts,
    recorded: TextParts,
}

impl Outboxes {
    fn entries(&mut self, event: &HistoryEvent) -> Result<Vec<OutboxEntry>, ReadHistoryError> {
        match &event.attributes {
            Some(Attributes::WorkflowExecutionStartedEventAttributes(started)) => {
                let start = read::<StartTask>(event, "the input", started.input.as_ref())?;
                if let Some(state) = start.and_then(|start| start.state) {
                    self.count = state.parts.map_or(0, |parts| parts.count);
                    self.inherited = state.outbox.last_number();
                }
            }
            Some(Attributes::ActivityTaskScheduledEventAttributes(scheduled)) => {
                return self.scheduled(event, scheduled);
            }
            Some(Attributes::ActivityTaskCompletedEventAttributes(completed))
                if self.fetches.contains(&completed.scheduled_event_id) =>
            {
                if let Some(part) = read::<StatePart>(event, "a part of the state", completed.result.as_ref())? {
                    self.fetched.add(part.number, part.text);
                }
                if let Some(state) = joined(&self.fetched, self.count) {
                    self.inherited = state.outbox.last_number();
                }
            }
            Some(Attributes::WorkflowExecutionContinuedAsNewEventAttributes(next)) => {
                let next = read::<StartTask>(event, "the input of the next run", next.input.as_ref())?;
                let state = next.and_then(|next| next.state).map(|state| match &state.parts {
                    Some(parts) => joined(&self.recorded, parts.count).unwrap_or_default(),
                    None => *state,
                });
                return Ok(state.map_or_else(Vec::new, |state| state.outbox.entries().cloned().collect()));
            }
            _ => {}
        }
        Ok(Vec::new())
    }

    fn scheduled(
        &mut self,
        event: &HistoryEvent,
        scheduled: &ActivityTaskScheduledEventAttributes,
    ) -> Result<Vec<OutboxEntry>, ReadHistoryError> {
        let input = scheduled.input.as_ref();
        match kind_of(scheduled) {
            Some(ActivityKind::InvokeModel | ActivityKind::Compact) => {
                let call = read::<ModelCall>(event, "a model call", input)?;
                return Ok(call.map(|call| call.append.outbox).unwrap_or_default());
            }
            Some(ActivityKind::AppendEvents) => {
                let append = read::<Append>(event, "waiting events", input)?;
                return Ok(append.map(|append| append.outbox).unwrap_or_default());
            }
            Some(ActivityKind::FetchStatePart) => {
                self.fetches.insert(event.event_id);
            }
            Some(ActivityKind::RecordInHistory) => {
                if let Some(HistoryRecord::StatePart(part)) = read(event, "a record", input)? {
                    self.recorded.add(part.number, part.text);
                }
            }
            _ => {}
        }
        Ok(Vec::new())
    }
}

fn joined(parts: &TextParts, count: u32) -> Option<DurableState> {
    parts.join(count).and_then(|text| read_json(&text).ok())
}

fn decision(entry: OutboxEntry) -> Option<(String, Recorded)> {
    let Pending::Event(event) = entry.pending else {
        return None;
    };
    match event.kind {
        // The task ended before the turn of a message that it had accepted.
        EventKind::MessageRejected { .. } if event.turn > 0 => None,
        EventKind::MessageAccepted { message_id, .. } => Some((message_id, Recorded::Accepted)),
        EventKind::MessageRejected { message_id, .. } => Some((message_id, Recorded::Rejected)),
        _ => None,
    }
}
