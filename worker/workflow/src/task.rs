//! The state of a task and its changes, without Temporal: what signals do, what
//! joins the transcript, what goes to the log. The workflow drives it.

mod telling;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use serde_json::Value;
use steadfast_agent_loop::{
    AgentRun, Body, Failure, Guarded, Input, Limits, Segment, SegmentRef, StepId, TurnOutcome, UserContent,
};
use steadfast_contract::{
    activities::{LogAck, NewSegment, Revision},
    approvals::Approvals,
    outbox::{Outbox, Pending},
    queries::{Phase, TaskState},
    queue::{QueuedMessage, user_content},
    signals::ReceiveEvent,
    start::{SCHEMA_VERSION, StartTask},
    state::{Acting, Carried, Paged},
    tool_calls::{CallProgress, FinishedCall, MadeBy, Ran},
};
use steadfast_events::{EventKind, TaskStatus, TurnError, TurnStatus, Usage};
use steadfast_payload::packed_size;

use crate::{
    state_pages::{INLINE_LIMIT_BYTES, paginate},
    store::SegmentStore,
    transcript::Transcript,
};

/// Message ids remembered for deduplication.
const REMEMBERED_MESSAGE_IDS: usize = 1_000;
/// Signals after which a run hands over to the next, however small it is.
const SIGNALS_PER_RUN: u32 = 2_000;
/// Tasks of this schema version and above do what the first release did not.
const COMPLETE_RUN_VERSION: u32 = 2;
/// A transcript of fewer segments has nothing to sum up.
const FEWEST_SEGMENTS_TO_COMPACT: usize = 4;
/// What of a request goes along with a summary made in the middle of its turn.
const LONGEST_REQUEST_BYTES: usize = 16 * 1024;

/// The state of a running task.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a word that came from outside, at its own time"
)]
pub struct Task {
    run_id: String,
    store: Arc<SegmentStore>,
    pub start: StartTask,
    pub run: AgentRun,
    /// The agent that has the turn, when it is not the task's own.
    pub acting: Option<Acting>,
    /// The revision of the agent that has the turn.
    pub revision: Option<Revision>,
    created_at: jiff::Timestamp,
    pub turn_started_at: Option<jiff::Timestamp>,
    pub queue: VecDeque<QueuedMessage>,
    pub outbox: Outbox,
    /// An activity of ours that will carry the outbox is about to be scheduled.
    pub carrier_comes: bool,
    pub phase: Phase,
    pub complete_requested: bool,
    pub interrupt_requested: bool,
    pub checkpoint_requested: bool,
    /// A time limit has passed.
    pub timed_out: Option<Deadline>,
    /// What runs is to be stopped at once, and nobody has told the workers yet.
    pub stop_unsaid: bool,
    pub log_seen: Option<String>,
    pub approvals: Approvals,
    pub finished_calls: BTreeMap<u32, FinishedCall>,
    pub progress: BTreeMap<u32, CallProgress>,
    /// Whether the server indexes our search attributes; asked once.
    pub search_attributes: Option<bool>,
    pub transcript: Transcript,
    /// What did not fit into the start input; fetched before anything else.
    pub paged: Option<Paged>,
    fetched: Vec<Segment>,
    generation: u32,
    /// Tokens that the newest model call took in and gave out.
    context_tokens: u64,
    turns_accepted: u32,
    seen_message_ids: VecDeque<String>,
    signals: u32,
    own_messages: u32,
    usage: Usage,
    turn_usage: Usage,
    last_outcome: Option<TurnOutcome>,
}

/// What an activity of this run has answered stands in no history that the next run can read.
fn by_task((index, call): (u32, FinishedCall)) -> (u32, FinishedCall) {
    let made_by = MadeBy::Task;
    (index, FinishedCall { made_by, ..call })
}

/// A time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    Turn,
    Task,
}

