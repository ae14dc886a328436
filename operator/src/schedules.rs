//! Keeps Temporal Schedules in line with `spec.schedules` of Agents.
//!
//! Reconciliations say what an Agent wants ([`board`]) and go on; one task of
//! its own ([`keeper`]) brings Temporal there whenever Temporal can be asked.
//! Nothing waits for Temporal, and no finalizer holds an Agent: a schedule tells
//! by its id whose it is, and goes when that Agent is gone.

pub mod board;
pub mod desired;
pub mod keeper;
pub mod plan;
pub mod temporal;
