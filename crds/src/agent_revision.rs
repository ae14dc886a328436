//! The resource AgentRevision: one Agent with its references resolved. The
//! operator creates it and never changes it. A worker reads nothing else from
//! Kubernetes, and a revision contains no secret value.

use std::collections::BTreeMap;

use kube_derive::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{
    agent::{
        AgentLimits, ContextSettings, Guardrails, HandoffInput, Hook, OutputSettings, RetentionSettings,
        StreamSettings, ToolUse,
    },
    agent_tool::{AgentToolSpec, ApprovalPolicy},
    host_pattern::HostPattern,
    model::ModelSpec,
};

/// The largest revision as JSON; below the limit of the API server for one object.
pub const MAXIMUM_REVISION_BYTES: usize = 1 << 20;

/// The Agent at one point of its history, as workers run it.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "steadfast.dev",
    version = "v1alpha1",
    kind = "AgentRevision",
    namespaced,
    derive = "PartialEq",
    shortname = "agtrev",
    category = "steadfast",
    doc = "One Agent with its references resolved. Created by the operator, never changed.",
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
    /// Sequence number in the Agent's history; the highest is current.
    #[schemars(range(min = 1))]
    pub sequence: i64,
    /// The purpose of the agent.
    #[serde(default)]
    pub description: String,
    /// The system prompt, a template; may be empty.
    #[serde(default)]
    pub instructions: String,
    /// The model of the agent.
    pub model: ModelSpec,
    /// The tools of the model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub tools: Vec<RevisionTool>,
    /// Agents that are tools of the model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub agents: Vec<RevisionAgent>,
    /// Agents that can take over the conversation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub handoffs: Vec<RevisionHandoff>,
    /// What happens after a tool call.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tool_use: ToolUse,
    /// The schema of the final answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputSettings>,
    /// Checks of messages and answers.
    #[serde(default, skip_serializing_if = "is_default")]
    pub guardrails: Guardrails,
    /// Task queues of the agents that judge in guardrails, by `agent`, or by `namespace/agent` for one in another
    /// namespace.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub judges: BTreeMap<String, String>,
    /// Receivers of the events of a turn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub hooks: Vec<Hook>,
    /// The parts of a turn that people see.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stream: StreamSettings,
    /// The limits of turns and tasks.
    #[serde(default)]
    pub limits: AgentLimits,
    /// The part of a long conversation that the model receives.
    #[serde(default, skip_serializing_if = "is_default")]
    pub context: ContextSettings,
    /// How long what a task leaves is kept.
    #[serde(default, skip_serializing_if = "is_default")]
    pub retention: RetentionSettings,
    /// A message to the user when a task is created.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub welcome: String,
    /// Temporal task queue of the agent's workers.
    pub task_queue: String,
    /// The environment variables that hold credentials, with the hosts of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<RevisionCredential>,
}

/// A tool under its name for the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevisionTool {
    /// Name of the function, for example `get_weather`.
    pub name: String,
    /// The AgentTool, if it is in another namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<ForeignTool>,
    /// The tool when the revision was created.
    pub spec: AgentToolSpec,
}

/// An AgentTool in another namespace than the Agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForeignTool {
    /// Namespace of the AgentTool. The task queues that the tool names belong to this namespace.
    pub namespace: String,
    /// Name of the AgentTool.
    pub name: String,
}

/// An agent that is a tool of the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevisionAgent {
    /// Name of the function, for example `ask_researcher`.
    pub name: String,
    /// Name of the agent.
    pub agent: String,
    /// Namespace of the agent, if it is another one than that of the revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Description for the model.
    #[serde(default)]
    pub description: String,
    /// Temporal task queue of that agent's workers.
    pub task_queue: String,
    /// Approval policy of the calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalPolicy>,
}

/// An agent that can take over the conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevisionHandoff {
    /// Name of the function, for example `transfer_to_billing`.
    pub name: String,
    /// Name of the agent.
    pub agent: String,
    /// Namespace of the agent, if it is another one than that of the revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Description for the model.
    #[serde(default)]
    pub description: String,
    /// Temporal task queue of that agent's workers.
    pub task_queue: String,
    /// The part of the conversation that the agent receives.
    #[serde(default)]
    pub input: HandoffInput,
}

/// The name of a credential; the value is in the worker's environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevisionCredential {
    /// Environment variable that holds the value.
    pub env_var_name: String,
    /// Hosts to which the worker may send the value; when empty, every host that no argument can change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostPattern>,
}

/// Default values are left out, so that a new field does not change the digest of older revisions.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
