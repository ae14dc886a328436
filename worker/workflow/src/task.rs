//! The state of a running task and its changes, without Temporal: what signals do, what joins the
//! transcript, what goes to the log. The driver calls it.

mod compaction;
mod continue_as_new;
mod events;
mod moves;
mod stop;

use std::sync::Arc;

use serde_json::Value;
use steadfast_agent_loop::{
    Admission, Guarded, Input, Limits, QueuedMessage, Receipt, Segment, SegmentRef, TurnOutcome,
};
use steadfast_contract::{
    activities::{LoadedRevision, LogAck, Revision},
    interval::Interval,
    outbox::{Pending, TurnEndPlace},
    queries::{Phase, TaskState},
    signals::{AnswerParts, ReceiveEvent},
    start::{StartTask, TaskResult},
    state::DurableState,
};
use steadfast_events::{EventKind, TaskStatus, TurnError, TurnStatus, Usage};
use steadfast_payload::json_size;
use steadfast_projection::text_of_items;

use crate::{
    command_size::{Sent, within_payload},
    segment_sink::SegmentSink,
};

pub use stop::Deadline;

/// A running task: its durable state, and what belongs to this run alone.
pub struct Task {
    /// How the task was started, without the state of the run before.
    pub start: StartTask,
    /// Continue-as-new moves all of this to the next run, and nothing else.
    pub state: DurableState,
    pub local: RunLocal,
}

/// What belongs to one run and is not moved to the next.
pub struct RunLocal {
    run_id: String,
    sink: Arc<dyn SegmentSink>,
    pub phase: Phase,
    /// An activity of ours that takes the outbox along is about to be scheduled.
    pub piggyback_pending: bool,
    pub checkpoint_requested: bool,
    pub newest_revision: NewestRevision,
    pub turn_end: TurnEnd,
    stop: stop::Stop,
    /// Segments of the pages that have been fetched so far.
    fetched: Vec<Segment>,
    /// What the commands of the present workflow task carry.
    pub(crate) sent: Sent,
    /// Answers of model calls that arrive before the results of their activities.
    pub answer_parts: AnswerParts,
    signals: u32,
    /// How much the run before has left, as JSON.
    inherited_bytes: usize,
    /// How much the history has grown since then by messages and segments, as JSON.
    grown_bytes: usize,
    /// The log has events of this run.
    pub has_appended: bool,
    last_outcome: Option<TurnOutcome>,
}

impl Drop for RunLocal {
    fn drop(&mut self) {
        self.sink.forget(&self.run_id);
    }
}

/// Whether the newest revision has been read for the turn that begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NewestRevision {
    #[default]
    Unread,
    Read,
}

/// Who brings the end of the running turn into the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TurnEnd {
    #[default]
    ByOutbox,
    /// The model call that had the last word has done it.
    ByModelCall,
}

impl Task {
    /// Begins a task, or continues with the state that the run before has left.
    pub fn new(mut start: StartTask, run_id: &str, sink: Arc<dyn SegmentSink>, now: jiff::Timestamp) -> Self {
        let inherited = start.state.take();
        let is_new = inherited.is_none();
        let state = inherited.map_or_else(
            || DurableState {
                created_at: now,
                ..DurableState::default()
            },
            |state| *state,
        );
        let first_messages = std::mem::take(&mut start.messages);
        sink.put_start(run_id, &start);
        let local = RunLocal {
            run_id: run_id.to_owned(),
            sink,
            phase: Phase::Idle,
            piggyback_pending: false,
            checkpoint_requested: false,
            newest_revision: NewestRevision::default(),
            turn_end: TurnEnd::default(),
            stop: stop::Stop::default(),
            fetched: Vec::new(),
            sent: Sent::default(),
            answer_parts: AnswerParts::default(),
            signals: 0,
            inherited_bytes: 0,
            grown_bytes: 0,
            has_appended: false,
            last_outcome: None,
        };
        let mut task = Self { start, state, local };
        task.offer_state();
        if let Some(revision) = task.state.revision.take() {
            task.set_revision(revision);
        }
        if is_new {
            let status = TaskStatus::Running;
            task.emit(0, now, EventKind::TaskUpdated { status, reason: None });
            for message in first_messages {
                task.receive(message, now);
            }
        }
        task
    }

