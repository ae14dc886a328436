//! Reads the history of a run: the segments of its transcript, its revisions,
//! and the events it made itself. Pure; needs no worker.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::de::DeserializeOwned;
use serde_json::Value;
use steadfast_core::{Body, Segment, SegmentRef, ToolOutput, tool_call::bounded};
use steadfast_crds::AgentRevisionSpec;
use steadfast_log::{Event, EventKind};
use temporalio_workflow::common::protos::temporal::api::{
    common::v1::{Payload, Payloads},
    history::v1::{HistoryEvent, history_event::Attributes},
};

use crate::{
    activities::{Append, HttpToolOutcome, ModelCall, ModelOutcome, NewSegment, Revision, name},
    calls::function_calls,
    contract::{ReceiveEvent, SIGNAL_COMPLETE_TASK, SIGNAL_RECEIVE_EVENT, StartTask},
    outbox::{OutboxEntry, Pending},
    packed::{UnpackError, unpack},
    task::{QueuedMessage, user_content},
};

/// Marker with which the SDK records the result of a local activity.
const LOCAL_ACTIVITY_MARKER: &str = "core_local_activity";
const MARKER_RESULT: &str = "result";

#[derive(Debug, thiserror::Error)]
pub enum ReadHistoryError {
    #[error("the history does not begin with the start of a task")]
    NoStart,
    #[error("read {what} of event {event_id}")]
    Unpack {
        what: &'static str,
        event_id: i64,
        #[source]
        source: UnpackError,
    },
}

/// What a history holds.
#[derive(Clone, Debug, Default)]
pub struct HistoryView {
    pub start: Option<StartTask>,
    pub segments: BTreeMap<SegmentRef, Segment>,
    pub revisions: BTreeMap<String, Revision>,
    /// What the model calls were told of, in order.
    pub transcript: Vec<NewSegment>,
    /// Segments in the order a person saw them begin.
    pub shown: Vec<Segment>,
    /// Finished messages that the workflow made itself.
    pub own_messages: Vec<Event>,
    revision: Option<String>,
    queued: QueueView,
    scheduled: HashMap<i64, Scheduled>,
}

#[derive(Clone, Debug, Default)]
struct QueueView {
    turns_accepted: u32,
    seen: BTreeSet<String>,
    complete_requested: bool,
}

#[derive(Clone, Debug)]
struct Scheduled {
    activity_type: String,
    activity_id: String,
    /// Where its messages stand among those shown.
    shown_at: usize,
    call: Option<(u32, u32)>,
}

impl HistoryView {
    /// Reads a run from its first event on.
    pub fn read(events: &[HistoryEvent]) -> Result<Self, ReadHistoryError> {
        let mut view = Self::default();
        for event in events {
            view.take(event)?;
        }
        if view.start.is_none() {
            return Err(ReadHistoryError::NoStart);
        }
        Ok(view)
    }

