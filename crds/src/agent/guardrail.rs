//! Checks of what goes into an agent and what comes out of it.

use kube_derive::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::{agent_tool::ActivityTool, duration::Duration};

/// Checks around a turn. A check that trips ends the turn with the category `guardrail_tripped`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Guardrails {
    /// Checks of the person's message, all at once, before the first model call of the turn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub input: Vec<Guardrail>,
    /// Checks of the final answer. With any, the answer's text is shown only once all have passed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub output: Vec<Guardrail>,
}

/// One check; exactly one kind is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.agent), has(self.activity), has(self.cel)].filter(x, x).size() == 1")
    .message("exactly one of agent, activity and cel must be set"))]
#[serde(rename_all = "camelCase")]
pub struct Guardrail {
    /// Name of the check, told when it trips.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// An Agent in the same namespace that judges: it gets the text, and answers the JSON object
    /// `{"tripped": true|false, "reason": "…"}`; best with an `output` of that schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 40))]
    pub agent: Option<String>,
    /// A Temporal activity that gets `{stage, text, task_id, agent}` and answers `{tripped, reason}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<ActivityTool>,
    /// A CEL expression over `text`, `stage` and `agent`, for example `text.size() > 10000`; true trips.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub cel: Option<String>,
    /// Longest time the check may take; then the turn fails.
    #[serde(default = "default_timeout")]
    pub timeout: Duration,
}

const fn default_timeout() -> Duration {
    Duration::from_seconds(60)
}