    /// Offers what the state holds to the activities of this process.
    fn offer_state(&self) {
        self.offer_inherited();
        for message in self.state.inbox.queued() {
            self.offer_message(message);
        }
    }

    fn offer_inherited(&self) {
        for (index, segment) in (0..).zip(self.state.transcript.shared()) {
            self.local.sink.put_inherited(&self.local.run_id, index, segment);
        }
    }

    fn offer_message(&self, message: &QueuedMessage) {
        let reference = SegmentRef::Message(message.message_id.clone());
        self.local
            .sink
            .put_segment(&self.local.run_id, reference, &Arc::new(message.to_segment()));
    }

    /// Offers the result of a step of a `steps` tool to the activities of this process.
    pub fn offer_step(&self, activity_id: &str, result: &Value) {
        self.local.sink.put_step(&self.local.run_id, activity_id, result);
    }

    pub fn count_signal(&mut self) {
        self.local.signals += 1;
    }

    /// Takes in a message, or tells the log why it is rejected.
    pub fn receive(&mut self, message: ReceiveEvent, now: jiff::Timestamp) {
        self.local.grown_bytes += json_size(&message.content);
        let message_id = message.message_id.clone();
        let idempotency_key = message.idempotency_key.clone();
        let admission = Admission::Limits {
            max_queued: self.max_queued_messages(),
        };
        match self.state.inbox.receive(message.into_message(now), admission) {
            Receipt::Accepted(queued) => {
                self.offer_message(&queued);
                self.emit(
                    queued.turn,
                    now,
                    EventKind::MessageAccepted {
                        message_id: message_id.clone(),
                        idempotency_key,
                    },
                );
                self.state
                    .outbox
                    .push(Pending::Messages(SegmentRef::Message(message_id)));
            }
            Receipt::Duplicate => {}
            Receipt::Rejected(rejection) => {
                let reason = rejection.to_string();
                self.emit(
                    0,
                    now,
                    EventKind::MessageRejected {
                        message_id,
                        idempotency_key,
                        reason,
                    },
                );
            }
        }
    }

    /// No message is accepted until one that waits has its turn.
    pub fn is_queue_full(&self) -> bool {
        let queued = self.state.inbox.queued().len();
        self.max_queued_messages().is_some_and(|limit| queued >= limit)
    }

    fn max_queued_messages(&self) -> Option<usize> {
        let limit = self.state.revision.as_ref()?.spec.limits.max_queued_messages;
        Some(usize::try_from(limit).unwrap_or(usize::MAX))
    }

    /// Begins the turn of the oldest message; `None` without a revision or a message.
    pub fn start_turn(&mut self, now: jiff::Timestamp) -> Option<Input> {
        let spec = &self.state.revision.as_ref()?.spec;
        let limits = Limits {
            max_model_calls_per_turn: spec.limits.max_model_calls_per_turn,
        };
        let guarded = if spec.guardrails.input.is_empty() {
            Guarded::No
        } else {
            Guarded::Yes
        };
        let message = self.state.inbox.start_turn()?;
        self.forget_moves();
        self.state.turn_started_at = Some(now);
        self.state.turn_usage = Usage::default();
        self.state.turn_sender.clone_from(&message.sender);
        self.local.stop.turn_started();
        self.state.transcript.push(message.to_segment());
        self.emit(message.turn, now, EventKind::TurnStarted {});
        Some(Input::TurnStarted {
            turn: message.turn,
            limits,
            guarded,
        })
    }

