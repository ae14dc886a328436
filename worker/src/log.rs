//! What activities write to the event log of a task.

pub(crate) mod outbox;
pub(crate) mod output_gate;
pub(crate) mod writer;
