//! The events of a task's log. Wire names are forever: a new event is a new
//! variant, a new field is optional, and readers ignore what they do not know.

use serde::{Deserialize, Serialize};

use crate::{
    approval::{Approval, Decision},
    message::{Content, Message},
};

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    #[serde(flatten)]
    pub kind: EventKind,
    /// The turn it belongs to; 0 outside of any turn.
    #[serde(default)]
    pub turn: u32,
    /// Which attempt of the activity made it; 1 for the first and for the workflow's own.
    #[serde(default = "first_attempt")]
    pub attempt: u32,
    #[serde(default)]
    pub agent: String,
    /// Empty in the conversation itself; inside of a tool that is an agent, the calls that led there, as
    /// `<turn>.<step>.<index>` joined by `/`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    pub time: jiff::Timestamp,
}

fn first_attempt() -> u32 {
    1
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EventKind {
    /// The first entry of an epoch. `complete` says whether the log holds the
    /// task from its very beginning; if not, earlier messages are in Temporal.
    LogOpened {
        complete: bool,
    },
    /// The task itself changed.
    TaskUpdated {
        status: TaskStatus,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A sender's message was taken in; its content follows as `message_done`.
    MessageAccepted {
        message_id: String,
    },
    MessageRejected {
        message_id: String,
        reason: String,
    },
    TurnStarted {},
    TurnEnded {
        status: TurnStatus,
        #[serde(default)]
        usage: Usage,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<TurnError>,
    },
    /// A message begins; `content` is its empty form.
    MessageStarted {
        message_id: String,
        content: Content,
    },
    TextDelta {
        message_id: String,
        delta: String,
    },
    /// A piece of the model's reasoning text; `index` counts the parts of one message.
    ReasoningDelta {
        message_id: String,
        index: u32,
        delta: String,
    },
    ReasoningSummaryDelta {
        message_id: String,
        index: u32,
        delta: String,
    },
    ToolArgumentsDelta {
        message_id: String,
        delta: String,
    },
    /// A message is complete; this is the truth, whatever deltas came before.
    MessageDone {
        message: Message,
    },
    /// A message that had begun is taken back, because its attempt failed.
    MessageReset {
        message_id: String,
    },
    ModelStarted {
        step: u32,
    },
    ModelEnded {
        step: u32,
        #[serde(default)]
        usage: Usage,
    },
    ToolStarted {
        tool_call_id: String,
        name: String,
    },
    ToolEnded {
        tool_call_id: String,
        name: String,
        is_error: bool,
    },
    /// An agent takes up the turn, at its start or by a handoff.
    AgentStarted {
        name: String,
    },
    AgentEnded {
        name: String,
    },
    /// Another agent takes over the conversation.
    Handoff {
        from: String,
        to: String,
    },
    /// A person is asked.
    ApprovalRequested {
        approval: Approval,
    },
    ApprovalDecided {
        approval_id: String,
        #[serde(flatten)]
        decision: Decision,
    },
    /// A check has stopped the turn.
    GuardrailTripped {
        name: String,
        stage: GuardrailStage,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
    },
    /// The model goes on from a summary of the conversation so far.
    ContextCompacted {
        /// Counts the transcripts of the task; the first is 0.
        generation: u32,
    },
    /// The tools of a server are not there for this model call.
    ToolsUnavailable {
        tool: String,
        reason: String,
    },
    /// An event of a newer version.
    #[serde(other)]
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    Running,
    Completed,
    Failed,
    Canceled,
    Terminated,
    TimedOut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnStatus {
    Completed,
    Failed,
    Interrupted,
    Canceled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardrailStage {
    Input,
    Output,
}

/// Why a turn failed, in words a client can act on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnError {
    /// A stable category, e.g. `model_refused_request`, `max_model_calls`.
    pub category: String,
    pub message: String,
}

/// Tokens, as the provider counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    #[serde(default, skip_serializing_if = "is_zero")]
    pub input_tokens: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cached_input_tokens: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub output_tokens: u64,
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
