//! What a person sees: messages, derived from events and never stored apart.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One message of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Stable id: chosen by the sender for a user's message, derived for all others ([`crate::id`]).
    pub id: String,
    /// The turn it belongs to; 0 before the first turn.
    pub turn: u32,
    /// Name of the agent that said it, or to whom it was said.
    pub agent: String,
    pub author: Author,
    pub content: Content,
    pub status: MessageStatus,
    pub created_at: jiff::Timestamp,
    pub updated_at: jiff::Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Author {
    User,
    Agent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageStatus {
    InProgress,
    Done,
    /// Stopped before its end; what was said stays.
    Interrupted,
}

impl MessageStatus {
    /// Nothing more will be said.
    pub fn is_final(self) -> bool {
        self != Self::InProgress
    }
}

/// The body of a message, tagged `type` on the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Content {
    Text {
        text: String,
        #[serde(default)]
        format: TextFormat,
    },
    /// What the model let us see of its thinking.
    Reasoning {
        #[serde(default)]
        summary: Vec<String>,
        #[serde(default)]
        content: Vec<String>,
    },
    /// The model asks for a tool call.
    ToolRequest {
        tool_call_id: String,
        name: String,
        arguments: Value,
    },
    /// The answer the model gets.
    ToolResponse {
        tool_call_id: String,
        name: String,
        content: Value,
        #[serde(default)]
        is_error: bool,
    },
    /// Structured content a client sent or a tool made.
    Data { data: Value },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextFormat {
    Markdown,
    #[default]
    Plain,
    Code,
}
