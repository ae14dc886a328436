//! The state of a task and its changes, without Temporal: what signals do, what
//! joins the transcript, what goes to the log. The workflow drives it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use steadfast_core::{
    AgentRun, Body, Input, Limits, Segment, SegmentRef, StepId, TurnOutcome, UserContent, tool_call::arguments,
};
use steadfast_log::{Content, Event, EventKind, TaskStatus, TurnError, TurnStatus, Usage};

use crate::{
    activities::{LogAck, NewSegment, Revision},
    carried::Carried,
    contract::{Phase, ReceiveEvent, SCHEMA_VERSION, StartTask, TaskState},
    outbox::{Outbox, Pending},
    store::SegmentStore,
};

/// Message ids remembered for deduplication.
const REMEMBERED_MESSAGE_IDS: usize = 1_000;
/// Signals after which a run hands over to the next, however small it is.
const SIGNALS_PER_RUN: u32 = 2_000;

/// A message that was accepted and waits for its turn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueuedMessage {
    pub turn: u32,
    pub message_id: String,
    pub content: UserContent,
    pub at: jiff::Timestamp,
}

impl QueuedMessage {
    /// The segment it becomes; it is known by its reference from the moment it was accepted.
    pub fn to_segment(&self) -> Segment {
        Segment {
            turn: self.turn,
            step: 0,
            at: self.at,
            body: Body::User {
                message_id: self.message_id.clone(),
                content: self.content.clone(),
            },
        }
    }
}

/// What a person may send: text that is not empty, or data.
pub fn user_content(content: Content) -> Option<UserContent> {
    match content {
        Content::Text { text, .. } if !text.trim().is_empty() => Some(UserContent::Text(text)),
        Content::Data { data } => Some(UserContent::Data(data)),
        _ => None,
    }
}

/// The state of a running task.
pub struct Task {
    run_id: String,
    store: Arc<SegmentStore>,
    pub start: StartTask,
    pub run: AgentRun,
    pub revision: Option<Revision>,
    pub turn_started_at: Option<jiff::Timestamp>,
    pub queue: VecDeque<QueuedMessage>,
    pub outbox: Outbox,
    /// An activity of ours that will carry the outbox is about to be scheduled.
    pub carrier_comes: bool,
    pub phase: Phase,
    pub complete_requested: bool,
    pub interrupt_requested: bool,
    pub log_seen: Option<String>,
    transcript: Vec<Segment>,
    /// How many segments of the transcript the model calls of this run were told of.
    announced: usize,
    /// How many of them stand in the start input.
    from_start: usize,
    turns_accepted: u32,
    seen_message_ids: VecDeque<String>,
    signals: u32,
    usage: Usage,
    turn_usage: Usage,
}

impl Task {
    /// Begins a task, or goes on with what the run before handed over.
    pub fn new(mut start: StartTask, run_id: &str, store: Arc<SegmentStore>, now: jiff::Timestamp) -> Self {
        let carried = start.carried.take();
        let is_new = carried.is_none();
        let carried = carried.map(|carried| *carried).unwrap_or_default();
        store.put_start(run_id, start.clone());
        for (index, segment) in carried.transcript.iter().enumerate() {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            store.put(run_id, SegmentRef::Carried(index), segment.clone());
            store.put(run_id, segment.reference(), segment.clone());
        }
        for message in &carried.queue {
            store.put(
                run_id,
                SegmentRef::Message(message.message_id.clone()),
                message.to_segment(),
            );
        }
        if let Some(revision) = &carried.revision {
            store.put_revision(run_id, revision.clone());
        }
        let mut task = Self {
            run_id: run_id.to_owned(),
            store,
            start,
            run: carried.run,
            revision: carried.revision,
            turn_started_at: carried.turn_started_at,
            queue: carried.queue,
            outbox: carried.outbox,
            carrier_comes: false,
            phase: Phase::Idle,
            complete_requested: carried.complete_requested,
            interrupt_requested: false,
            log_seen: carried.log_seen,
            from_start: carried.transcript.len(),
            transcript: carried.transcript,
            announced: 0,
            turns_accepted: carried.turns_accepted,
            seen_message_ids: carried.seen_message_ids,
            signals: 0,
            usage: carried.usage,
            turn_usage: carried.turn_usage,
        };
        if is_new {
            task.emit(
                0,
                now,
                EventKind::TaskUpdated {
                    status: TaskStatus::Running,
                    reason: None,
                },
            );
        }
        task
    }

