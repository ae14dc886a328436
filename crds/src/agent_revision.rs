//! AgentRevision: one Agent with its references resolved, made by the operator
//! and never changed. It is all that a worker reads of Kubernetes, and holds
//! no secret value.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{agent::AgentLimits, agent_tool::AgentToolSpec, model::ModelSpec};

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
    pub tools: Vec<RevisionTool>,
    /// Bounds of a turn.
    #[serde(default)]
    pub limits: AgentLimits,
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

/// The name of a credential; its value is in the worker's environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevisionCredential {
    /// Environment variable that holds the value.
    pub env_var_name: String,
    /// Hosts the value may be sent to; any when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
}
