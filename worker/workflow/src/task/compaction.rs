//! When the transcript is compacted, and how a task counts its tokens.

use std::sync::Arc;

use steadfast_agent_loop::{Body, Segment, StepId, UserContent};
use steadfast_events::{EventKind, Usage};

use super::Task;

/// A transcript of fewer segments is too short for a summary.
const MIN_SEGMENTS_TO_COMPACT: usize = 4;
/// Bytes of a request that are kept with a summary made in the middle of its turn.
const KEPT_REQUEST_BYTES: usize = 16 * 1024;

impl Task {
    /// Begins the next transcript with a summary and the last `kept` segments.
    pub fn compact(&mut self, id: StepId, text: String, kept: usize, now: jiff::Timestamp) {
        self.state.generation += 1;
        self.state.context_tokens = 0;
        let generation = self.state.generation;
        let text = if kept == 0 { self.with_request(text) } else { text };
        let segment = Arc::new(Segment {
            turn: id.turn,
            step: id.step,
            at: now,
            body: Body::Summary { generation, text },
        });
        self.local
            .sink
            .put_segment(&self.local.run_id, segment.reference(), &segment);
        self.state.transcript.compact(segment, kept);
        self.emit(id.turn, now, EventKind::ContextCompacted { generation });
    }

    /// A summary in the middle of a turn keeps the request of that turn.
    fn with_request(&self, summary: String) -> String {
        let mut segments = self.state.transcript.segments().rev();
        let request = segments.find_map(|segment| match &segment.body {
            Body::User {
                content: UserContent::Text(text) | UserContent::Attached { text, .. },
                ..
            } => Some(&text[..text.floor_char_boundary(KEPT_REQUEST_BYTES)]),
            _ => None,
        });
        match request {
            Some(request) => format!("{summary}\n\nThe request you are working on: {request}"),
            None => summary,
        }
    }

    /// Whether the transcript is to be compacted before the next model call.
    pub fn is_window_full(&self) -> bool {
        let Some(revision) = self.state.revision.as_ref().filter(|_| self.may_compact()) else {
            return false;
        };
        let context = &revision.spec.context;
        let threshold = context
            .window_tokens
            .saturating_mul(u64::from(context.compaction.threshold_percent))
            / 100;
        self.state.context_tokens > threshold
    }

    /// Whether compaction is enabled and would make room.
    pub fn may_compact(&self) -> bool {
        let revision = self.state.revision.as_ref();
        let enabled = revision.is_some_and(|revision| revision.spec.context.compaction.enabled);
        enabled && self.state.transcript.len() >= MIN_SEGMENTS_TO_COMPACT
    }

    /// The limit on tokens, where the task has reached it.
    pub fn exhausted_token_limit(&self) -> Option<u64> {
        let limit = self.state.revision.as_ref()?.spec.limits.max_tokens_per_task?;
        let used = self.state.usage.input_tokens + self.state.usage.output_tokens;
        (used >= limit).then_some(limit)
    }

    pub fn count_usage(&mut self, usage: Usage) {
        self.state.usage.add(usage);
        self.state.turn_usage.add(usage);
    }

    /// The newest model call says how large the conversation is.
    pub fn note_context(&mut self, usage: Usage) {
        self.state.context_tokens = usage.input_tokens + usage.output_tokens;
    }
}
