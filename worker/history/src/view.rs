//! Reads the history of a run: the segments of its transcript, its revisions, and the events that
//! the workflow made itself.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use serde::Deserialize;
use serde_json::Value;
use steadfast_agent_loop::{
    Admission, Body, Inbox, ModelText, QueuedMessage, Receipt, Segment, SegmentRef, ToolOutput,
};
use steadfast_contract::{
    activities::{
        Append, HistoryRecord, HttpToolOutcome, LoadedRevision, McpToolOutcome, ModelCall, ModelOutcome, NewSegment,
        Revision, StatePageRequest, StatePart, StepOutcome,
    },
    activity_ids::{is_step_activity_id, parse_tool_activity_id},
    activity_kind::ActivityKind,
    outbox::{OutboxEntry, Pending},
    signals::{AnswerParts, ReceiveEvent, SIGNAL_ANSWER_PART, SIGNAL_COMPLETE_TASK, SIGNAL_RECEIVE_EVENT},
    start::StartTask,
    state::{DurableState, StatePages},
    text_parts::TextParts,
    tool_calls::{bounded_result, content_of, tool_calls},
};
use steadfast_events::{Approval, Event, EventKind};
use steadfast_payload::{foreign_result, read_json};
use temporalio_common_wasm::protos::temporal::api::{
    common::v1::Payloads,
    history::v1::{
        ActivityTaskScheduledEventAttributes, HistoryEvent, WorkflowExecutionSignaledEventAttributes,
        history_event::Attributes,
    },
};

use crate::{
    decisions::RecordedDecisions,
    payload::{ReadHistoryError, kind_of, read},
};

/// Marker with which the SDK records the result of a local activity.
const LOCAL_ACTIVITY_MARKER: &str = "core_local_activity";
const MARKER_RESULT: &str = "result";
const MARKER_DATA: &str = "data";

/// What a reader of a history needs of it.
#[derive(Clone, Debug, Default)]
pub struct HistoryView {
    pub start: Option<StartTask>,
    /// The run that this one continues; empty in the first.
    pub run_before: String,
    pub segments: BTreeMap<SegmentRef, Segment>,
    pub revisions: BTreeMap<String, Arc<Revision>>,
    /// Results of the steps of `steps` tools, by activity id.
    pub steps: BTreeMap<String, Value>,
    /// Parts of the state that the run has recorded for the next run, by number.
    pub state_parts: BTreeMap<u32, String>,
    /// The segments that the model calls were given, in order.
    pub transcript: Vec<NewSegment>,
    /// Segments in the order a person saw them begin.
    pub shown: Vec<Shown>,
    /// Finished messages that the workflow made itself.
    pub own_messages: Vec<Event>,
    /// The approvals that the run requested, or inherited while they waited, by id.
    pub approvals: BTreeMap<String, Approval>,
    /// Ids of messages that the workflow retracted.
    pub withheld: BTreeSet<String>,
    revision: Option<String>,
    /// The MCP servers of calls, by turn, step and index.
    mcp: BTreeMap<(u32, u32, u32), String>,
    inbox: Inbox,
    /// The pages of the state of the run before.
    pages: Option<StatePages>,
    /// The messages of the pages that have been fetched so far.
    fetched_queue: VecDeque<QueuedMessage>,
    decisions: RecordedDecisions,
    scheduled: HashMap<i64, Scheduled>,
    /// The state of the run before, while its parts are being fetched.
    fetching: Option<Fetching>,
    answer_parts: AnswerParts,
}

/// A state whose parts are being fetched. The task receives nothing until it has its state.
#[derive(Clone, Debug, Default)]
struct Fetching {
    count: u32,
    text: TextParts,
    early: Vec<Early>,
}

#[derive(Clone, Debug)]
enum Early {
    Message(Box<ReceiveEvent>, jiff::Timestamp),
    Complete,
}

/// A segment, and the revision whose `stream` settings apply to it.
#[derive(Clone, Debug)]
pub struct Shown {
    pub segment: Segment,
    pub revision: Option<String>,
}

#[derive(Clone, Debug)]
struct Scheduled {
    /// `None` for an activity that is not ours.
    kind: Option<ActivityKind>,
    activity_id: String,
    /// Where its messages stand among those shown.
    shown_at: usize,
    call: Option<(u32, u32)>,
    /// Place in the transcript of the first segment it fetches.
    fetches_from: u32,
}