    fn take(&mut self, event: &HistoryEvent) -> Result<(), ReadHistoryError> {
        let Some(attributes) = &event.attributes else {
            return Ok(());
        };
        match attributes {
            Attributes::WorkflowExecutionStartedEventAttributes(started) => {
                if let Some(start) = read(event, "the input", started.input.as_ref())? {
                    self.begin(start);
                }
            }
            Attributes::WorkflowExecutionSignaledEventAttributes(signaled) => match signaled.signal_name.as_str() {
                SIGNAL_RECEIVE_EVENT => {
                    // A signal that cannot be read was dropped by the workflow too.
                    if let Ok(Some(message)) = read(event, "a message", signaled.input.as_ref()) {
                        self.receive(message, time_of(event));
                    }
                }
                SIGNAL_COMPLETE_TASK => self.queued.complete_requested = true,
                _ => {}
            },
            Attributes::ActivityTaskScheduledEventAttributes(scheduled) => {
                let activity_type = scheduled
                    .activity_type
                    .as_ref()
                    .map(|kind| kind.name.clone())
                    .unwrap_or_default();
                let mut call = None;
                match activity_type.as_str() {
                    name::INVOKE_MODEL => {
                        if let Some(input) = read::<ModelCall>(event, "a model call", scheduled.input.as_ref())? {
                            call = Some((input.turn, input.step));
                            self.announce(&input);
                            self.collect(input.append.outbox);
                        }
                    }
                    name::APPEND_EVENTS => {
                        if let Some(input) = read::<Append>(event, "waiting events", scheduled.input.as_ref())? {
                            self.collect(input.outbox);
                        }
                    }
                    _ => {}
                }
                let scheduled = Scheduled {
                    activity_type,
                    activity_id: scheduled.activity_id.clone(),
                    shown_at: self.shown.len(),
                    call,
                };
                self.scheduled.insert(event.event_id, scheduled);
            }
            Attributes::ActivityTaskCompletedEventAttributes(completed) => {
                if let Some(scheduled) = self.scheduled.get(&completed.scheduled_event_id).cloned() {
                    self.complete(event, &scheduled, completed.result.as_ref())?;
                }
            }
            Attributes::MarkerRecordedEventAttributes(marker) if marker.marker_name == LOCAL_ACTIVITY_MARKER => {
                let revision = read::<Option<Revision>>(event, "a revision", marker.details.get(MARKER_RESULT))?;
                if let Some(revision) = revision.flatten() {
                    self.revision = Some(revision.name.clone());
                    self.revisions.insert(revision.name.clone(), revision);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, mut start: StartTask) {
        if let Some(carried) = start.carried.take() {
            for (index, segment) in carried.transcript.into_iter().enumerate() {
                let index = u32::try_from(index).unwrap_or(u32::MAX);
                self.segments.insert(SegmentRef::Carried(index), segment.clone());
                self.segments.insert(segment.reference(), segment.clone());
                self.shown.push(segment);
            }
            for message in carried.queue {
                self.show_message(message.to_segment());
            }
            if let Some(revision) = carried.revision {
                self.revision = Some(revision.name.clone());
                self.revisions.insert(revision.name.clone(), revision);
            }
            self.queued = QueueView {
                turns_accepted: carried.turns_accepted,
                seen: carried.seen_message_ids.into_iter().collect(),
                complete_requested: carried.complete_requested,
            };
        }
        self.start = Some(start);
    }

    fn receive(&mut self, message: ReceiveEvent, at: jiff::Timestamp) {
        if self.queued.complete_requested || self.queued.seen.contains(&message.message_id) {
            return;
        }
        let Some(content) = user_content(message.content) else {
            return;
        };
        self.queued.seen.insert(message.message_id.clone());
        self.queued.turns_accepted += 1;
        let message = QueuedMessage {
            turn: self.queued.turns_accepted,
            message_id: message.message_id,
            content,
            at,
        };
        self.show_message(message.to_segment());
    }

    fn show_message(&mut self, segment: Segment) {
        self.segments.insert(segment.reference(), segment.clone());
        self.shown.push(segment);
    }

    fn announce(&mut self, call: &ModelCall) {
        self.transcript
            .truncate(usize::try_from(call.base).unwrap_or(usize::MAX));
        for segment in &call.new {
            if let NewSegment::Whole(whole) = segment {
                self.segments.insert(whole.reference(), (**whole).clone());
            }
            self.transcript.push(segment.clone());
        }
    }

    fn collect(&mut self, outbox: Vec<OutboxEntry>) {
        for entry in outbox {
            if let Pending::Event(event) = entry.pending
                && matches!(event.kind, EventKind::MessageDone { .. })
            {
                self.own_messages.push(*event);
            }
        }
    }

    fn complete(
        &mut self,
        event: &HistoryEvent,
        scheduled: &Scheduled,
        result: Option<&Payloads>,
    ) -> Result<(), ReadHistoryError> {
        let at = time_of(event);
        let segment = match (scheduled.activity_type.as_str(), scheduled.call) {
            (name::INVOKE_MODEL, Some((turn, step))) => {
                let outcome = read::<ModelOutcome>(event, "a model's answer", result)?.unwrap_or_default();
                Segment {
                    turn,
                    step,
                    at,
                    body: Body::Model { items: outcome.items },
                }
            }
            (name::APPEND_EVENTS | name::LOAD_REVISION, _) => return Ok(()),
            (kind, _) => {
                let Some((turn, step, index)) = parse_tool_activity_id(&scheduled.activity_id) else {
                    return Ok(());
                };
                let (content, is_error) = if kind == name::CALL_HTTP_TOOL {
                    let Some(outcome) = read::<HttpToolOutcome>(event, "a tool's answer", result)? else {
                        return Ok(());
                    };
                    (outcome.content, outcome.is_error)
                } else {
                    (foreign_result(result.map_or(&[], |payloads| &payloads.payloads)), false)
                };
                let Some(segment) = self.tool_segment(turn, step, index, at, content, is_error) else {
                    return Ok(());
                };
                segment
            }
        };
        self.segments.insert(segment.reference(), segment.clone());
        let place = scheduled.shown_at.min(self.shown.len());
        if matches!(segment.body, Body::Model { .. }) {
            // A person saw it begin when the call was made, before what came in meanwhile.
            self.shown.insert(place, segment);
        } else {
            self.shown.push(segment);
        }
        Ok(())
    }

    fn tool_segment(
        &self,
        turn: u32,
        step: u32,
        index: u32,
        at: jiff::Timestamp,
        content: Value,
        is_error: bool,
    ) -> Option<Segment> {
        let Body::Model { items } = &self.segments.get(&SegmentRef::Model(turn, step))?.body else {
            return None;
        };
        let call = function_calls(items, &BTreeMap::new())
            .into_iter()
            .find(|call| call.index == index)?;
        let spec = self
            .revision
            .as_ref()
            .and_then(|name| self.revisions.get(name))
            .map(|revision| &revision.spec);
        let content = bounded_result(spec, &call.name, content);
        let output = ToolOutput {
            call_id: call.call_id,
            name: call.name,
            content,
            is_error,
        };
        Some(Segment {
            turn,
            step,
            at,
            body: Body::Tool {
                index,
                output,
                by_task: false,
            },
        })
    }
}

/// Activity id of a tool call.
pub fn tool_activity_id(turn: u32, step: u32, index: u32) -> String {
    format!("t{turn}.{step}.{index}")
}

/// Activity id of a model call.
pub fn model_activity_id(turn: u32, step: u32) -> String {
    format!("m{turn}.{step}")
}

fn parse_tool_activity_id(id: &str) -> Option<(u32, u32, u32)> {
    let mut numbers = id.strip_prefix('t')?.split('.').map(str::parse);
    match (numbers.next(), numbers.next(), numbers.next(), numbers.next()) {
        (Some(Ok(turn)), Some(Ok(step)), Some(Ok(index)), None) => Some((turn, step, index)),
        _ => None,
    }
}

/// What an activity of any language answered, as JSON.
pub fn foreign_result(payloads: &[Payload]) -> Value {
    let Some(payload) = payloads.first() else {
        return Value::Null;
    };
    unpack(payload)
        .unwrap_or_else(|error| Value::String(format!("[the tool's result cannot be read: {error}; answer with JSON]")))
}

/// A result within the tool's `maxResultBytes`.
pub fn bounded_result(revision: Option<&AgentRevisionSpec>, tool: &str, content: Value) -> Value {
    let max_bytes = revision
        .and_then(|spec| spec.tools.iter().find(|candidate| candidate.name == tool))
        .map(|tool| usize::try_from(tool.spec.max_result_bytes).unwrap_or(usize::MAX));
    match max_bytes {
        Some(max_bytes) => bounded(content, max_bytes),
        None => content,
    }
}

fn read<T: DeserializeOwned>(
    event: &HistoryEvent,
    what: &'static str,
    payloads: Option<&Payloads>,
) -> Result<Option<T>, ReadHistoryError> {
    let Some(payload) = payloads.and_then(|payloads| payloads.payloads.first()) else {
        return Ok(None);
    };
    unpack(payload).map(Some).map_err(|source| ReadHistoryError::Unpack {
        what,
        event_id: event.event_id,
        source,
    })
}

fn time_of(event: &HistoryEvent) -> jiff::Timestamp {
    event
        .event_time
        .as_ref()
        .and_then(|time| jiff::Timestamp::new(time.seconds, time.nanos).ok())
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activity_ids_of_tools_can_be_read_back() {
        assert_eq!(parse_tool_activity_id(&tool_activity_id(3, 0, 12)), Some((3, 0, 12)));
        assert_eq!(parse_tool_activity_id(&model_activity_id(3, 0)), None);
        assert_eq!(parse_tool_activity_id("t1.2"), None);
    }
}
