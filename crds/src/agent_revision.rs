//! AgentRevision: one Agent with its references resolved, made by the operator
//! and never changed. It is all that a worker reads of Kubernetes, and holds
//! no secret value.

use std::collections::BTreeMap;

use kube_derive::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{
    agent::{AgentLimits, ContextSettings, Guardrails, HandoffInput, Hook, OutputSettings, StreamSettings, ToolUse},
    agent_tool::{AgentToolSpec, ApprovalPolicy},
    host_pattern::HostPattern,
    model::ModelSpec,
};

/// Largest revision, as JSON; leaves room below the store's limit for an object.
pub const MAXIMUM_REVISION_BYTES: usize = 1 << 20;

/// What workers run: an Agent at one point in its history.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "steadfast.dev",
    version = "v1alpha1",
    kind = "AgentRevision",
    namespaced,
    derive = "PartialEq",
    shortname = "agtrev",
    category = "steadfast",
    doc = "One Agent with its references resolved. Made by the operator, never changed.",
    cel,
    validation = Rule::new("self.spec == oldSelf.spec").message("an AgentRevision never changes"),
    printcolumn(name = "Agent", type_ = "string", json_path = ".spec.agent"),
    printcolumn(name = "Sequence", type_ = "integer", json_path = ".spec.sequence"),
    printcolumn(name = "Model", type_ = "string", json_path = ".spec.model.name"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct AgentRevisionSpec {
    /// Name of the Agent.
    pub agent: String,
    /// Position in the Agent's history; the highest is current.
    #[schemars(range(min = 1))]
    pub sequence: i64,
    /// What the agent is for.
    #[serde(default)]
    pub description: String,
    /// The system prompt, a template; empty when there is none.
    #[serde(default)]
    pub instructions: String,
    /// The model that is called.
    pub model: ModelSpec,
    /// What the model may call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub tools: Vec<RevisionTool>,
    /// Agents that answer a question of the model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub agents: Vec<RevisionAgent>,
    /// Agents that may take over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub handoffs: Vec<RevisionHandoff>,
    /// What happens after a tool was called.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tool_use: ToolUse,
    /// The form of the final answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputSettings>,
    /// Checks of what goes in and what comes out.
    #[serde(default, skip_serializing_if = "is_default")]
    pub guardrails: Guardrails,
    /// Task queues of the agents that judge in guardrails, by agent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub judges: BTreeMap<String, String>,
    /// Who is told of what happens in a turn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub hooks: Vec<Hook>,
    /// What people see of a turn.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stream: StreamSettings,
    /// Bounds of turns and tasks.
    #[serde(default)]
    pub limits: AgentLimits,
    /// How much of a long conversation the model is sent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub context: ContextSettings,
    /// What the agent says when a task is created.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub welcome: String,
    /// Temporal task queue that serves this agent.
    pub task_queue: String,
    /// Which environment variables hold credentials, and where each may be sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<RevisionCredential>,
}

/// A tool under the name the model calls it by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevisionTool {
    /// Name of the function, for example `get_weather`.
    pub name: String,
    /// The tool as it stood when the revision was made.
    pub spec: AgentToolSpec,
}

/// An agent that answers a question of the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevisionAgent {
    /// Name of the function, for example `ask_researcher`.
    pub name: String,
    /// Name of the agent.
    pub agent: String,
    /// What the model reads.
    #[serde(default)]
    pub description: String,
    /// Temporal task queue that serves it.
    pub task_queue: String,
    /// Whether a person must agree to each call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalPolicy>,
}

/// An agent that may take over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevisionHandoff {
    /// Name of the function, for example `transfer_to_billing`.
    pub name: String,
    /// Name of the agent.
    pub agent: String,
    /// What the model reads.
    #[serde(default)]
    pub description: String,
    /// Temporal task queue that serves it.
    pub task_queue: String,
    /// What of the conversation crosses over.
    #[serde(default)]
    pub input: HandoffInput,
}

/// The name of a credential; its value is in the worker's environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevisionCredential {
    /// Environment variable that holds the value.
    pub env_var_name: String,
    /// Hosts to which the worker may send the value; every host when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostPattern>,
}

/// Fields at their default are left out, so that a revision made before they existed has the same digest.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
