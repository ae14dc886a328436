//! Continue-as-new: the durable state that the next run receives, whole or as pages, and how that run
//! puts it together again.

use std::collections::VecDeque;

use steadfast_agent_loop::{QueuedMessage, Segment};
use steadfast_contract::{
    activities::NewSegment,
    start::{SCHEMA_VERSION, StartTask},
    state::StatePages,
};
use steadfast_payload::packed_size;

use super::Task;
use crate::state_pages::{INLINE_LIMIT_BYTES, paginate};

/// Signals after which a run continues as new, however small its history is.
const SIGNALS_PER_RUN: u32 = 2_000;

impl Task {
    /// The run is to continue as new at the next point with no activity in flight.
    pub fn wants_continue_as_new(&self) -> bool {
        self.local.signals >= SIGNALS_PER_RUN || self.local.checkpoint_requested
    }

    /// Takes in the next page of a state that was too large for the input of this run.
    pub fn take_page(&mut self, segments: Vec<Segment>) {
        self.local.fetched.extend(segments);
    }

    /// Puts the transcript and the queue together once all pages have been fetched.
    pub fn restore_pages(&mut self) {
        let Some(pages) = self.state.pages.take() else { return };
        let mut segments = std::mem::take(&mut self.local.fetched);
        let queued = segments.split_off(segments.len().saturating_sub(pages.queued));
        self.state.transcript = segments.into();
        self.offer_inherited();
        let queue: VecDeque<QueuedMessage> = queued.into_iter().filter_map(QueuedMessage::from_segment).collect();
        for message in &queue {
            self.offer_message(message);
        }
        self.state.inbox.restore_queue(queue);
    }

    /// The input of the next run. Call it with no activity in flight.
    pub fn continue_as_new(&self) -> StartTask {
        let mut state = self.state.clone();
        state.detach_from_run();
        if packed_size(&state) > INLINE_LIMIT_BYTES {
            let queued: Vec<Segment> = state.inbox.queued().map(QueuedMessage::to_segment).collect();
            let references = state.transcript.references();
            let transcript = references.into_iter().zip(state.transcript.segments());
            let queue = queued
                .iter()
                .map(|segment| (NewSegment::Ref(segment.reference()), segment));
            state.pages = Some(StatePages {
                run_id: self.local.run_id.clone(),
                pages: paginate(transcript.chain(queue)),
                queued: queued.len(),
            });
            state.transcript = Vec::new().into();
            state.inbox.clear_queue();
        }
        StartTask {
            schema_version: SCHEMA_VERSION,
            state: Some(Box::new(state)),
            ..self.start.clone()
        }
    }
}
