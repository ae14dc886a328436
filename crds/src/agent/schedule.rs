//! Messages an agent is sent by the clock: each is a Temporal Schedule.

use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::Duration;

/// A message at set times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// Name of the schedule, unique in the Agent.
    #[schemars(length(min = 1, max = 40), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// When: five or six fields, or `@hourly`, `@daily` … (docs.temporal.io/schedule#spec).
    #[schemars(length(min = 1, max = 256))]
    pub cron: String,
    /// Time zone of the cron expression, as the IANA database names it.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
    /// What the agent is sent.
    #[schemars(length(min = 1, max = 65_536))]
    pub message: String,
    /// Where the message of a run goes. `New`: to a task of its own, which ends with its one turn. `Fixed`: to the same
    /// task each time, so that all runs are one conversation; the run after its end begins another.
    #[serde(default)]
    pub task: ScheduledTask,
    /// What happens when the task of the run before has not ended. With `task: Fixed`: when its message has not been
    /// delivered, because the agent's workers are away; a message that was delivered waits in the task for its turn.
    #[serde(default)]
    pub overlap: OverlapPolicy,
    /// How long after its time a run that was missed is made up for.
    #[serde(default = "default_catch_up")]
    pub catch_up: Duration,
    /// No runs while true.
    #[serde(default)]
    pub suspend: bool,
}

/// Where the message of a run goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ScheduledTask {
    /// To a task of its own.
    #[default]
    New,
    /// To the same task each time.
    Fixed,
}

/// What happens when the run before has not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OverlapPolicy {
    /// No new run.
    #[default]
    Skip,
    /// One new run, once the one before has ended.
    BufferOne,
    /// A new run beside it, or after it where all go to one task.
    AllowAll,
    /// The one before is canceled first.
    CancelOther,
}

fn utc() -> String {
    "UTC".to_owned()
}

const fn default_catch_up() -> Duration {
    Duration::from_seconds(600)
}
