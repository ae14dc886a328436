//! Continue-as-new: the durable state that the next run receives, whole, as pages or in parts, and how
//! that run puts it together again.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use serde_json::Value;
use steadfast_agent_loop::{Body, QueuedMessage, Segment, Step, StepId};
use steadfast_contract::{
    activities::NewSegment,
    start::{SCHEMA_VERSION, StartTask},
    state::{DurableState, StatePages, StateParts},
    text_parts,
    tool_calls::{FinishedCall, OutputSource},
};
use steadfast_payload::{PAYLOAD_LIMIT_BYTES, UnpackError, json_size, packed_size, read_json};

use super::Task;
use crate::state_pages::paginate;

/// Signals after which a run continues as new, however small its history is. Temporal takes 10,000.
const SIGNALS_PER_RUN: u32 = 2_000;
/// A state up to this size is no reason to put the server's suggestion off.
const SMALL_STATE_BYTES: usize = 256 * 1024;
/// A history of so many events is long because of its events.
const MANY_EVENTS: u32 = 1_000;
/// Outputs that the task itself made travel whole in the next model call up to this size, and stand apart beyond it.
const WHOLE_OUTPUTS_BYTES: usize = 128 * 1024;

/// What a run passes to the next.
pub struct NextRun {
    pub start: StartTask,
    /// Parts of the state, which are to be recorded in the history of this run before it ends.
    pub parts: Vec<String>,
}

impl Task {
    /// The run is to continue as new at the next point with no activity in flight.
    pub fn wants_continue_as_new(&self) -> bool {
        self.local.signals >= SIGNALS_PER_RUN || self.local.checkpoint_requested
    }

    /// Whether to follow the server's suggestion to continue as new. A large state alone makes the server suggest
    /// it at once in every run: a run goes on until its history has grown by half of what it began with.
    pub fn follows_suggestion(&self, history_length: u32) -> bool {
        self.local.inherited_bytes <= SMALL_STATE_BYTES
            || self.local.grown_bytes + self.local.sent.total_bytes() >= self.local.inherited_bytes / 2
            || history_length >= MANY_EVENTS
    }

    /// Whether the state is still in parts in the history of the run before. Nothing may change it until then.
    pub fn awaits_state(&self) -> bool {
        self.state.parts.is_some()
    }

    /// Takes in the state once all its parts have been fetched.
    pub fn restore_parts(&mut self, text: &str) -> Result<(), UnpackError> {
        self.state = read_json(text)?;
        self.offer_state();
        Ok(())
    }

    /// Takes in the next page of a state that was too large for the input of this run.
    pub fn take_page(&mut self, segments: Vec<Segment>) {
        self.local.fetched.extend(segments);
    }

    /// Puts the transcript, the queue and the finished calls together once all pages have been fetched.
    pub fn restore_pages(&mut self) {
        if let Some(pages) = self.state.pages.take() {
            let mut segments = std::mem::take(&mut self.local.fetched);
            let finished = segments.split_off(segments.len().saturating_sub(pages.finished));
            let queued = segments.split_off(segments.len().saturating_sub(pages.queued));
            self.state.transcript = segments.into();
            self.offer_inherited();
            let queue: VecDeque<QueuedMessage> = queued.into_iter().filter_map(QueuedMessage::from_segment).collect();
            for message in &queue {
                self.offer_message(message);
            }
            self.state.inbox.restore_queue(queue);
            for segment in finished {
                self.restore_finished_call(segment);
            }
        }
        self.local.inherited_bytes = json_size(&self.state);
        self.local.grown_bytes = 0;
    }

    fn restore_finished_call(&mut self, segment: Segment) {
        self.local
            .sink
            .put_segment(&self.local.run_id, segment.reference(), &Arc::new(segment.clone()));
        if let Body::Tool { index, output, .. } = segment.body
            && let Some(call) = self.state.finished_calls.get_mut(&index)
        {
            call.output = output;
        }
    }