/// What the SDK records about a local activity.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct LocalActivity {
    activity_type: String,
    activity_id: String,
    complete_time: Option<CompleteTime>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct CompleteTime {
    seconds: i64,
    nanos: i32,
}

impl LocalActivity {
    /// The workflow's time at the result, in whole milliseconds: its next events have later times.
    fn completed_at(&self) -> Option<jiff::Timestamp> {
        let CompleteTime { seconds, nanos } = self.complete_time?;
        let time = jiff::Timestamp::new(seconds, nanos).ok()?;
        jiff::Timestamp::from_millisecond(time.as_millisecond()).ok()
    }
}

impl HistoryView {
    /// Reads a run from its first event on.
    pub fn read(events: &[HistoryEvent]) -> Result<Self, ReadHistoryError> {
        let mut view = Self {
            decisions: RecordedDecisions::read(events)?,
            ..Self::default()
        };
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
                self.run_before.clone_from(&started.continued_execution_run_id);
                if let Some(mut start) = read::<StartTask>(event, "the input", started.input.as_ref())? {
                    if start.task_id.is_empty() {
                        // A schedule started the task and gave the workflow its id.
                        start.task_id.clone_from(&started.workflow_id);
                    }
                    start.first_run_id.clone_from(&started.first_execution_run_id);
                    self.begin(start, time_of(event));
                }
            }
            Attributes::WorkflowExecutionSignaledEventAttributes(signaled) => self.take_signal_event(event, signaled),
            Attributes::ActivityTaskScheduledEventAttributes(scheduled) => self.take_scheduled(event, scheduled)?,
            Attributes::ActivityTaskCompletedEventAttributes(completed) => {
                if let Some(scheduled) = self.scheduled.get(&completed.scheduled_event_id).cloned() {
                    self.complete(event, time_of(event), &scheduled, completed.result.as_ref())?;
                }
            }
            Attributes::MarkerRecordedEventAttributes(marker) if marker.marker_name == LOCAL_ACTIVITY_MARKER => {
                // A failed attempt has no result.
                if let Some(result) = marker.details.get(MARKER_RESULT) {
                    let activity = local_activity(marker.details.get(MARKER_DATA));
                    let at = activity.completed_at().unwrap_or_else(|| time_of(event));
                    let scheduled = Scheduled {
                        kind: ActivityKind::parse(&activity.activity_type),
                        activity_id: activity.activity_id,
                        shown_at: self.shown.len(),
                        call: None,
                        fetches_from: 0,
                    };
                    self.complete(event, at, &scheduled, Some(result))?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn take_signal_event(&mut self, event: &HistoryEvent, signaled: &WorkflowExecutionSignaledEventAttributes) {
        match signaled.signal_name.as_str() {
            SIGNAL_RECEIVE_EVENT => {
                // The workflow ignored a signal that it could not read.
                if let Ok(Some(message)) = read(event, "a message", signaled.input.as_ref()) {
                    self.take_signal(Early::Message(Box::new(message), time_of(event)));
                }
            }
            SIGNAL_COMPLETE_TASK => self.take_signal(Early::Complete),
            SIGNAL_ANSWER_PART => {
                if let Ok(Some(part)) = read(event, "a part of an answer", signaled.input.as_ref()) {
                    self.answer_parts.add(part);
                }
            }
            _ => {}
        }
    }

    fn take_scheduled(
        &mut self,
        event: &HistoryEvent,
        scheduled: &ActivityTaskScheduledEventAttributes,
    ) -> Result<(), ReadHistoryError> {
        let kind = kind_of(scheduled);
        let mut call = None;
        let mut fetches_from = 0;
        match kind {
            Some(ActivityKind::FetchStatePage) => {
                if let Some(input) = read::<StatePageRequest>(event, "a request", scheduled.input.as_ref())? {
                    fetches_from = input.first;
                }
            }
            Some(ActivityKind::InvokeModel | ActivityKind::Compact) => {
                if let Some(input) = read::<ModelCall>(event, "a model call", scheduled.input.as_ref())? {
                    call = Some((input.turn, input.step));
                    self.inbox.turn_has_started(input.turn);
                    self.announce(&input);
                    self.collect(input.append.outbox);
                }
            }
            Some(ActivityKind::RecordInHistory) => {
                match read::<HistoryRecord>(event, "a record", scheduled.input.as_ref())? {
                    Some(HistoryRecord::Segments(segments)) => {
                        for segment in segments {
                            self.segments.insert(segment.reference(), segment.clone());
                            self.show(segment);
                        }
                    }
                    Some(HistoryRecord::StatePart(part)) => {
                        self.state_parts.insert(part.number, part.text);
                    }
                    None => {}
                }
            }
            Some(ActivityKind::AppendEvents) => {
                if let Some(input) = read::<Append>(event, "waiting events", scheduled.input.as_ref())? {
                    self.collect(input.outbox);
                }
            }
            _ => {}
        }
        let scheduled = Scheduled {
            kind,
            activity_id: scheduled.activity_id.clone(),
            shown_at: self.shown.len(),
            call,
            fetches_from,
        };
        self.scheduled.insert(event.event_id, scheduled);
        Ok(())
    }

    fn adopt(&mut self, revision: Option<Arc<Revision>>) {
        if let Some(revision) = revision {
            self.revision = Some(revision.name.clone());
            self.revisions.insert(revision.name.clone(), revision);
        }
    }

    fn show(&mut self, segment: Segment) {
        let revision = self.revision.clone();
        self.shown.push(Shown { segment, revision });
    }

    fn begin(&mut self, mut start: StartTask, at: jiff::Timestamp) {
        let messages = std::mem::take(&mut start.messages);
        let is_new = start.state.is_none();
        if let Some(inherited) = start.state.take() {
            match inherited.parts {
                Some(parts) => {
                    self.fetching = Some(Fetching {
                        count: parts.count,
                        ..Fetching::default()
                    });
                }
                None => self.begin_with(*inherited),
            }
        }
        self.start = Some(start);
        if is_new {
            for message in messages {
                self.receive(message, at);
            }
        }
    }

    fn begin_with(&mut self, inherited: DurableState) {
        self.adopt(inherited.revision);
        for approval in inherited.approvals.waiting() {
            self.approvals.insert(approval.id.clone(), approval);
        }
        for (index, segment) in (0..).zip(inherited.transcript.segments()) {
            self.inherit(index, segment.clone());
        }
        for message in inherited.inbox.queued() {
            self.show_message(message.to_segment());
        }
        self.inbox = inherited.inbox;
        self.pages = inherited.pages;
        let whole: Vec<(u32, Segment)> = self
            .pages
            .iter()
            .flat_map(StatePages::whole_pages)
            .map(|(place, segment)| (place, segment.clone()))
            .collect();
        for (place, segment) in whole {
            self.take_page(place, vec![segment]);
        }
    }

    fn take_signal(&mut self, signal: Early) {
        if let Some(fetching) = &mut self.fetching {
            fetching.early.push(signal);
            return;
        }
        match signal {
            Early::Message(message, at) => self.receive(*message, at),
            Early::Complete => self.inbox.request_completion(),
        }
    }

    /// Takes in a part of the state; with the last one the run begins.
    fn take_part(&mut self, event: &HistoryEvent, part: StatePart) -> Result<(), ReadHistoryError> {
        let Some(mut fetching) = self.fetching.take() else {
            return Ok(());
        };
        fetching.text.add(part.number, part.text);
        let Some(text) = fetching.text.join(fetching.count) else {
            self.fetching = Some(fetching);
            return Ok(());
        };
        let state = read_json(&text).map_err(|source| ReadHistoryError::Unpack {
            what: "the state of the run before",
            event_id: event.event_id,
            source,
        })?;
        self.begin_with(state);
        for signal in fetching.early {
            self.take_signal(signal);
        }
        Ok(())
    }

    /// Takes in a page of the state: the transcript, then the messages that wait, then the outputs of finished calls.
    fn take_page(&mut self, first: u32, segments: Vec<Segment>) {
        let (transcript, queued) = match &self.pages {
            Some(pages) => (pages.transcript_len(), pages.queued),
            None => (usize::MAX, 0),
        };
        for (index, segment) in (first..).zip(segments) {
            let place = usize::try_from(index).unwrap_or(usize::MAX);
            if place < transcript {
                self.inherit(index, segment);
            } else if place - transcript < queued {
                self.show_message(segment.clone());
                self.fetched_queue.extend(QueuedMessage::from_segment(segment));
                if self.fetched_queue.len() == queued {
                    self.inbox.restore_queue(std::mem::take(&mut self.fetched_queue));
                }
            } else {
                // The run before has shown it; the call is not over.
                self.segments.insert(segment.reference(), segment);
            }
        }
    }

    /// A segment of the run before, in its place.
    fn inherit(&mut self, index: u32, segment: Segment) {
        self.segments.insert(SegmentRef::Inherited(index), segment.clone());
        self.segments.insert(segment.reference(), segment.clone());
        let place = usize::try_from(index).unwrap_or(usize::MAX).min(self.shown.len());
        let revision = self.revision.clone();
        self.shown.insert(place, Shown { segment, revision });
    }

    fn receive(&mut self, message: ReceiveEvent, at: jiff::Timestamp) {
        let message_id = message.message_id.clone();
        let admission = self.admission(&message_id);
        match self.inbox.receive(message.into_message(at), admission) {
            Receipt::Accepted(queued) => {
                self.decisions.advance(&message_id);
                self.show_message(queued.to_segment());
            }
            Receipt::Rejected(_) => self.decisions.advance(&message_id),
            Receipt::Duplicate => {}
        }
    }

    /// The recorded decision about a message; the limits in force where none is recorded yet.
    fn admission(&self, message_id: &str) -> Admission {
        if let Some(recorded) = self.decisions.next(message_id) {
            return Admission::Recorded(recorded);
        }
        let revision = self.revision.as_ref().and_then(|name| self.revisions.get(name));
        let limit = revision.map(|revision| revision.spec.limits.max_queued_messages);
        Admission::Limits {
            max_queued: limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
        }
    }

    fn show_message(&mut self, segment: Segment) {
        self.segments.insert(segment.reference(), segment.clone());
        self.show(segment);
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
            let Pending::Event(event) = entry.pending else { continue };
            match &event.kind {
                EventKind::MessageDone { .. } => self.own_messages.push(*event),
                EventKind::ApprovalRequested { approval } => {
                    self.approvals.insert(approval.id.clone(), approval.clone());
                }
                EventKind::MessageReset { message_id } => {
                    self.withheld.insert(message_id.clone());
                }
                _ => {}
            }
        }
    }

    fn complete(
        &mut self,
        event: &HistoryEvent,
        at: jiff::Timestamp,
        scheduled: &Scheduled,
        result: Option<&Payloads>,
    ) -> Result<(), ReadHistoryError> {
        let segment = match scheduled.kind {
            Some(ActivityKind::InvokeModel) => self.model_segment(event, at, scheduled, result)?,
            Some(ActivityKind::LoadRevision) => {
                let loaded = read::<LoadedRevision>(event, "a revision", result)?;
                self.adopt(loaded.and_then(|loaded| loaded.revision).map(Arc::new));
                None
            }
            Some(ActivityKind::FetchStatePage) => {
                let segments = read::<Vec<Segment>>(event, "inherited segments", result)?.unwrap_or_default();
                self.take_page(scheduled.fetches_from, segments);
                None
            }
            Some(ActivityKind::FetchStatePart) => {
                if let Some(part) = read::<StatePart>(event, "a part of the state", result)? {
                    self.take_part(event, part)?;
                }
                None
            }
            Some(ActivityKind::CallHttpStep) => {
                if let Some(outcome) = read::<StepOutcome>(event, "the result of a step", result)? {
                    self.take_step(&scheduled.activity_id, outcome.content);
                }
                None
            }
            Some(ActivityKind::CallHttpTool) => {
                let outcome = read::<HttpToolOutcome>(event, "a tool's result", result)?;
                outcome.and_then(|outcome| self.tool_segment(scheduled, at, outcome.content, outcome.is_error))
            }
            Some(ActivityKind::CallMcpTool) => {
                let outcome = read::<McpToolOutcome>(event, "a tool's result", result)?;
                let finished = outcome.filter(|outcome| outcome.input_required.is_none());
                finished.and_then(|outcome| self.tool_segment(scheduled, at, outcome.content, outcome.is_error))
            }
            Some(
                ActivityKind::AppendEvents
                | ActivityKind::RenderStep
                | ActivityKind::CheckCel
                | ActivityKind::CallWebhook
                | ActivityKind::Compact
                | ActivityKind::RecordInHistory
                | ActivityKind::CancelRunningCalls
                | ActivityKind::DeliverScheduledMessage,
            ) => None,
            None => {
                let result = foreign_result(result.map_or(&[], |payloads| &payloads.payloads[..]));
                if is_step_activity_id(&scheduled.activity_id) {
                    // No later step uses a result that cannot be read: the tool ends there.
                    if let Ok(content) = result {
                        self.take_step(&scheduled.activity_id, content);
                    }
                    return Ok(());
                }
                let (content, is_error) = content_of(result);
                self.tool_segment(scheduled, at, content, is_error)
            }
        };
        let Some(segment) = segment else {
            return Ok(());
        };
        self.segments.insert(segment.reference(), segment.clone());
        let place = scheduled.shown_at.min(self.shown.len());
        if matches!(segment.body, Body::Model { .. }) {
            // People saw it begin when the call was made, before the messages that arrived meanwhile.
            let revision = self.revision.clone();
            self.shown.insert(place, Shown { segment, revision });
        } else {
            self.show(segment);
        }
        Ok(())
    }

    fn take_step(&mut self, activity_id: &str, content: Value) {
        if is_step_activity_id(activity_id) {
            self.steps.insert(activity_id.to_owned(), content);
        }
    }

    /// The segment of a model's answer; `None` for an answer that people never saw to its end.
    fn model_segment(
        &mut self,
        event: &HistoryEvent,
        at: jiff::Timestamp,
        scheduled: &Scheduled,
        result: Option<&Payloads>,
    ) -> Result<Option<Segment>, ReadHistoryError> {
        let Some((turn, step)) = scheduled.call else {
            return Ok(None);
        };
        let mut outcome = read::<ModelOutcome>(event, "a model's answer", result)?.unwrap_or_default();
        if let Some(parts) = outcome.item_parts {
            let text = self.answer_parts.take(&scheduled.activity_id, parts);
            outcome.items = text.and_then(|text| read_json(&text).ok()).unwrap_or_default();
        }
        let retracted = outcome.is_retracted();
        let segment = Segment {
            turn,
            step,
            at,
            body: Body::Model {
                items: outcome.items,
                agent: self.acting_agent(),
                origin: outcome.origin,
            },
        };
        if retracted {
            self.segments.insert(segment.reference(), segment);
            return Ok(None);
        }
        for (index, target) in outcome.mcp {
            self.mcp.insert((turn, step, index), target.server);
        }
        Ok(Some(segment))
    }

    /// The agent whose revision is in force.
    fn acting_agent(&self) -> String {
        self.revision
            .as_ref()
            .and_then(|name| self.revisions.get(name))
            .map(|revision| revision.spec.agent.clone())
            .unwrap_or_default()
    }

    /// The segment of a tool's result; `None` for an activity that is not the call of a tool.
    fn tool_segment(
        &self,
        scheduled: &Scheduled,
        at: jiff::Timestamp,
        content: Value,
        is_error: bool,
    ) -> Option<Segment> {
        let (turn, step, index) = parse_tool_activity_id(&scheduled.activity_id)?;
        let Body::Model { items, .. } = &self.segments.get(&SegmentRef::Model(turn, step))?.body else {
            return None;
        };
        let call = tool_calls(items, &BTreeMap::new())
            .into_iter()
            .find(|call| call.index == index)?;
        let spec = self
            .revision
            .as_ref()
            .and_then(|name| self.revisions.get(name))
            .map(|revision| &revision.spec);
        let server = self.mcp.get(&(turn, step, index));
        let content = bounded_result(spec, server.unwrap_or(&call.name), content);
        let output = ToolOutput {
            call_id: call.call_id,
            name: call.name,
            kind: call.kind,
            content,
            is_error,
            text: ModelText::default(),
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

/// The local activity of a marker.
fn local_activity(data: Option<&Payloads>) -> LocalActivity {
    data.and_then(|payloads| serde_json::from_slice(&payloads.payloads.first()?.data).ok())
        .unwrap_or_default()
}

fn time_of(event: &HistoryEvent) -> jiff::Timestamp {
    event
        .event_time
        .as_ref()
        .and_then(|time| jiff::Timestamp::new(time.seconds, time.nanos).ok())
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests;