    /// Everything the next run needs. Call it with no activity in flight.
    pub fn hand_over(&self) -> StartTask {
        StartTask {
            schema_version: SCHEMA_VERSION,
            carried: Some(Box::new(Carried {
                run: self.run.clone(),
                transcript: self.transcript.clone(),
                revision: self.revision.clone(),
                turn_started_at: self.turn_started_at,
                turns_accepted: self.turns_accepted,
                queue: self.queue.clone(),
                seen_message_ids: self.seen_message_ids.clone(),
                outbox: self.outbox.clone(),
                log_seen: self.log_seen.clone(),
                usage: self.usage,
                turn_usage: self.turn_usage,
                complete_requested: self.complete_requested,
            })),
            ..self.start.clone()
        }
    }

    pub fn wants_hand_over(&self) -> bool {
        self.signals >= SIGNALS_PER_RUN
    }

    pub fn count_signal(&mut self) {
        self.signals += 1;
    }

    /// Takes in a message, or says in the log why not. The same id twice counts once.
    pub fn receive(&mut self, message: ReceiveEvent, now: jiff::Timestamp) {
        self.count_signal();
        let message_id = message.message_id;
        if self.seen_message_ids.contains(&message_id) {
            return;
        }
        let Some(content) = user_content(message.content) else {
            let reason = "a message needs text that is not empty, or data".to_owned();
            self.emit(0, now, EventKind::MessageRejected { message_id, reason });
            return;
        };
        if self.complete_requested {
            let reason = "the task is being completed and takes no more messages".to_owned();
            self.emit(0, now, EventKind::MessageRejected { message_id, reason });
            return;
        }
        self.seen_message_ids.push_back(message_id.clone());
        if self.seen_message_ids.len() > REMEMBERED_MESSAGE_IDS {
            self.seen_message_ids.pop_front();
        }
        self.turns_accepted += 1;
        let queued = QueuedMessage {
            turn: self.turns_accepted,
            message_id: message_id.clone(),
            content,
            at: now,
        };
        self.store.put(
            &self.run_id,
            SegmentRef::Message(message_id.clone()),
            queued.to_segment(),
        );
        self.emit(
            queued.turn,
            now,
            EventKind::MessageAccepted {
                message_id: message_id.clone(),
            },
        );
        self.outbox.push(Pending::Messages(SegmentRef::Message(message_id)));
        self.queue.push_back(queued);
    }

    /// Begins the turn of the oldest message. Needs a revision and a message.
    pub fn start_turn(&mut self, now: jiff::Timestamp) -> Option<Input> {
        let limits = &self.revision.as_ref()?.spec.limits;
        let limits = Limits {
            max_model_calls_per_turn: limits.max_model_calls_per_turn,
        };
        let message = self.queue.pop_front()?;
        self.turn_started_at = Some(now);
        self.turn_usage = Usage::default();
        self.interrupt_requested = false;
        self.transcript.push(message.to_segment());
        self.emit(message.turn, now, EventKind::TurnStarted {});
        Some(Input::TurnStarted {
            turn: message.turn,
            limits,
        })
    }

    pub fn adopt_revision(&mut self, revision: Revision) {
        self.store.put_revision(&self.run_id, revision.clone());
        self.revision = Some(revision);
    }

    /// Adds a segment to the transcript, and keeps it at hand for the activities of this process.
    pub fn join(&mut self, segment: Segment) {
        self.store.put(&self.run_id, segment.reference(), segment.clone());
        self.transcript.push(segment);
    }

    pub fn count_usage(&mut self, usage: Usage) {
        self.usage.add(usage);
        self.turn_usage.add(usage);
    }

    /// What the next model call must be told: how much it knows, and what is new.
    pub fn announce(&mut self) -> (u32, Vec<NewSegment>) {
        let base = self.announced;
        let new = self.transcript[base..]
            .iter()
            .enumerate()
            .map(|(offset, segment)| self.refer(base + offset, segment))
            .collect();
        self.announced = self.transcript.len();
        (u32::try_from(base).unwrap_or(u32::MAX), new)
    }

    fn refer(&self, index: usize, segment: &Segment) -> NewSegment {
        if index < self.from_start {
            return NewSegment::Ref(SegmentRef::Carried(u32::try_from(index).unwrap_or(u32::MAX)));
        }
        match &segment.body {
            Body::Tool { by_task: true, .. } => NewSegment::Whole(Box::new(segment.clone())),
            _ => NewSegment::Ref(segment.reference()),
        }
    }

