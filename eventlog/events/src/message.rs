//! Messages as people see them. They are derived from events and never stored on their own.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use steadfast_attachments::Attachment;

/// One message of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Stable id, derived ([`crate::id`]). The ids of users and of the agent are apart from each other.
    pub id: String,
    /// The idempotency key under which a user sent it; absent for all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// Turn of the message; 0 before the first turn.
    pub turn: u32,
    /// Name of the agent that wrote it, or that it is for.
    pub agent: String,
    /// Who wrote it.
    pub author: Author,
    /// Its body.
    pub content: Content,
    /// Whether it is complete.
    pub status: MessageStatus,
    /// Time of its first event.
    pub created_at: jiff::Timestamp,
    /// Time of its latest event.
    pub updated_at: jiff::Timestamp,
}

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Author {
    /// A person or a program that talks to the agent.
    User,
    /// The agent.
    Agent,
}

/// Whether a message is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageStatus {
    /// More text may follow.
    InProgress,
    /// Complete.
    Done,
    /// Stopped before its end; the text so far stays.
    Interrupted,
}

impl MessageStatus {
    /// Whether no more text will follow.
    pub fn is_final(self) -> bool {
        self != Self::InProgress
    }
}

/// The body of a message, tagged `type` on the wire.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Content {
    /// Text.
    Text {
        /// The text.
        text: String,
        /// How to show it.
        #[serde(default)]
        format: TextFormat,
        /// Images and files that a user sent along; the text may be empty then.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        attachments: Vec<Attachment>,
    },
    /// Reasoning that the model shows.
    Reasoning {
        /// Parts of the summary.
        #[serde(default)]
        summary: Vec<String>,
        /// Parts of the reasoning text.
        #[serde(default)]
        content: Vec<String>,
    },
    /// The model asks for a tool call.
    ToolRequest {
        /// Id that the model gave the call.
        tool_call_id: String,
        /// Name of the tool.
        name: String,
        /// Arguments of the call; a string while they are incomplete.
        arguments: Value,
    },
    /// The result that the model gets.
    ToolResponse {
        /// Id that the model gave the call.
        tool_call_id: String,
        /// Name of the tool.
        name: String,
        /// The result.
        content: Value,
        /// Whether it is an error.
        #[serde(default)]
        is_error: bool,
        /// Size of the result as JSON, where `content` is only its beginning, as text. The history has the whole.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        whole_bytes: Option<usize>,
    },
    /// Structured content that a client sent or a tool returned.
    Data {
        /// The content.
        data: Value,
    },
}

impl Content {
    /// A text without attachments.
    pub fn text(text: impl Into<String>, format: TextFormat) -> Self {
        Self::Text {
            text: text.into(),
            format,
            attachments: Vec::new(),
        }
    }
}

/// How to show a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextFormat {
    /// Markdown.
    Markdown,
    /// Plain text.
    #[default]
    Plain,
    /// Source code.
    Code,
}
