//! How long what a task leaves is kept.

use kube_derive::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::duration::Duration;

/// How long what a task leaves is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RetentionSettings {
    /// How long the log in Redis is kept after its last event; 168h when absent, and at least one minute. The history
    /// in Temporal is kept for the retention period of the Temporal namespace, whatever this says: until then the
    /// messages of a task whose log has expired are read from its history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Duration>,
}
