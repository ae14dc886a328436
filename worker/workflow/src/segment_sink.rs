//! Where the workflow puts the segments and revisions that the activities of the same process
//! would otherwise have to read from the history. A sink may forget anything at any time.

use std::sync::Arc;

use serde_json::Value;
use steadfast_agent_loop::{Segment, SegmentRef};
use steadfast_contract::{activities::Revision, start::StartTask};

/// Takes what a run has come to know. Calls never block and never fail.
pub trait SegmentSink: Send + Sync {
    /// How the task was started, without the state of the run before.
    fn put_start(&self, run_id: &str, start: &StartTask);
    /// A segment under its reference.
    fn put_segment(&self, run_id: &str, reference: SegmentRef, segment: &Arc<Segment>);
    /// A segment of the run before, under its index there and its own reference.
    fn put_inherited(&self, run_id: &str, index: u32, segment: &Arc<Segment>);
    /// The result of a step of a `steps` tool.
    fn put_step(&self, run_id: &str, activity_id: &str, result: &Value);
    /// Returns the one copy that all runs on this revision share.
    fn put_revision(&self, run_id: &str, revision: Arc<Revision>) -> Arc<Revision>;
    /// The run waits for a message: its workflow may be removed from memory, and is then replayed.
    fn rest(&self, run_id: &str);
    /// The wait is over.
    fn wake(&self, run_id: &str);
    /// A call of the running turn waits for a person.
    fn ask(&self, run_id: &str);
    /// It waits no longer.
    fn answer(&self, run_id: &str);
    /// The run has ended, or its workflow was removed from memory.
    fn forget(&self, run_id: &str);
}

/// Keeps nothing: for replays.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSink;

impl SegmentSink for NoSink {
    fn put_start(&self, _: &str, _: &StartTask) {}
    fn put_segment(&self, _: &str, _: SegmentRef, _: &Arc<Segment>) {}
    fn put_inherited(&self, _: &str, _: u32, _: &Arc<Segment>) {}
    fn put_step(&self, _: &str, _: &str, _: &Value) {}
    fn put_revision(&self, _: &str, revision: Arc<Revision>) -> Arc<Revision> {
        revision
    }
    fn rest(&self, _: &str) {}
    fn wake(&self, _: &str) {}
    fn ask(&self, _: &str) {}
    fn answer(&self, _: &str) {}
    fn forget(&self, _: &str) {}
}
