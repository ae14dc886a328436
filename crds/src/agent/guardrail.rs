//! Checks of the messages to an agent and of its answers.

use kube_derive::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::{
    agent_tool::ActivityTool,
    duration::Duration,
    names::{MAXIMUM_AGENT_NAME_BYTES, MAXIMUM_NAMESPACE_BYTES},
};

/// Checks of a turn. A tripped check ends the turn with the error category `guardrail_tripped`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Guardrails {
    /// Checks of the user's message. They run in parallel, before the first model call of the turn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub input: Vec<Guardrail>,
    /// Checks of the final answer. The text of the answer is shown after all checks have passed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub output: Vec<Guardrail>,
}

/// One check; exactly one kind is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.agent), has(self.activity), has(self.cel)].filter(x, x).size() == 1")
    .message("exactly one of agent, activity and cel must be set"))]
// `namespace` is a reserved word of CEL: Kubernetes escapes it.
#[x_kube(validation = Rule::new("has(self.agent) || !has(self.__namespace__)")
    .message("namespace is for an agent"))]
#[serde(rename_all = "camelCase")]
pub struct Guardrail {
    /// Name of the check; part of the error when the check trips.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Name of an Agent that judges the text. Its answer must be the JSON object
    /// `{"tripped": true|false, "reason": "…"}`; set its `output` to that schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAXIMUM_AGENT_NAME_BYTES))]
    pub agent: Option<String>,
    /// Namespace of that Agent; this Agent's own when absent. For another one, an AgentReferenceGrant
    /// in that namespace must permit the reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAXIMUM_NAMESPACE_BYTES))]
    pub namespace: Option<String>,
    /// A Temporal activity. Its argument is `{stage, text, task_id, agent}`, its result `{tripped, reason}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<ActivityTool>,
    /// A CEL expression over the texts `text`, `stage` and `agent`, for example `text.size() > 10000`, which counts
    /// characters. The check trips when it is true; an expression that cannot be true is refused.
    /// At most 4096 bytes, 16 levels of brackets, 2 macros over lists within each other and 512 operators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub cel: Option<String>,
    /// The longest time that the check may take; after it the turn fails.
    #[serde(default = "default_timeout")]
    pub timeout: Duration,
}

const fn default_timeout() -> Duration {
    Duration::from_seconds(60)
}
