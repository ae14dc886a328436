//! The report, and which of its figures miss their goals. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::bench::{Goal, statistics::float};

/// What each storm was like.
#[derive(Clone, Debug, Serialize)]
pub struct StormsReport {
    pub processors: usize,
    pub agents: usize,
    pub workers_away: WorkersAway,
    pub pods_away: PodsAway,
    pub secret_rotated: Change,
    pub tool_edited: Change,
    /// One Agent is edited while the API server comes back.
    pub api_server_restarted: Change,
    pub namespace_deleted: Deletion,
    pub leader_killed: LeaderKilled,
    pub operator_killed: OperatorKilled,
}

/// Temporal is away: every pod is unready, then ready again.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PodsAway {
    pub seconds: u64,
    /// Of one Agent.
    pub most_status_writes_while_away: usize,
    /// Of one Agent.
    pub most_status_writes_when_back: usize,
}

/// Temporal is away from workers that are real.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct WorkersAway {
    pub workers: usize,
    pub seconds: u64,
    /// Workers that were not ready at the end of this time.
    pub unready: usize,
    /// Of one Agent, from the loss until all are Ready again.
    pub most_status_writes: usize,
    /// Processes that have ended or begun because of it.
    pub other_processes: usize,
    /// From the return of Temporal until an Agent has answered a message.
    pub seconds_to_answer: f64,
}

/// A change, from the request until all Agents are as it wants and the operator does nothing more.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// Agents that it concerns.
    pub agents: usize,
    pub seconds: f64,
    /// Writes of the operator for each of these Agents.
    pub writes_per_agent: f64,
    /// Of one Agent's status.
    pub most_status_writes: usize,
    pub by_kind: BTreeMap<String, usize>,
}

/// A namespace that is deleted.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Deletion {
    pub agents: usize,
    pub seconds: f64,
    /// Writes of the operator in other namespaces meanwhile.
    pub writes_elsewhere: usize,
    /// Writes of the operator that the API server refused, because what they were for is gone.
    pub refused_writes: usize,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct LeaderKilled {
    /// From `kill -9` of the leader until the edit of an Agent has become a revision.
    pub seconds_to_first_revision: f64,
    /// Before the leader was killed.
    pub writes_of_standby: usize,
}

/// The operator is killed while a Secret of all Agents is rotated. It fails if anything is left over or outdated.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct OperatorKilled {
    pub agents_done_when_killed: usize,
    pub seconds_to_converge: f64,
}

impl StormsReport {
    /// Every figure that has a goal.
    pub fn goals(&self) -> Vec<Goal> {
        let count = |name, count| Goal::new(name, float(count), 0.0);
        vec![
            // Once on the way there and once on the way back.
            Goal::new(
                "status_writes_of_agents_with_real_workers",
                float(self.workers_away.most_status_writes),
                2.0,
            ),
            count("real_workers_restarted", self.workers_away.other_processes),
            Goal::new(
                "status_writes_while_temporal_is_away",
                float(self.pods_away.most_status_writes_while_away),
                1.0,
            ),
            Goal::new(
                "status_writes_when_temporal_is_back",
                float(self.pods_away.most_status_writes_when_back),
                1.0,
            ),
            Goal::new(
                "seconds_until_the_standby_acts",
                self.leader_killed.seconds_to_first_revision,
                20.0,
            ),
            count("writes_of_the_standby", self.leader_killed.writes_of_standby),
            count(
                "writes_in_namespaces_that_are_not_deleted",
                self.namespace_deleted.writes_elsewhere,
            ),
        ]
    }
}
