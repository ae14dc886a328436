//! The result of a model call, and the identity that its message IDs derive from.

use serde_json::{Value, json};
use steadfast_events::Usage;

/// Identifies one model call; the IDs of its messages derive from it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallIdentity<'a> {
    pub task_id: &'a str,
    pub agent: &'a str,
    /// Empty in the conversation itself; see [`steadfast_events::Event::path`].
    pub call_path: &'a str,
    pub turn: u32,
    pub step: u32,
}

/// The response of a completed or interrupted model call, in the items of the Responses API.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ModelResponse {
    pub items: Vec<Value>,
    pub usage: Usage,
    /// The provider's ID of the response.
    pub response_id: Option<String>,
    /// The model that responded, as the provider resolved its name.
    pub model: Option<String>,
    /// Why the response ended, in the provider's words.
    pub finish_reason: Option<String>,
}

/// The item of a message that was interrupted before its end.
pub(crate) fn incomplete_message(text: &str) -> Value {
    json!({"type": "message", "role": "assistant", "status": "incomplete",
        "content": [{"type": "output_text", "text": text}]})
}

/// The item of a message whose end the provider did not tell.
pub(crate) fn complete_message(text: &str) -> Value {
    json!({"type": "message", "role": "assistant", "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": []}]})
}
