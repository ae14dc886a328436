//! What decides how many workers an Agent or a WorkerPool with `spec.worker.autoscaling` has: `plan`, from what waits at
//! Temporal and what the workers say that they do. `agents::autoscaler` asks both and acts.

pub(crate) mod plan;
pub(crate) mod temporal;
pub(crate) mod wake;
pub(crate) mod workers;
