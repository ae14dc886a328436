//! What becomes of the tasks of an Agent that is deleted.

use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::Duration;

/// What becomes of the tasks of an Agent that is deleted. The Agent stays until its tasks have ended or the deadline has
/// passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.deadline) || duration(self.deadline) <= duration('24h')")
    .message("deadline is at most 24h"))]
#[serde(rename_all = "camelCase")]
pub struct DeletionSettings {
    /// How the tasks end. `Drain`: each task ends after its running turn, and those that still run at the deadline are
    /// cancelled. `Cancel`: each task is cancelled at once. `Orphan`: the tasks are left as they are, and go on when an
    /// Agent of the same name is created again; the Agent is gone at once.
    #[serde(default)]
    pub policy: DeletionPolicy,
    /// How long after its deletion the Agent stays for its tasks, at most 24h. Whatever is left then is reported in an
    /// Event. With `Drain`, tasks that are cancelled at the deadline have 30 s more.
    #[serde(default = "default_deadline")]
    pub deadline: Duration,
}

/// How the tasks of a deleted Agent end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// Each task ends after its running turn.
    #[default]
    Drain,
    /// Each task is cancelled at once.
    Cancel,
    /// The tasks are left as they are.
    Orphan,
}

impl DeletionSettings {
    /// Whether a deleted Agent must stay for its tasks.
    #[must_use]
    pub const fn holds(&self) -> bool {
        match self.policy {
            DeletionPolicy::Drain | DeletionPolicy::Cancel => true,
            DeletionPolicy::Orphan => false,
        }
    }
}

impl Default for DeletionSettings {
    fn default() -> Self {
        Self {
            policy: DeletionPolicy::default(),
            deadline: default_deadline(),
        }
    }
}

const fn default_deadline() -> Duration {
    Duration::from_seconds(600)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_empty_section_drains_for_ten_minutes() {
        let settings: DeletionSettings = serde_json::from_value(json!({})).unwrap();
        assert_eq!(settings, DeletionSettings::default());
        assert_eq!(
            serde_json::to_value(settings).unwrap(),
            json!({"policy": "Drain", "deadline": "10m"})
        );
    }
}
