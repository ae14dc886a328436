//! Moves the tasks of an Agent that runs on other workers than before: between a
//! WorkerPool and workers of its own.
//!
//! A reconciliation says which moves there are and lets the earlier workers go in the
//! end; one task, the `mover`, tells the tasks through Temporal. Nothing waits for it.

pub(crate) mod mover;
pub(crate) mod state;
