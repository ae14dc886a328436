//! Who is told of what happens in a turn, and may change what is shown of it.

use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    agent_tool::{ActivityTool, HttpHeader},
    duration::Duration,
};

/// Something that is told of events, before the turn goes on. A hook that fails or takes too long is passed
/// over: it never fails a turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.activity) != has(self.webhook)")
    .message("exactly one of activity and webhook must be set"))]
#[serde(rename_all = "camelCase")]
pub struct Hook {
    /// What it is told of.
    // Not `on`: kubectl and helm read YAML 1.1, where that key is the value true.
    #[schemars(length(min = 1, max = 7))]
    pub events: Vec<HookEvent>,
    /// A Temporal activity. It gets the event, and may answer `{"messages": ["…"], "suppress": true}`:
    /// texts that are shown, and whether the message the event is about is hidden.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<ActivityTool>,
    /// An HTTP endpoint that the event is posted to; its answer is not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    /// Longest time the hook may take.
    #[serde(default = "default_timeout")]
    pub timeout: Duration,
}

/// An HTTP endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// URL; may name `${env.NAME}`.
    #[schemars(length(min = 1, max = 4096), regex(pattern = r"^(https?://|\$\{env\.)"))]
    pub url: String,
    /// Headers; values may name `${env.NAME}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub headers: Vec<HttpHeader>,
}

/// What happens in a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HookEvent {
    /// An agent takes up the turn, at its start or by a handoff.
    AgentStarted,
    /// An agent has ended its part of the turn.
    AgentEnded,
    /// A model call is about to be made.
    ModelStarted,
    /// A model call has ended.
    ModelEnded,
    /// A tool call is about to run.
    ToolStarted,
    /// A tool call has a result.
    ToolEnded,
    /// Another agent takes over.
    Handoff,
}

const fn default_timeout() -> Duration {
    Duration::from_seconds(10)
}