    /// Takes in what the activity has read.
    pub fn adopt_revision(&mut self, loaded: LoadedRevision) {
        if let Some(revision) = loaded.revision {
            self.set_revision(Arc::new(revision));
        }
        if let Some(registered) = loaded.search_attributes {
            self.state.search_attributes = registered;
        }
    }

    fn set_revision(&mut self, revision: Arc<Revision>) {
        let shared = self.local.sink.put_revision(&self.local.run_id, revision);
        self.state.revision = Some(shared);
    }

    /// The task waits for a message.
    pub fn rest(&self) {
        self.local.sink.rest(&self.local.run_id);
    }

    /// The wait for a message is over.
    pub fn wake(&self) {
        self.local.sink.wake(&self.local.run_id);
    }

    /// A call waits for a person.
    pub fn ask_person(&self) {
        self.local.sink.ask(&self.local.run_id);
    }

    /// A call waits for a person no longer.
    pub fn person_answered(&self) {
        self.local.sink.answer(&self.local.run_id);
    }

    /// The queue that the acting agent's activities run on; the task's own when absent.
    pub fn acting_queue(&self) -> Option<String> {
        self.state.active_agent.as_ref().map(|active| active.task_queue.clone())
    }

    /// Namespace of the agent that has the turn, if it is another one than that of the task.
    pub fn foreign_namespace(&self) -> Option<&str> {
        self.state.active_agent.as_ref()?.namespace.as_deref()
    }

    /// Namespace of the agent that has the turn.
    pub fn acting_namespace(&self) -> &str {
        self.foreign_namespace().unwrap_or(&self.start.namespace)
    }

    /// Name of the agent that has the turn.
    pub fn acting_agent(&self) -> &str {
        self.state
            .active_agent
            .as_ref()
            .map_or(&self.start.agent, |active| &active.agent)
    }

    /// Adds a segment to the transcript.
    pub fn append_segment(&mut self, segment: Segment) {
        self.local.grown_bytes += json_size(&segment);
        let segment = Arc::new(segment);
        self.local
            .sink
            .put_segment(&self.local.run_id, segment.reference(), &segment);
        self.state.transcript.push(segment);
    }

    /// Gives every function call of the transcript that has no output one that says why.
    pub fn close_open_calls(&mut self, now: jiff::Timestamp, reason: &str) {
        for segment in self.state.transcript.outputs_of_open_calls(now, reason) {
            self.publish(&segment);
            self.append_segment(segment);
        }
    }

    /// Records the end of the turn.
    pub fn close_turn(&mut self, outcome: TurnOutcome, now: jiff::Timestamp) {
        let turn = self.turn();
        let (status, error) = match outcome.clone() {
            TurnOutcome::Completed => (TurnStatus::Completed, None),
            TurnOutcome::Failed { category, message } => (TurnStatus::Failed, Some(TurnError { category, message })),
            TurnOutcome::Interrupted => (TurnStatus::Interrupted, None),
            TurnOutcome::Canceled => (TurnStatus::Canceled, None),
        };
        let started_at = self.state.turn_started_at.take();
        self.local.stop.turn_ended();
        self.state.finished_calls.clear();
        self.state.call_progress.clear();
        self.state.turn_sender.clear();
        self.state.interrupted = false;
        self.local.last_outcome = Some(outcome);
        if std::mem::take(&mut self.local.turn_end) == TurnEnd::ByModelCall {
            return;
        }
        let name = self.acting_agent().to_owned();
        self.emit_end(turn, now, TurnEndPlace::Agent, EventKind::AgentEnded { name });
        let ended = EventKind::TurnEnded {
            status,
            usage: self.state.turn_usage,
            error,
        };
        self.emit_end(turn, now, TurnEndPlace::Turn, ended);
        if let Some(from) = started_at {
            self.state.outbox.record_interval(Interval {
                step: 0,
                from,
                until: now,
            });
        }
    }