    /// Every function call of the transcript has its output, or gets one that says why it has none:
    /// a provider refuses a conversation with an open call.
    pub fn close_open_calls(&mut self, now: jiff::Timestamp, reason: &str) {
        let mut open = BTreeMap::new();
        for segment in &self.transcript {
            match &segment.body {
                Body::Model { items } => {
                    for call in crate::calls::function_calls(items, &BTreeMap::new()) {
                        open.insert((segment.turn, segment.step, call.index), call);
                    }
                }
                Body::Tool { index, .. } => {
                    open.remove(&(segment.turn, segment.step, *index));
                }
                Body::User { .. } => {}
            }
        }
        for ((turn, step, index), call) in open {
            let output = steadfast_core::ToolOutput {
                call_id: call.call_id,
                name: call.name,
                content: reason.into(),
                is_error: true,
            };
            let segment = Segment {
                turn,
                step,
                at: now,
                body: Body::Tool {
                    index,
                    output,
                    by_task: true,
                },
            };
            self.tell_of(&segment);
            self.join(segment);
        }
    }

    /// Sends the messages of a segment to the log by way of the outbox.
    pub fn tell_of(&mut self, segment: &Segment) {
        match &segment.body {
            Body::Tool {
                by_task: true, output, ..
            } => {
                let ended = EventKind::ToolEnded {
                    tool_call_id: output.call_id.clone(),
                    name: output.name.clone(),
                    is_error: output.is_error,
                };
                for message in crate::project::messages_of(self.task_scope(), segment) {
                    self.emit(segment.turn, segment.at, EventKind::MessageDone { message });
                }
                self.emit(segment.turn, segment.at, ended);
            }
            _ => self.outbox.push(Pending::Messages(segment.reference())),
        }
    }

    fn task_scope(&self) -> crate::project::Scope<'_> {
        crate::project::Scope {
            task_id: &self.start.task_id,
            agent: &self.start.agent,
        }
    }

    /// Records the end of the turn.
    pub fn close_turn(&mut self, outcome: TurnOutcome, now: jiff::Timestamp) {
        let turn = self.turn();
        let (status, error) = match outcome {
            TurnOutcome::Completed => (TurnStatus::Completed, None),
            TurnOutcome::Failed { category, message } => (TurnStatus::Failed, Some(TurnError { category, message })),
            TurnOutcome::Interrupted => (TurnStatus::Interrupted, None),
            TurnOutcome::Canceled => (TurnStatus::Canceled, None),
        };
        self.turn_started_at = None;
        self.interrupt_requested = false;
        self.emit(
            turn,
            now,
            EventKind::TurnEnded {
                status,
                usage: self.turn_usage,
                error,
            },
        );
    }

    pub fn emit(&mut self, turn: u32, now: jiff::Timestamp, kind: EventKind) {
        let event = Event {
            kind,
            turn,
            attempt: 1,
            agent: self.start.agent.clone(),
            time: now,
        };
        self.outbox.push(Pending::Event(Box::new(event)));
    }

    /// An activity that carried the outbox has ended.
    pub fn settle(&mut self, ack: &LogAck) {
        self.outbox.settle(ack.acked);
        self.note_log(ack);
    }

    /// What an activity says of the log that carried nothing of the outbox.
    pub fn note_log(&mut self, ack: &LogAck) {
        if ack.seen.is_some() {
            self.log_seen.clone_from(&ack.seen);
        }
    }

    /// The turn that runs, or the last one.
    fn turn(&self) -> u32 {
        self.turns_accepted - u32::try_from(self.queue.len()).unwrap_or(0)
    }

    /// The arguments of a call, from the model's answer.
    pub fn arguments(&self, id: StepId, index: u32) -> Result<Value, String> {
        let reference = SegmentRef::Model(id.turn, id.step);
        let answer = self
            .transcript
            .iter()
            .rev()
            .find(|segment| segment.reference() == reference);
        let item = answer.and_then(|segment| match &segment.body {
            Body::Model { items } => items.get(usize::try_from(index).ok()?),
            _ => None,
        });
        let item = item.ok_or_else(|| "the call is not in the model's answer".to_owned())?;
        arguments(item).map_err(|error| format!("the arguments are not JSON: {error}"))
    }

    pub fn state(&self) -> TaskState {
        TaskState {
            agent: self.start.agent.clone(),
            turn: self.turn(),
            phase: self.phase,
            queued_messages: self.queue.len(),
            transcript_items: self.transcript.iter().map(|segment| segment.items().len()).sum(),
            revision: self.revision.as_ref().map(|revision| revision.name.clone()),
            usage: self.usage,
        }
    }

    pub fn items(&self) -> Vec<Value> {
        self.transcript.iter().flat_map(Segment::items).collect()
    }
}
