//! Messages that are sent to an agent at set times; each is a Temporal Schedule.

use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::Duration;

/// A message that is sent to the agent at set times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// Name of the schedule, unique in the Agent.
    #[schemars(length(min = 1, max = 40), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Cron expression as in a crontab: minute, hour, day of the month, month, day of the week; with a day of the month and a
    /// day of the week, either one is enough. `MON#1` is the first Monday of the month. Or `@hourly`, `@daily`, `@every 90m`.
    #[schemars(length(min = 1, max = 256))]
    pub cron: String,
    /// Time zone of the cron expression: a name of the IANA database, for example `Europe/Berlin`.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
    /// Text of the message.
    #[schemars(length(min = 1, max = 65_536))]
    pub message: String,
    /// The task that receives the message. `New`: a new task for each run; the task ends after one turn. `Fixed`: the
    /// same task for all runs, so that they are one conversation; a run after the end of that task starts another one.
    #[serde(default)]
    pub task: ScheduledTask,
    /// What happens when the run before has not ended. With `task: New`, a run ends with its task. With `task: Fixed`, a
    /// run ends when its message is delivered, which needs a worker; a delivered message waits in the task for its turn.
    #[serde(default)]
    pub overlap: OverlapPolicy,
    /// How long after its time a missed run is still started.
    #[serde(default = "default_catch_up")]
    pub catch_up: Duration,
    /// Whether the schedule is suspended; a suspended schedule starts no runs.
    #[serde(default)]
    pub suspend: bool,
}

/// The task that receives the message of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ScheduledTask {
    /// A new task for each run.
    #[default]
    New,
    /// The same task for all runs.
    Fixed,
}

/// What happens when the run before has not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OverlapPolicy {
    /// The new run is skipped.
    #[default]
    Skip,
    /// The new run starts after the run before; further runs in the meantime are skipped.
    BufferOne,
    /// The new run starts at once; with `task: Fixed`, after the run before.
    AllowAll,
    /// The run before is canceled, then the new run starts.
    CancelOther,
}

fn utc() -> String {
    "UTC".to_owned()
}

const fn default_catch_up() -> Duration {
    Duration::from_seconds(600)
}
