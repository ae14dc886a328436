//! Versions of workers (`worker.rollout: Pinned`): which image is which version, which old ones keep pods, and when Temporal
//! is told that another one is current (docs/decisions/0057-worker-versions.md). `plan` decides; a reconciliation puts
//! Deployments beside each other, and `agents::version_syncer` asks Temporal. Neither waits for the other.

pub(crate) mod build_id;
pub(crate) mod deployments;
pub(crate) mod plan;
pub(crate) mod state;
pub(crate) mod temporal;
