//! The report, and which of its figures miss their goals. Pure.

use serde::Serialize;

use super::{
    idle_tasks::IdleTasks,
    memory::{Extrapolated, PoolMemory},
};
use crate::bench::{Goal, statistics::rounded, turn::Latency};

/// What idle Agents and idle tasks need.
#[derive(Clone, Debug, Serialize)]
pub struct DensityReport {
    pub processors: usize,
    /// On the pool.
    pub agents: usize,
    pub messages: usize,
    pub pool: PoolMemory,
    /// Agents with a worker of their own, of this build.
    pub own_workers: Extrapolated,
    /// The same of the earlier commit, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Extrapolated>,
    /// From the request with the first message of a new task until a viewer has the first text.
    pub first_token: Latency,
    pub next_agent: Next,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_tasks: Option<IdleTasks>,
}

/// One Agent more on the pool.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Next {
    /// Processes of workers that have ended or begun because of it.
    pub other_processes: usize,
    pub first_token_milliseconds: f64,
}

impl DensityReport {
    /// The memory of the pool to that of a worker for each Agent.
    pub fn ratios(&self) -> Ratios {
        let ratio = |own: Extrapolated| rounded(self.pool.mebibytes / own.mebibytes);
        Ratios {
            to_own_workers: ratio(self.own_workers),
            to_before: self.before.map(ratio),
        }
    }

    /// Every figure that has a goal.
    pub fn goals(&self) -> Vec<Goal> {
        let other_processes = u32::try_from(self.next_agent.other_processes).unwrap_or(u32::MAX);
        vec![
            Goal::new("pool_mebibytes", self.pool.mebibytes, 128.0),
            Goal::new(
                "first_token_p99_milliseconds",
                self.first_token.p99_milliseconds,
                1000.0,
            ),
            Goal::new("processes_changed_by_the_next_agent", f64::from(other_processes), 0.0),
        ]
    }
}

/// The memory of a pool to that of a worker for each of its Agents.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Ratios {
    pub to_own_workers: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_before: Option<f64>,
}
