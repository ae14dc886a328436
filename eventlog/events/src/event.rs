//! The events of a task's log. Names on the wire do not change: a new event is a new
//! variant, a new field is optional, and readers ignore unknown ones.

use serde::{Deserialize, Serialize};

use crate::{
    approval::{Approval, Decision},
    message::{Content, Message},
};

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
    /// Turn of the event; 0 outside of any turn.
    #[serde(default)]
    pub turn: u32,
    /// Attempt of the activity that produced the event; 1 for the first, and for events of the workflow.
    #[serde(default = "first_attempt")]
    pub attempt: u32,
    /// Name of the agent.
    #[serde(default)]
    pub agent: String,
    /// Empty in the conversation itself. In an agent that runs as a tool: the tool calls that lead to it, each as
    /// `<turn>.<step>.<index>`, joined by `/`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// Time of the event.
    pub time: jiff::Timestamp,
}

fn first_attempt() -> u32 {
    1
}

/// What happened, tagged `type` on the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EventKind {
    /// The first entry of an epoch.
    LogOpened {
        /// Whether the log holds the task from its beginning. If not, the history in Temporal has earlier messages.
        complete: bool,
    },
    /// The status of the task changed.
    TaskUpdated {
        /// The new status.
        status: TaskStatus,
        /// Why, where there is a reason.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The task accepted a message of a user; its content follows as `message_done`.
    MessageAccepted {
        /// Id of the message.
        message_id: String,
        /// The idempotency key under which its sender sent it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        idempotency_key: Option<String>,
    },
    /// The task rejected a message of a user; or it ended before it got to an accepted message, and then
    /// the turn is the one that the message would have had.
    MessageRejected {
        /// Id of the message.
        message_id: String,
        /// The idempotency key under which its sender sent it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        idempotency_key: Option<String>,
        /// Why.
        reason: String,
    },
    /// A turn begins.
    TurnStarted {},
    /// A turn has ended.
    TurnEnded {
        /// How it ended.
        status: TurnStatus,
        /// Tokens of the turn.
        #[serde(default)]
        usage: Usage,
        /// Why it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<TurnError>,
    },
    /// A message begins.
    MessageStarted {
        /// Id of the message.
        message_id: String,
        /// Its content without any text yet.
        content: Content,
    },
    /// A piece of a text message.
    TextDelta {
        /// Id of the message.
        message_id: String,
        /// Text to append.
        delta: String,
    },
    /// A piece of the model's reasoning text.
    ReasoningDelta {
        /// Id of the message.
        message_id: String,
        /// Part of the message, counted from 0.
        index: u32,
        /// Text to append.
        delta: String,
    },
    /// A piece of the summary of the model's reasoning.
    ReasoningSummaryDelta {
        /// Id of the message.
        message_id: String,
        /// Part of the message, counted from 0.
        index: u32,
        /// Text to append.
        delta: String,
    },
    /// A piece of the arguments of a tool call.
    ToolArgumentsDelta {
        /// Id of the message.
        message_id: String,
        /// JSON text to append.
        delta: String,
    },
    /// A message is complete. It replaces what earlier deltas said.
    MessageDone {
        /// The whole message.
        message: Message,
    },
    /// A started message is retracted, because its attempt failed.
    MessageReset {
        /// Id of the message.
        message_id: String,
    },
    /// A model call begins.
    ModelStarted {
        /// Step of the turn.
        step: u32,
        /// Name of the model; empty where the worker is of a version that did not say it.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        model: String,
    },
    /// An attempt of a model call has failed, and another one follows.
    ModelAttemptFailed {
        /// Step of the turn.
        step: u32,
        /// Category of the failure, like that of a failed turn.
        category: String,
        /// Why it failed.
        reason: String,
        /// Milliseconds until the next attempt.
        retry_in_ms: u64,
    },
    /// A model call has ended.
    ModelEnded {
        /// Step of the turn.
        step: u32,
        /// Tokens of the call.
        #[serde(default)]
        usage: Usage,
    },
    /// A tool call begins.
    ToolStarted {
        /// Id that the model gave the call.
        tool_call_id: String,
        /// Name of the tool.
        name: String,
    },
    /// A tool call has ended.
    ToolEnded {
        /// Id that the model gave the call.
        tool_call_id: String,
        /// Name of the tool.
        name: String,
        /// Whether the model gets an error.
        is_error: bool,
    },
    /// An agent starts to act, at the start of the turn or by a handoff.
    AgentStarted {
        /// Name of the agent.
        name: String,
    },
    /// An agent has ended its part of the turn.
    AgentEnded {
        /// Name of the agent.
        name: String,
    },
    /// Another agent takes over the conversation.
    Handoff {
        /// Agent that hands off.
        from: String,
        /// Agent that takes over.
        to: String,
    },
    /// A person is asked.
    ApprovalRequested {
        /// The question.
        approval: Approval,
    },
    /// An approval has an outcome.
    ApprovalDecided {
        /// Id of the approval.
        approval_id: String,
        /// The decision.
        #[serde(flatten)]
        decision: Decision,
    },
    /// A guardrail has stopped the turn.
    GuardrailTripped {
        /// Name of the guardrail.
        name: String,
        /// Whether it checked input or output.
        stage: GuardrailStage,
        /// Why.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
    },
    /// The model continues from a summary of the conversation so far.
    ContextCompacted {
        /// Counts the transcripts of the task; the first is 0.
        generation: u32,
    },
    /// The tools of an MCP server are missing in this model call.
    ToolsUnavailable {
        /// Name of the AgentTool.
        tool: String,
        /// Why.
        reason: String,
    },
    /// An event of a newer version.
    #[serde(other)]
    Unknown,
}

/// Status of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// The workflow runs.
    Running,
    /// The workflow has ended by itself.
    Completed,
    /// The workflow has failed.
    Failed,
    /// Somebody canceled the task.
    Canceled,
    /// Somebody terminated the workflow.
    Terminated,
    /// The workflow exceeded its time limit.
    TimedOut,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnStatus {
    /// The agent has answered.
    Completed,
    /// It failed; the error says why.
    Failed,
    /// Somebody stopped the turn.
    Interrupted,
    /// Somebody canceled the task.
    Canceled,
}

/// What a guardrail checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardrailStage {
    /// The messages of the user.
    Input,
    /// The answer of the agent.
    Output,
}

/// Why a turn failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnError {
    /// A stable category, e.g. `model_refused_request`, `max_model_calls`.
    pub category: String,
    /// A sentence for people.
    pub message: String,
}

/// Tokens, as the provider counted them, and model calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub input_tokens: u64,
    /// Tokens of the prompt that came from the provider's cache.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cached_input_tokens: u64,
    /// Tokens of the answer, including reasoning.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub output_tokens: u64,
    /// Tokens of reasoning.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reasoning_tokens: u64,
    /// Finished model calls.
    #[serde(default)]
    pub model_calls: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Usage {
    /// Adds another count to this one.
    pub fn add(&mut self, other: Self) {
        self.input_tokens += other.input_tokens;
        self.cached_input_tokens += other.cached_input_tokens;
        self.output_tokens += other.output_tokens;
        self.reasoning_tokens += other.reasoning_tokens;
        self.model_calls += other.model_calls;
    }
}
