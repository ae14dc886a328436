//! The references of an Agent to tools and other Agents, in its namespace or in one that grants it.

use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    agent_tool::ApprovalPolicy,
    names::{MAXIMUM_AGENT_NAME_BYTES, MAXIMUM_NAMESPACE_BYTES},
};

/// A tool of the model: an AgentTool, or another Agent that answers one question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.tool) != has(self.agent)")
    .message("exactly one of tool and agent must be set"))]
#[x_kube(validation = Rule::new("has(self.agent) || !(has(self.name) || has(self.description))")
    .message("name and description are for an agent; an AgentTool has its own"))]
#[serde(rename_all = "camelCase")]
pub struct AgentToolReference {
    /// Name of an AgentTool. The model sees the name with `_` instead of `-`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub tool: Option<String>,
    /// Name of an Agent. It receives one argument, `input`, and works with its own tools and credentials on its own
    /// workers. Its final answer is the result of the tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAXIMUM_AGENT_NAME_BYTES))]
    pub agent: Option<String>,
    /// Namespace of the AgentTool or of the Agent; this Agent's own when absent. For another one, an AgentReferenceGrant
    /// in that namespace must permit the reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAXIMUM_NAMESPACE_BYTES))]
    pub namespace: Option<String>,
    /// Name of the agent as a tool of the model; `ask_<agent>` when absent. Not for an AgentTool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_-]+$"))]
    pub name: Option<String>,
    /// Description of the agent for the model; the agent's own description when absent. Not for an AgentTool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub description: Option<String>,
    /// Approval policy of the calls; it can only tighten the tool's own policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalPolicy>,
}

/// An agent that can take over the conversation. The model sees it as the tool `transfer_to_<agent>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Handoff {
    /// Name of an Agent.
    #[schemars(length(min = 1, max = MAXIMUM_AGENT_NAME_BYTES))]
    pub agent: String,
    /// Namespace of the Agent; this Agent's own when absent. For another one, an AgentReferenceGrant
    /// in that namespace must permit the reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAXIMUM_NAMESPACE_BYTES))]
    pub namespace: Option<String>,
    /// Description for the model of when to hand off; the agent's own description when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub description: Option<String>,
    /// The part of the conversation so far that the other agent's model receives.
    #[serde(default)]
    pub input: HandoffInput,
}

/// The part of a conversation that the agent after a handoff receives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HandoffInput {
    /// The whole conversation.
    #[default]
    All,
    /// The messages of people and agents, without tool calls, tool results and reasoning.
    MessagesOnly,
}
