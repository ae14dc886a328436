//! Scales the workers of Agents and WorkerPools with `spec.worker.autoscaling`.
//!
//! `plan` decides, from what waits at Temporal and what the workers say that they do. The `autoscaler` asks both and
//! acts; reconciliations only tell it which owners there are, and who is to wake. Where the spec has no `autoscaling`,
//! nothing here touches the number of pods, so that it may be somebody else's.

pub(crate) mod autoscaler;
pub(crate) mod plan;
pub(crate) mod replicas;
pub(crate) mod state;
pub(crate) mod temporal;
pub(crate) mod wake;
pub(crate) mod workers;