    /// The outputs of the finished calls of a step that stand in no history yet and are too many to travel whole.
    pub fn unrecorded_outputs(&self, id: StepId, now: jiff::Timestamp) -> Vec<Segment> {
        let own = |(_, call): &(&u32, &FinishedCall)| call.source == OutputSource::Task;
        let of_task = || self.state.finished_calls.iter().filter(own);
        let size_bytes: usize = of_task().map(|(_, call)| json_size(&call.output.content)).sum();
        if size_bytes <= WHOLE_OUTPUTS_BYTES {
            return Vec::new();
        }
        of_task()
            .map(|(index, call)| recorded_output(id, *index, call, now))
            .collect()
    }

    /// The history has the output now, like that of an activity, and the log has it not.
    pub fn output_is_recorded(&mut self, segment: &Segment) {
        self.local
            .sink
            .put_segment(&self.local.run_id, segment.reference(), &Arc::new(segment.clone()));
        if let Body::Tool { index, .. } = &segment.body
            && let Some(call) = self.state.finished_calls.get_mut(index)
        {
            call.source = OutputSource::ForeignActivity;
        }
    }

    /// What the next run gets. Call it with no activity in flight.
    pub fn continue_as_new(&self) -> NextRun {
        let mut whole = self.state.clone();
        whole.detach_from_run();
        let start = self.next_start(whole);
        if packed_size(&start) <= PAYLOAD_LIMIT_BYTES {
            return NextRun {
                start,
                parts: Vec::new(),
            };
        }
        let state = self.paged();
        // The JSON of our own state can be written.
        let text = serde_json::to_string(&state).unwrap_or_default();
        let start = self.next_start(state);
        if packed_size(&start) <= PAYLOAD_LIMIT_BYTES {
            return NextRun {
                start,
                parts: Vec::new(),
            };
        }
        let parts = text_parts::cut(&text);
        let state = DurableState {
            parts: Some(StateParts {
                run_id: self.local.run_id.clone(),
                count: u32::try_from(parts.len()).unwrap_or(u32::MAX),
            }),
            ..DurableState::default()
        };
        NextRun {
            start: self.next_start(state),
            parts,
        }
    }

    fn next_start(&self, state: DurableState) -> StartTask {
        let log_run_id = if self.local.has_appended {
            &self.local.run_id
        } else {
            &self.start.log_run_id
        };
        StartTask {
            schema_version: SCHEMA_VERSION,
            log_run_id: log_run_id.clone(),
            state: Some(Box::new(state)),
            ..self.start.clone()
        }
    }

    /// The state without what stands in the history of this run: the next run fetches that in pages.
    fn paged(&self) -> DurableState {
        let mut state = self.state.clone();
        let queued: Vec<Segment> = state.inbox.queued().map(QueuedMessage::to_segment).collect();
        let finished = match state.agent_run.next_step() {
            Step::CallTools(id, _) => take_outputs(&mut state.finished_calls, id),
            _ => Vec::new(),
        };
        let references = state.transcript.references();
        let transcript = references.into_iter().zip(state.transcript.segments());
        let apart = queued
            .iter()
            .chain(&finished)
            .map(|segment| (NewSegment::Ref(segment.reference()), segment));
        state.pages = Some(StatePages {
            run_id: self.local.run_id.clone(),
            pages: paginate(transcript.chain(apart)),
            queued: queued.len(),
            finished: finished.len(),
        });
        state.transcript = Vec::new().into();
        state.inbox.clear_queue();
        state
    }
}

/// Takes the outputs that stand in history out of the finished calls of a step.
fn take_outputs(calls: &mut BTreeMap<u32, FinishedCall>, id: StepId) -> Vec<Segment> {
    let in_history = calls.iter_mut().filter(|(_, call)| call.source != OutputSource::Task);
    in_history
        .map(|(index, call)| {
            let segment = recorded_output(id, *index, call, jiff::Timestamp::UNIX_EPOCH);
            call.output.content = Value::Null;
            segment
        })
        .collect()
}

/// The segment of an output that stands in history.
fn recorded_output(id: StepId, index: u32, call: &FinishedCall, at: jiff::Timestamp) -> Segment {
    Segment {
        turn: id.turn,
        step: id.step,
        at,
        body: Body::Tool {
            index,
            output: call.output.clone(),
            by_task: false,
        },
    }
}
