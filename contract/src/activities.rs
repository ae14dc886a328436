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
    text_parts::ItemParts,
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
    /// The newest log entry that the activity knows of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Some of the activity's own messages did not reach the log.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lagging: bool,
}

/// Input of [`InvokeModel`](crate::activity_kind::ActivityKind::InvokeModel): only what is new; the rest stands in the history before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelCall {
    /// The turn; turns count from 1.
    pub turn: u32,
    /// The step within the turn; steps count from 0.
    pub step: u32,
    /// Count of the segments that earlier model calls of this run were given.
    pub base: u32,
    /// The segments that are new since then.
    pub new: Vec<NewSegment>,
    /// Name of the revision this turn runs on.
    pub revision: String,
    /// `now` in the instructions, the same for each call of the turn.
    pub now: jiff::Timestamp,
    /// Usage of the turn so far, where the call may end the turn in the log: when its answer is the last word, nothing
    /// else is to come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub may_end_turn: Option<Usage>,
    /// The outbox and the position of the log.
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

/// Result of [`InvokeModel`](crate::activity_kind::ActivityKind::InvokeModel)(crate::activity_kind::ActivityKind::InvokeModel).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelOutcome {
    /// The output items as the provider sent them, in order; empty when they came in parts.
    #[serde(default)]
    pub items: Vec<Value>,
    /// The items are too large for one payload: they stand in the signals before this result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_parts: Option<ItemParts>,
    /// Calls among them that must not run, by index of the item, and what to tell the model.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<u32, String>,
    /// Calls among them that go to an MCP server, by index of the item.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub mcp: BTreeMap<u32, McpTarget>,
    /// The type of an item that asks for something that nothing here answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsupported: Option<String>,
    /// Why the final answer does not have the form it must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<String>,
    /// The model and the endpoint that wrote the items; see [`Body::Model`](steadfast_agent_loop::Body::Model).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub origin: String,
    /// The call was stopped: the items are what had been said.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
    /// The text of the final answer is not shown yet: it waits for the guardrails.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withheld: bool,
    /// The answer is the last word, and the log has the end of the turn already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub turn_ended: bool,
    /// Tokens and model calls.
    pub usage: Usage,
    /// What the activity reports about the log.
    pub log: LogAck,
}

impl ModelOutcome {
    /// Nobody ever sees the messages of the answer: its form was not accepted, or no guardrail checks
    /// them before the turn fails.
    pub fn is_retracted(&self) -> bool {
        self.rejected.is_some() || (self.unsupported.is_some() && self.withheld)
    }
}

/// Input of [`CallHttpTool`](crate::activity_kind::ActivityKind::CallHttpTool): the arguments stand in the result of the model call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HttpToolCall {
    /// The turn; turns count from 1.
    pub turn: u32,
    /// The step within the turn; steps count from 0.
    pub step: u32,
    /// Index of the call among the model's output items.
    pub index: u32,
    /// Name of the tool.
    pub tool: String,
    /// Name of the revision that the turn runs on.
    pub revision: String,
    /// The newest log entry that the activity knows of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Result of a call of an `http` tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HttpToolOutcome {
    /// The result, as JSON.
    pub content: Value,
    /// The result tells of an error.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_error: bool,
    /// What the activity reports about the log.
    pub log: LogAck,
}

/// Input of [`LoadRevision`](crate::activity_kind::ActivityKind::LoadRevision)(crate::activity_kind::ActivityKind::LoadRevision).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RevisionRequest {
    /// Name of the agent.
    pub agent: String,
    /// The revision the task knows; none is answered when it is still the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<String>,
    /// Whether the answer is to say if our search attributes are registered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asks_search_attributes: bool,
}

/// Result of [`LoadRevision`](crate::activity_kind::ActivityKind::LoadRevision).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LoadedRevision {
    /// The newest revision; absent when it is the known one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// Our search attributes are registered; absent when that was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search_attributes: Option<bool>,
}

/// A revision as the history keeps it: the whole of it, once per change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    /// Name of the AgentRevision, `<agent>-<sequence>`.
    pub name: String,
    /// The agent with its references resolved.
    pub spec: AgentRevisionSpec,
}

