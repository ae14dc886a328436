//! A durable wait for a person, as people and programs see it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A question to a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Approval {
    /// `<task id>.<turn>.<step>.<index>`: the task whose workflow waits, and the tool call.
    pub id: String,
    /// What is asked.
    pub kind: ApprovalKind,
    /// The agent that asks: its name, or `namespace/name` if its namespace is another one than that of the task.
    pub agent: String,
    /// Turn of the tool call.
    pub turn: u32,
    /// Name of the tool, as the model calls it.
    pub tool: String,
    /// Id that the model gave the call.
    pub tool_call_id: String,
    /// Exactly what will run when it is approved.
    pub arguments: Value,
    /// The arguments are cut: this is no basis for a decision to run the call.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub arguments_truncated: bool,
    /// Who sent the message of the turn that asks; empty for a schedule, and for anonymous users.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub requester: String,
    /// What the person is asked, in plain text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prompt: String,
    /// JSON Schema of the answer; null when there is only yes and no.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub form: Value,
    /// Time of the question.
    pub requested_at: jiff::Timestamp,
    /// Time at which it expires; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<jiff::Timestamp>,
}

impl Approval {
    /// Whether a decision at this time is too late: one at the time of the expiry is.
    pub fn is_expired_at(&self, time: jiff::Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= time)
    }
}

/// What a person is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalKind {
    /// May this call run?
    ToolCall,
    /// The model asks a person (a tool of kind `human`).
    Question,
    /// A tool asks for more in the middle of its call (MCP elicitation).
    Elicitation,
}

/// What was decided about an approval, by whom and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The outcome.
    pub verdict: Verdict,
    /// Who decided; empty when nobody did, or somebody anonymous.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// Why; the model is told.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What the person filled in, where a form was shown.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub answer: Value,
    /// When the task took it in; absent on the way to the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<jiff::Timestamp>,
}

impl Decision {
    /// A decision with a verdict and nothing else.
    pub fn new(verdict: Verdict) -> Self {
        Self {
            verdict,
            by: String::new(),
            reason: String::new(),
            answer: Value::Null,
            at: None,
        }
    }
}

/// The outcome of an approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The call may run, or the question is answered.
    Approved,
    /// The call must not run.
    Rejected,
    /// Nobody decided in time.
    Expired,
    /// The turn ended before anybody decided.
    Withdrawn,
}

impl Verdict {
    /// Its name on the wire, in metrics and in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }
}
