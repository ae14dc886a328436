//! WorkerPools: worker pods that many Agents share. The stages are those of an Agent
//! without a revision: a pool knows nothing of what its Agents do.

pub mod validate;

pub(crate) mod controller;
mod reconcile;
mod status;