impl Task {
    /// Begins a task, or goes on with what the run before handed over.
    pub fn new(mut start: StartTask, run_id: &str, store: Arc<SegmentStore>, now: jiff::Timestamp) -> Self {
        let carried = start.carried.take();
        let is_new = carried.is_none();
        let carried = carried.map(|carried| *carried).unwrap_or_default();
        let first_messages = std::mem::take(&mut start.messages);
        store.put_start(run_id, start.clone());
        let mut task = Self {
            run_id: run_id.to_owned(),
            store,
            start,
            run: carried.run,
            acting: carried.acting,
            revision: carried.revision,
            created_at: carried.created_at.unwrap_or(now),
            turn_started_at: carried.turn_started_at,
            queue: carried.queue,
            outbox: carried.outbox,
            carrier_comes: false,
            phase: Phase::Idle,
            complete_requested: carried.complete_requested,
            interrupt_requested: false,
            checkpoint_requested: false,
            timed_out: None,
            stop_unsaid: false,
            log_seen: carried.log_seen,
            approvals: carried.approvals,
            finished_calls: carried.finished_calls,
            progress: carried.progress,
            search_attributes: None,
            transcript: Transcript::default(),
            paged: carried.paged,
            fetched: Vec::new(),
            generation: carried.generation,
            context_tokens: carried.context_tokens,
            turns_accepted: carried.turns_accepted,
            seen_message_ids: carried.seen_message_ids,
            signals: 0,
            own_messages: carried.own_messages,
            usage: carried.usage,
            turn_usage: carried.turn_usage,
            last_outcome: None,
        };
        task.take_over(carried.transcript);
        for message in &task.queue {
            let reference = SegmentRef::Message(message.message_id.clone());
            task.store.put(&task.run_id, reference, message.to_segment());
        }
        if let Some(revision) = &task.revision {
            task.store.put_revision(&task.run_id, revision.clone());
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

    fn take_over(&mut self, segments: Vec<Segment>) {
        for (index, segment) in (0..).zip(&segments) {
            self.store.put_carried(&self.run_id, index, segment.clone());
        }
        self.transcript = Transcript::carried(segments);
    }

    /// Takes in the next page of what did not fit into the start input.
    pub fn take_page(&mut self, segments: Vec<Segment>) {
        self.fetched.extend(segments);
    }

    /// All pages are there.
    pub fn take_pages(&mut self) {
        let Some(paged) = self.paged.take() else { return };
        let mut segments = std::mem::take(&mut self.fetched);
        let queued = segments.split_off(segments.len().saturating_sub(paged.queued));
        self.take_over(segments);
        let mut queue: VecDeque<QueuedMessage> = queued.into_iter().filter_map(QueuedMessage::of_segment).collect();
        for message in &queue {
            let reference = SegmentRef::Message(message.message_id.clone());
            self.store.put(&self.run_id, reference, message.to_segment());
        }
        // What has come in meanwhile comes after.
        queue.append(&mut self.queue);
        self.queue = queue;
    }

    /// Whether the task does what the first release did not: its first runs must replay as they ran.
    pub fn is_complete_run(&self) -> bool {
        self.start.schema_version >= COMPLETE_RUN_VERSION
    }

    /// Everything the next run needs. Call it with no activity in flight.
    pub fn hand_over(&self) -> StartTask {
        let mut carried = Carried {
            run: self.run.clone(),
            transcript: self.transcript.segments().cloned().collect(),
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
            created_at: Some(self.created_at),
            acting: self.acting.clone(),
            approvals: self.approvals.clone(),
            finished_calls: self.finished_calls.clone().into_iter().map(by_task).collect(),
            progress: self.progress.clone(),
            own_messages: self.own_messages,
            generation: self.generation,
            context_tokens: self.context_tokens,
            paged: None,
        };
        if packed_size(&carried) > INLINE_LIMIT_BYTES {
            let queued: Vec<Segment> = self.queue.iter().map(QueuedMessage::to_segment).collect();
            let references = self.transcript.references();
            let transcript = references.into_iter().zip(self.transcript.segments());
            let queue = queued
                .iter()
                .map(|segment| (NewSegment::Ref(segment.reference()), segment));
            carried.paged = Some(Paged {
                run_id: self.run_id.clone(),
                pages: paginate(transcript.chain(queue)),
                queued: queued.len(),
            });
            carried.transcript.clear();
            carried.queue.clear();
        }
        StartTask {
            schema_version: SCHEMA_VERSION,
            carried: Some(Box::new(carried)),
            ..self.start.clone()
        }
    }

    pub fn wants_hand_over(&self) -> bool {
        self.signals >= SIGNALS_PER_RUN || self.checkpoint_requested
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
        let (content, refused) = match user_content(message.content) {
            None => (None, "a message needs text that is not empty, or data".to_owned()),
            Some(_) if self.complete_requested => (
                None,
                "the task is being completed and takes no more messages".to_owned(),
            ),
            Some(_) if self.queue_is_full() => (
                None,
                format!(
                    "{} messages wait already (limits.maxQueuedMessages); send it again when the agent has answered",
                    self.queue.len()
                ),
            ),
            Some(content) => (Some(content), String::new()),
        };
        let Some(content) = content else {
            let reason = refused;
            self.emit(0, now, EventKind::MessageRejected { message_id, reason });
            return;
        };
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

    fn queue_is_full(&self) -> bool {
        let limit = self
            .revision
            .as_ref()
            .map(|revision| revision.spec.limits.max_queued_messages);
        self.is_complete_run()
            && limit.is_some_and(|limit| u32::try_from(self.queue.len()).unwrap_or(u32::MAX) >= limit)
    }

    /// Begins the turn of the oldest message. Needs a revision and a message.
    pub fn start_turn(&mut self, now: jiff::Timestamp) -> Option<Input> {
        let spec = &self.revision.as_ref()?.spec;
        let limits = Limits {
            max_model_calls_per_turn: spec.limits.max_model_calls_per_turn,
        };
        let guarded = if spec.guardrails.input.is_empty() {
            Guarded::No
        } else {
            Guarded::Yes
        };
        let message = self.queue.pop_front()?;
        self.turn_started_at = Some(now);
        self.turn_usage = Usage::default();
        self.interrupt_requested = false;
        self.stop_unsaid = false;
        self.transcript.push(message.to_segment());
        self.emit(message.turn, now, EventKind::TurnStarted {});
        Some(Input::TurnStarted {
            turn: message.turn,
            limits,
            guarded,
        })
    }

    pub fn adopt_revision(&mut self, revision: Revision) {
        self.store.put_revision(&self.run_id, revision.clone());
        self.revision = Some(revision);
    }

    /// The queue that the acting agent's activities run on; the task's own when absent.
    pub fn acting_queue(&self) -> Option<String> {
        self.acting.as_ref().map(|acting| acting.task_queue.clone())
    }

    /// Name of the agent that has the turn.
    pub fn acting_agent(&self) -> &str {
        self.acting.as_ref().map_or(&self.start.agent, |acting| &acting.agent)
    }

    /// Adds a segment to the transcript, and keeps it at hand for the activities of this process.
    pub fn join(&mut self, segment: Segment) {
        self.store.put(&self.run_id, segment.reference(), segment.clone());
        self.transcript.push(segment);
    }

    /// The next transcript begins with a summary and keeps the last segments.
    pub fn compact(&mut self, id: StepId, text: String, kept: usize, now: jiff::Timestamp) {
        self.generation += 1;
        self.context_tokens = 0;
        let generation = self.generation;
        let text = if kept == 0 { self.with_request(text) } else { text };
        let segment = Segment {
            turn: id.turn,
            step: id.step,
            at: now,
            body: Body::Summary { generation, text },
        };
        self.store.put(&self.run_id, segment.reference(), segment.clone());
        self.transcript.compact(segment, kept);
        self.emit(id.turn, now, EventKind::ContextCompacted { generation });
    }

    /// A summary in the middle of a turn takes along what the turn is about.
    fn with_request(&self, summary: String) -> String {
        let request = self
            .transcript
            .segments()
            .rev()
            .find_map(|segment| match &segment.body {
                Body::User {
                    content: UserContent::Text(text),
                    ..
                } => Some(&text[..text.floor_char_boundary(LONGEST_REQUEST_BYTES)]),
                _ => None,
            });
        match request {
            Some(request) => format!("{summary}\n\nThe request you are working on: {request}"),
            None => summary,
        }
    }

    /// Whether the conversation is to be summed up before the next model call.
    pub fn window_is_full(&self) -> bool {
        let Some(revision) = self.revision.as_ref().filter(|_| self.may_compact()) else {
            return false;
        };
        let context = &revision.spec.context;
        let threshold = context
            .window_tokens
            .saturating_mul(u64::from(context.compaction.threshold_percent))
            / 100;
        self.context_tokens > threshold
    }

    /// Whether summing up is wanted and would help.
    pub fn may_compact(&self) -> bool {
        let wanted = self
            .revision
            .as_ref()
            .is_some_and(|revision| revision.spec.context.compaction.enabled);
        self.is_complete_run() && wanted && self.transcript.len() >= FEWEST_SEGMENTS_TO_COMPACT
    }

    /// The tokens of the whole task are used up.
    pub fn tokens_exhausted(&self) -> Option<u64> {
        let limit = self.revision.as_ref()?.spec.limits.max_tokens_per_task?;
        (self.usage.input_tokens + self.usage.output_tokens >= limit).then_some(limit)
    }

    pub fn count_usage(&mut self, usage: Usage) {
        self.usage.add(usage);
        self.turn_usage.add(usage);
    }

    /// What the newest model call says of the size of the conversation.
    pub fn note_context(&mut self, usage: Usage) {
        self.context_tokens = usage.input_tokens + usage.output_tokens;
    }

    /// Every function call of the transcript has its output, or gets one that says why it has none.
    pub fn close_open_calls(&mut self, now: jiff::Timestamp, reason: &str) {
        for segment in self.transcript.outputs_of_open_calls(now, reason) {
            self.tell_of(&segment);
            self.join(segment);
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
        let started_at = self.turn_started_at.take();
        self.interrupt_requested = false;
        self.stop_unsaid = false;
        if self.timed_out == Some(Deadline::Turn) {
            self.timed_out = None;
        }
        self.finished_calls.clear();
        self.progress.clear();
        self.last_outcome = Some(outcome);
        self.emit(
            turn,
            now,
            EventKind::TurnEnded {
                status,
                usage: self.turn_usage,
                error,
            },
        );
        if let Some(from) = started_at {
            self.outbox.note_ran(Ran {
                step: 0,
                from,
                until: now,
            });
        }
    }

    /// Why what runs was stopped.
    pub fn stop_reason(&self) -> Failure {
        match self.timed_out {
            _ if self.interrupt_requested => Failure::Interrupted,
            Some(Deadline::Turn) => Failure::Error {
                category: "turn_timeout".to_owned(),
                message: "the turn took longer than limits.turnTimeout".to_owned(),
            },
            Some(Deadline::Task) => Failure::Error {
                category: "task_timeout".to_owned(),
                message: "the task took longer than limits.taskTimeout".to_owned(),
            },
            None => Failure::Canceled,
        }
    }

    /// The next time limit, and when it passes.
    pub fn next_deadline(&self) -> Option<(Deadline, jiff::Timestamp)> {
        if !self.is_complete_run() || self.timed_out.is_some() {
            return None;
        }
        let limits = &self.revision.as_ref()?.spec.limits;
        let at = |from: Option<jiff::Timestamp>, limit: Option<Duration>| from?.checked_add(limit?).ok();
        let turn = at(self.turn_started_at, limits.turn_timeout.map(Into::into));
        let task = at(Some(self.created_at), limits.task_timeout.map(Into::into));
        let turn = turn.map(|at| (Deadline::Turn, at));
        let task = task.map(|at| (Deadline::Task, at));
        [turn, task].into_iter().flatten().min_by_key(|(_, at)| *at)
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
    pub fn turn(&self) -> u32 {
        self.turns_accepted - u32::try_from(self.queue.len()).unwrap_or(0)
    }

    pub fn state(&self) -> TaskState {
        TaskState {
            agent: self.start.agent.clone(),
            turn: self.turn(),
            phase: self.phase,
            queued_messages: self.queue.len(),
            transcript_items: self.transcript.segments().map(|segment| segment.items().len()).sum(),
            revision: self.revision.as_ref().map(|revision| revision.name.clone()),
            acting_agent: self.acting_agent().to_owned(),
            approvals: self.approvals.waiting(),
            generation: self.generation,
            usage: self.usage,
        }
    }

    /// What the task has come to.
    pub fn result(&self) -> steadfast_contract::start::TaskResult {
        steadfast_contract::start::TaskResult {
            text: self.transcript.last_words(),
            outcome: self.last_outcome.clone(),
            usage: self.usage,
        }
    }

    pub fn items(&self) -> Vec<Value> {
        self.transcript
            .segments()
            .flat_map(Segment::items)
            .map(Value::from)
            .collect()
    }
}