    /// The task ends: tells the senders of the messages that wait that they get no turn.
    pub fn drop_queued_messages(&mut self, status: TaskStatus, now: jiff::Timestamp) {
        let reason = match status {
            TaskStatus::Canceled => "the task was canceled before the agent came to this message",
            TaskStatus::TimedOut => "the task reached limits.taskTimeout before the agent came to this message",
            _ => "the task ended before the agent came to this message",
        };
        for message in self.state.inbox.end() {
            self.emit(
                message.turn,
                now,
                EventKind::MessageRejected {
                    message_id: message.message_id,
                    idempotency_key: message.idempotency_key,
                    reason: reason.to_owned(),
                },
            );
        }
    }

    /// An activity that took the outbox along has ended.
    pub fn ack(&mut self, ack: &LogAck) {
        self.state.outbox.ack(ack.acked);
        self.note_cursor(ack);
    }

    /// Takes over how far the log has come, from an activity that took nothing along.
    pub fn note_cursor(&mut self, ack: &LogAck) {
        if ack.cursor.is_some() {
            self.local.has_appended = true;
            self.state.log_cursor.clone_from(&ack.cursor);
        }
    }

    /// The turn that runs, or the last one.
    pub fn turn(&self) -> u32 {
        self.state.inbox.turn()
    }

    /// Answer of the query `state`.
    pub fn query_state(&self) -> TaskState {
        let segments = self.state.transcript.segments();
        TaskState {
            agent: self.start.agent.clone(),
            turn: self.turn(),
            phase: self.local.phase,
            queued_messages: self.state.inbox.queued().len(),
            transcript_items: segments.map(|segment| segment.items().len()).sum(),
            revision: self.state.revision.as_ref().map(|revision| revision.name.clone()),
            acting_agent: self.acting_agent().to_owned(),
            approvals: self.state.approvals.waiting(),
            generation: self.state.generation,
            usage: self.state.usage,
        }
    }

    /// Result of the workflow.
    pub fn result(&self) -> TaskResult {
        TaskResult {
            text: within_payload(text_of_items(self.state.transcript.newest_answer())),
            outcome: self.local.last_outcome.clone(),
            usage: self.state.usage,
        }
    }

    /// Answer of the query `transcript`.
    pub fn items(&self) -> Vec<Value> {
        let segments = self.state.transcript.segments();
        segments.flat_map(Segment::items).map(Value::from).collect()
    }
}

#[cfg(test)]
mod test_support {
    use steadfast_contract::signals::ReceiveEvent;
    use steadfast_events::{Content, TextFormat};

    pub(super) fn message(id: &str) -> ReceiveEvent {
        ReceiveEvent {
            message_id: id.to_owned(),
            idempotency_key: None,
            content: Content::text(id, TextFormat::Plain),
            sender: "ada".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{test_support::message, *};
    use crate::NoSink;

    #[test]
    fn messages_without_a_turn_are_told_to_their_senders_when_the_task_ends() {
        let now = jiff::Timestamp::UNIX_EPOCH;
        let mut start = StartTask::new("t", "default", "a");
        start.messages = vec![message("one"), message("two")];
        let mut task = Task::new(start, "run", Arc::new(NoSink), now);
        task.drop_queued_messages(TaskStatus::Canceled, now);
        task.receive(message("three"), now);
        let told: Vec<(String, u32, String)> = task
            .state
            .outbox
            .entries()
            .filter_map(|entry| match &entry.pending {
                Pending::Event(event) => Some(event),
                Pending::Messages(_) => None,
            })
            .filter_map(|event| match &event.kind {
                EventKind::MessageRejected { message_id, reason, .. } => {
                    Some((message_id.clone(), event.turn, reason.clone()))
                }
                _ => None,
            })
            .collect();
        let canceled = "the task was canceled before the agent came to this message";
        let late = "the task is being completed and accepts no more messages";
        let expected = [("one", 1, canceled), ("two", 2, canceled), ("three", 0, late)];
        assert_eq!(
            told,
            expected.map(|(id, turn, reason)| (id.to_owned(), turn, reason.to_owned()))
        );
    }
}
