//! Hooks: activities and webhooks that receive the events of a turn.

use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    agent_tool::{ActivityTool, HttpHeader},
    duration::Duration,
};

/// A receiver of events. The turn waits for it. A hook that fails or takes too long is skipped: it never fails a
/// turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("has(self.activity) != has(self.webhook)")
    .message("exactly one of activity and webhook must be set"))]
#[serde(rename_all = "camelCase")]
pub struct Hook {
    /// The events that the hook receives.
    // The field is not called `on`: in YAML 1.1, which kubectl and helm read, that key is the value true.
    #[schemars(length(min = 1, max = 7))]
    pub events: Vec<HookEvent>,
    /// A Temporal activity. Its argument is the event. Its result may be `{"messages": ["…"], "suppress": true}`:
    /// texts to show to people, and whether to hide the message of the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<ActivityTool>,
    /// An HTTP endpoint. The event is sent to it as a POST request; its response is ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    /// The longest time that the hook may take.
    #[serde(default = "default_timeout")]
    pub timeout: Duration,
}

/// An HTTP endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// URL; may contain `${env.NAME}`.
    #[schemars(length(min = 1, max = 4096), regex(pattern = r"^(https?://|\$\{env\.)"))]
    pub url: String,
    /// Headers; values may contain `${env.NAME}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub headers: Vec<HttpHeader>,
}

/// An event of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HookEvent {
    /// An agent starts to work on the turn, at its beginning or after a handoff.
    AgentStarted,
    /// An agent has finished its part of the turn.
    AgentEnded,
    /// A model call is about to start.
    ModelStarted,
    /// A model call has ended.
    ModelEnded,
    /// A tool call is about to start.
    ToolStarted,
    /// A tool call has ended.
    ToolEnded,
    /// Another agent takes over the conversation.
    Handoff,
}

const fn default_timeout() -> Duration {
    Duration::from_seconds(10)
}
