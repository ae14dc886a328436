//! Ends the tasks of Agents that are being deleted, as `spec.deletion` says.
//!
//! `plan` decides, from what is known of the tasks and the workers, how to ask
//! the tasks to end and when to let the Agent go. A reconciliation acts on it and
//! goes on; one task, the `drainer`, asks Temporal. Nothing waits for Temporal:
//! the deadline passes whether it answers or not.

pub(crate) mod drainer;
pub(crate) mod passes;
pub(crate) mod plan;
pub(crate) mod state;
