//! Keeps Temporal Schedules in line with `spec.schedules` of Agents.
//!
//! A reconciliation records the schedules of its Agent in `state` and goes
//! on; one task, the `syncer`, brings Temporal in line when Temporal can be
//! reached. Nothing waits for Temporal, and no finalizer holds an Agent: the id
//! of a schedule names its Agent, and the syncer deletes the schedule when that
//! Agent is gone.

pub(crate) mod cron;
pub mod desired;
pub mod mark;
pub(crate) mod plan;
pub(crate) mod state;
pub(crate) mod syncer;
pub(crate) mod temporal;
