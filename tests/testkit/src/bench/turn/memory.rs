//! The memory of a worker in a report. Pure.

use serde::Serialize;

use crate::bench::{process_usage::ResidentMemory, statistics::rounded};

/// The resident memory of the worker, in megabytes of 10^6 bytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Memory {
    /// Before the first task.
    pub idle: Resident,
    pub after_turns: Resident,
    pub rest_seconds: u64,
    /// After so much time without work.
    pub after_rest: Resident,
}

/// Resident memory at one moment.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Resident {
    pub megabytes: f64,
    /// The part that is no page of a file: heap and stacks. The rest is the program itself.
    pub anonymous_megabytes: f64,
}

impl Resident {
    pub(super) fn of(memory: ResidentMemory) -> Self {
        Self {
            megabytes: rounded(memory.megabytes),
            anonymous_megabytes: rounded(memory.anonymous_megabytes),
        }
    }
}
