//! Inputs and results of our own activities. The worker runs them, the workflow schedules them,
//! and whoever reads a history finds them there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use steadfast_agent_loop::{Segment, SegmentRef};
use steadfast_crds::AgentRevisionSpec;
use steadfast_events::Usage;

use crate::{
    mcp::{McpAnswer, McpInputRequest, McpTarget},
    outbox::OutboxEntry,
};

/// What every activity that writes the log receives.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Append {
    /// Events of the workflow that wait to be appended, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outbox: Vec<OutboxEntry>,
    /// The newest log entry the task knows of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// The revision whose `stream` settings apply, where nothing else in the input names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
}

/// What every activity that writes the log reports about it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LogAck {
    /// The highest outbox number that now stands in the log.
    #[serde(default)]
    pub acked: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Some of the activity's own messages did not reach the log.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lagging: bool,
}

/// Input of [`InvokeModel`]: only what is new; the rest stands in the history before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelCall {
    pub turn: u32,
    pub step: u32,
    /// Count of the segments that earlier model calls of this run were given.
    pub base: u32,
    pub new: Vec<NewSegment>,
    /// Name of the revision this turn runs on.
    pub revision: String,
    /// `now` in the instructions, the same for each call of the turn.
    pub now: jiff::Timestamp,
    #[serde(flatten)]
    pub append: Append,
}

/// A segment that joins the transcript.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NewSegment {
    /// It stands elsewhere in the history of this run.
    Ref(SegmentRef),
    /// The workflow made it itself; small by construction.
    Whole(Box<Segment>),
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelOutcome {
    /// The output items as the provider sent them, in order.
    pub items: Vec<Value>,
    /// Calls among them that must not run, by index of the item, and what to tell the model.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<u32, String>,
    /// Calls among them that go to an MCP server, by index of the item.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub mcp: BTreeMap<u32, McpTarget>,
    /// Why the final answer does not have the form it must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<String>,
    /// The call was stopped: the items are what had been said.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
    /// The text of the final answer is not shown yet: it waits for the guardrails.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withheld: bool,
    pub usage: Usage,
    pub log: LogAck,
}

/// Input of [`CallHttpTool`]: the arguments stand in the result of the model call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HttpToolCall {
    pub turn: u32,
    pub step: u32,
    /// Index of the call among the model's output items.
    pub index: u32,
    pub tool: String,
    pub revision: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HttpToolOutcome {
    pub content: Value,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_error: bool,
    pub log: LogAck,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RevisionRequest {
    pub agent: String,
    /// The revision the task knows; `None` is answered when it is still the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<String>,
}

/// A revision as the history keeps it: the whole of it, once per change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    /// Name of the AgentRevision, `<agent>-<sequence>`.
    pub name: String,
    pub spec: AgentRevisionSpec,
}

/// Input of [`CallMcpTool`]: the arguments stand in the result of the model call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct McpToolCall {
    pub turn: u32,
    pub step: u32,
    pub index: u32,
    pub target: McpTarget,
    pub revision: String,
    /// What a person answered to what the server asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<McpAnswer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct McpToolOutcome {
    pub content: Value,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_error: bool,
    /// The server asks for more; there is no content yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_required: Option<McpInputRequest>,
    pub log: LogAck,
}

/// Input of [`CallHttpStep`] and [`RenderStep`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepCall {
    pub turn: u32,
    pub step: u32,
    pub index: u32,
    /// Name of the tool.
    pub tool: String,
    pub revision: String,
    /// Name of the step.
    pub name: String,
    /// It is the step's compensation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undo: bool,
    /// Results of the steps so far, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub results: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepOutcome {
    pub content: Value,
    /// The request was refused for good.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_error: bool,
}

/// Input of [`CheckCel`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CelCheck {
    pub stage: steadfast_events::GuardrailStage,
    pub agent: String,
    /// Name and expression of each check.
    pub checks: Vec<(String, String)>,
    /// Whose text is checked: a person's message or a model's answer.
    pub subject: SegmentRef,
}

/// What a check says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardrailResult {
    #[serde(default)]
    pub name: String,
    pub tripped: bool,
    #[serde(default)]
    pub reason: String,
}

/// Input of [`CallWebhook`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WebhookCall {
    pub revision: String,
    /// Which hook of the revision.
    pub hook: u32,
    /// What is posted.
    pub event: Value,
}

/// Result of [`Compact`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub text: String,
    pub usage: Usage,
    pub log: LogAck,
}

/// Input of [`FetchStatePage`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatePageRequest {
    /// The run to read.
    pub run_id: String,
    /// Place in the transcript of the first of the segments.
    pub first: u32,
    pub segments: Vec<NewSegment>,
}

/// Input of [`CancelRunningCalls`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CancelRequest {
    pub task_id: String,
    pub turn: u32,
}

/// Result of [`LoadCapabilities`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Our search attributes are registered.
    #[serde(default)]
    pub search_attributes: bool,
}
