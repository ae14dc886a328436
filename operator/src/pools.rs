//! WorkerPools: worker pods that many Agents share. The stages are those of an Agent
//! without a revision: a pool knows nothing of what its Agents do.

pub(crate) mod controller;
mod reconcile;
mod status;
pub(crate) mod validate;
