//! A message without ids and times, so that tests can compare whole conversations.

use serde_json::{Value, json};
use steadfast_events::{Author, Content, Message};

/// The content of one message.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    User(String),
    Agent(String),
    Reasoning(Vec<String>),
    ToolRequest {
        name: String,
        arguments: Value,
    },
    ToolResponse {
        name: String,
        content: Value,
        is_error: bool,
    },
    /// An incomplete message.
    Open(Box<Line>),
    /// Any other content, unchanged.
    Other(Value),
}

impl Line {
    pub fn user(text: impl Into<String>) -> Self {
        Self::User(text.into())
    }

    pub fn agent(text: impl Into<String>) -> Self {
        Self::Agent(text.into())
    }

    pub fn request(name: &str, arguments: Value) -> Self {
        Self::ToolRequest {
            name: name.to_owned(),
            arguments,
        }
    }

    pub fn response(name: &str, content: Value) -> Self {
        Self::ToolResponse {
            name: name.to_owned(),
            content,
            is_error: false,
        }
    }

    /// Converts a message of `GET /messages`.
    pub fn of_wire(message: &Value) -> Self {
        let content = &message["content"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let line = match (text(&content["type"]).as_str(), text(&content["author"]).as_str()) {
            ("text", "user") => Self::User(text(&content["content"])),
            ("text", "agent") => Self::Agent(text(&content["content"])),
            ("reasoning", _) => {
                let parts = content["summary"].as_array().map(Vec::as_slice).unwrap_or_default();
                Self::Reasoning(parts.iter().map(text).collect())
            }
            ("tool_request", _) => Self::ToolRequest {
                name: text(&content["name"]),
                arguments: content["arguments"].clone(),
            },
            ("tool_response", _) => Self::ToolResponse {
                name: text(&content["name"]),
                content: content["content"].clone(),
                is_error: content["is_error"] == true,
            },
            _ => Self::Other(content.clone()),
        };
        line.with_status(message["streaming_status"] == "DONE")
    }

    /// Converts a message that was folded from a log.
    pub fn of_log(message: &Message) -> Self {
        let line = match (&message.content, message.author) {
            (Content::Text { text, .. }, Author::User) => Self::User(text.clone()),
            (Content::Text { text, .. }, Author::Agent) => Self::Agent(text.clone()),
            (Content::Reasoning { summary, .. }, _) => Self::Reasoning(summary.clone()),
            (Content::ToolRequest { name, arguments, .. }, _) => Self::ToolRequest {
                name: name.clone(),
                arguments: arguments.clone(),
            },
            (
                Content::ToolResponse {
                    name,
                    content,
                    is_error,
                    ..
                },
                _,
            ) => Self::ToolResponse {
                name: name.clone(),
                content: content.clone(),
                is_error: *is_error,
            },
            (Content::Data { data }, author) => Self::Other(json!({"author": author, "data": data})),
        };
        line.with_status(message.status.is_final())
    }

    fn with_status(self, done: bool) -> Self {
        if done { self } else { Self::Open(Box::new(self)) }
    }
}
