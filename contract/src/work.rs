//! What a worker has to do, as it says on its admin port. The operator asks before it scales to zero.

use serde::{Deserialize, Serialize};

/// The path on the admin port of a worker.
pub const WORK_PATH: &str = "/work";

/// What a worker has to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Activities that run.
    pub activities: u32,
    /// Turns that the worker has in memory and that wait for no person: for its own activities, or for those of others.
    pub turns: u32,
    /// How long nothing has run, in seconds; since the start at most.
    pub idle_seconds: u64,
}
