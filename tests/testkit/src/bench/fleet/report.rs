//! The report, and which of its figures miss their goals. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use super::paced::PacedReport;
use crate::bench::{
    Goal,
    statistics::{float, rounded},
};

const BYTES_PER_MEBIBYTE: f64 = 1_048_576.0;
/// Up to so many Agents the operator has half of the memory that it may have with twice as many.
const AGENTS_OF_SMALL_FLEET: usize = 5_500;

/// What an operator has needed for a fleet. Memory is resident, in mebibytes.
#[derive(Clone, Debug, Serialize)]
pub struct FleetReport {
    pub processors: usize,
    pub agents: usize,
    pub tools: usize,
    pub namespaces: usize,
    /// Agents beside equal Deployments; absent if it was left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paced: Option<PacedReport>,
    /// Objects that the bench creates: Secrets, AgentTools and Agents.
    pub creates_per_second: f64,
    /// From the answer to the last creation until the last Agent is Accepted.
    pub seconds_to_last_accepted: f64,
    /// The same until the last Agent is Ready.
    pub seconds_to_last_ready: f64,
    /// Processor time of the operator, from the first creation until it is idle.
    pub cpu_milliseconds_per_agent: f64,
    pub writes: Writes,
    pub memory: Memory,
    pub idle: Idle,
    pub restart: Restart,
}

/// The operator's writes, without the Lease, from the first creation until it is idle. Events count.
#[derive(Clone, Debug, Serialize)]
pub struct Writes {
    /// All that are not of AgentTools.
    pub per_agent: f64,
    pub per_tool: f64,
    /// Refused by the API server.
    pub failed: usize,
    /// In total, by verb and resource.
    pub by_kind: BTreeMap<String, usize>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Memory {
    /// Without any Agent.
    pub empty_mebibytes: f64,
    /// With the fleet, right after its creation.
    pub fleet_mebibytes: f64,
    /// Objects of the kinds that the operator watches.
    pub objects: usize,
    /// What the fleet has added, for each object.
    pub bytes_per_object: f64,
}

impl Memory {
    pub(super) fn of(empty_mebibytes: f64, fleet_mebibytes: f64, objects: usize) -> Self {
        let grown = (fleet_mebibytes - empty_mebibytes) * BYTES_PER_MEBIBYTE;
        Self {
            empty_mebibytes: rounded(empty_mebibytes),
            fleet_mebibytes: rounded(fleet_mebibytes),
            objects,
            bytes_per_object: rounded(grown / float(objects)),
        }
    }
}

/// A time without any change.
#[derive(Clone, Debug, Serialize)]
pub struct Idle {
    pub minutes: f64,
    /// Of the operator, without the Lease.
    pub writes: usize,
    pub by_kind: BTreeMap<String, usize>,
    /// Of one processor.
    pub cpu_percent: f64,
    pub mebibytes: f64,
}

/// A restart of the operator: SIGTERM, then a new process.
#[derive(Clone, Debug, Serialize)]
pub struct Restart {
    /// From the start of the new process until it has reconciled every Agent and does nothing more.
    pub seconds_to_idle: f64,
    pub writes: usize,
    pub by_kind: BTreeMap<String, usize>,
    pub mebibytes: f64,
}

impl FleetReport {
    /// Every figure that has a goal.
    pub fn goals(&self) -> Vec<Goal> {
        let mebibytes = if self.agents <= AGENTS_OF_SMALL_FLEET {
            64.0
        } else {
            128.0
        };
        let mut goals = vec![
            Goal::new("seconds_to_last_accepted", self.seconds_to_last_accepted, 10.0),
            Goal::new("fleet_mebibytes", self.memory.fleet_mebibytes, mebibytes),
            Goal::new("writes_per_agent", self.writes.per_agent, 8.0),
            Goal::new("writes_per_tool", self.writes.per_tool, 1.0),
            Goal::new("idle_writes", float(self.idle.writes), 0.0),
            Goal::new("seconds_from_restart_to_idle", self.restart.seconds_to_idle, 15.0),
        ];
        // The highest rate that the bare control plane sustains.
        if let Some(rate) = self.paced.as_ref().and_then(|paced| paced.rates.last()) {
            goals.push(Goal::new("ready_ratio_p50", rate.ratio_p50, 1.3));
            goals.push(Goal::new("ready_ratio_p99", rate.ratio_p99, 1.3));
        }
        goals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_an_object_is_that_of_the_fleet_without_the_program_itself() {
        assert!((Memory::of(20.0, 40.0, 10_000).bytes_per_object - 2097.152).abs() < 1e-9);
    }
}