/// Input of [`CallMcpTool`](crate::activity_kind::ActivityKind::CallMcpTool): the arguments stand in the result of the model call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct McpToolCall {
    /// The turn; turns count from 1.
    pub turn: u32,
    /// The step within the turn; steps count from 0.
    pub step: u32,
    /// Index of the call among the model's output items.
    pub index: u32,
    /// The server and the tool.
    pub target: McpTarget,
    /// Name of the revision that the turn runs on.
    pub revision: String,
    /// What a person answered to what the server asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<McpAnswer>,
    /// The newest log entry that the activity knows of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Result of a call of an MCP tool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct McpToolOutcome {
    /// The result, as JSON.
    pub content: Value,
    /// The result tells of an error.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_error: bool,
    /// The server asks for more; there is no content yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_required: Option<McpInputRequest>,
    /// What the activity reports about the log.
    pub log: LogAck,
}

/// Input of [`CallHttpStep`](crate::activity_kind::ActivityKind::CallHttpStep) and [`RenderStep`](crate::activity_kind::ActivityKind::RenderStep).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepCall {
    /// The turn; turns count from 1.
    pub turn: u32,
    /// The step within the turn; steps count from 0.
    pub step: u32,
    /// Index of the call among the model's output items.
    pub index: u32,
    /// Name of the tool.
    pub tool: String,
    /// Name of the revision that the turn runs on.
    pub revision: String,
    /// Name of the step.
    pub name: String,
    /// It is the step's compensation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undo: bool,
    /// Names of the steps that have a result so far. The results stand in the history of the run, under
    /// their [activity ids](crate::activity_ids::step_activity_id).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<String>,
}

/// Result of one HTTP step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepOutcome {
    /// The result, as JSON.
    pub content: Value,
    /// The request was refused for good, or its result cannot be used.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_error: bool,
    /// The step may have acted all the same: in an earlier attempt, or before its result was lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_have_acted: bool,
}

/// Input of [`CheckCel`](crate::activity_kind::ActivityKind::CheckCel).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CelCheck {
    /// Input or output.
    pub stage: steadfast_events::GuardrailStage,
    /// Name of the agent.
    pub agent: String,
    /// Name and expression of each check.
    pub checks: Vec<(String, String)>,
    /// Whose text is checked: a person's message or a model's answer.
    pub subject: SegmentRef,
}

/// What a check says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardrailResult {
    /// The name.
    #[serde(default)]
    pub name: String,
    /// The guardrail stops the turn.
    pub tripped: bool,
    /// Why, for people.
    #[serde(default)]
    pub reason: String,
}

/// Input of [`CallWebhook`](crate::activity_kind::ActivityKind::CallWebhook).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WebhookCall {
    /// Name of the revision that the turn runs on.
    pub revision: String,
    /// Which hook of the revision.
    pub hook: u32,
    /// What is posted.
    pub event: Value,
}

/// Result of [`Compact`](crate::activity_kind::ActivityKind::Compact).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The text.
    pub text: String,
    /// Tokens and model calls.
    pub usage: Usage,
    /// What the activity reports about the log.
    pub log: LogAck,
}

/// Input of [`RecordInHistory`](crate::activity_kind::ActivityKind::RecordInHistory), which does nothing:
/// its input stands in the history of the run, and everything else refers to it there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HistoryRecord {
    /// Segments that the workflow made itself and that are too large to travel whole.
    Segments(Vec<Segment>),
    /// A part of the state for the next run: its JSON text is cut into parts.
    StatePart(StatePart),
}

/// One part of the JSON text of a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatePart {
    /// Its number, from 0.
    pub number: u32,
    /// The text.
    pub text: String,
}

/// Input of [`FetchStatePart`](crate::activity_kind::ActivityKind::FetchStatePart).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatePartRequest {
    /// The run to read.
    pub run_id: String,
    /// Number of the part.
    pub number: u32,
}

/// Input of [`FetchStatePage`](crate::activity_kind::ActivityKind::FetchStatePage).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatePageRequest {
    /// The run to read.
    pub run_id: String,
    /// Place in the transcript of the first of the segments.
    pub first: u32,
    /// References to the segments of the page.
    pub segments: Vec<NewSegment>,
}

/// Input of [`CancelRunningCalls`](crate::activity_kind::ActivityKind::CancelRunningCalls).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CancelRequest {
    /// Id of the task.
    pub task_id: String,
    /// The turn; turns count from 1.
    pub turn: u32,
}
