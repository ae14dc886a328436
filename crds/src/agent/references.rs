//! What an Agent refers to in its namespace: tools, agents it asks, agents it
//! hands over to.

use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::agent_tool::ApprovalPolicy;

/// Something the model may call: an AgentTool, or another Agent that answers one question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.tool) != has(self.agent)")
    .message("exactly one of tool and agent must be set"))]
#[x_kube(validation = Rule::new("has(self.agent) || !(has(self.name) || has(self.description))")
    .message("name and description are for an agent; an AgentTool has its own"))]
#[serde(rename_all = "camelCase")]
pub struct AgentToolReference {
    /// Name of an AgentTool in the Agent's namespace. The model sees it with `_` for `-`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub tool: Option<String>,
    /// Name of an Agent in the same namespace. It gets the one argument `input`, works with its own tools and
    /// credentials on its own workers, and its last words are the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 40))]
    pub agent: Option<String>,
    /// What the model calls an agent by; `ask_<agent>` when absent. Not for tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_-]+$"))]
    pub name: Option<String>,
    /// What the model reads of an agent; the agent's own description when absent. Not for tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub description: Option<String>,
    /// Whether a person must agree to each call; tightens the tool's own policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalPolicy>,
}

/// An agent that may take over the conversation. The model sees it as the tool `transfer_to_<agent>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Handoff {
    /// Name of an Agent in the same namespace.
    #[schemars(length(min = 1, max = 40))]
    pub agent: String,
    /// When to hand over, as the model reads it; the agent's own description when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub description: Option<String>,
    /// What of the conversation so far the other agent's model is sent.
    #[serde(default)]
    pub input: HandoffInput,
}

/// What of a conversation crosses a handoff.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HandoffInput {
    /// Everything.
    #[default]
    All,
    /// What people and agents said, without tool calls, their results and reasoning.
    MessagesOnly,
}
