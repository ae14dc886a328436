//! Reads what the fixtures match from a request of either API. Pure.

use serde_json::Value;

/// The parts of a request that fixtures match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Conversation {
    pub(crate) instructions: String,
    pub(crate) last_user_message: String,
    /// The newest tool result since the last message of the user.
    pub(crate) last_tool_result: Option<String>,
}

impl Conversation {
    /// From a request of the Responses API.
    pub(crate) fn of_responses(body: &Value) -> Self {
        let mut conversation = Self {
            instructions: text(&body["instructions"]),
            ..Self::default()
        };
        if let Value::String(input) = &body["input"] {
            conversation.last_user_message.clone_from(input);
        }
        for item in body["input"].as_array().into_iter().flatten() {
            match (item["type"].as_str(), item["role"].as_str()) {
                (Some("function_call_output"), _) => conversation.tool_result(&item["output"]),
                (_, Some(role)) => conversation.message(role, &item["content"]),
                _ => {}
            }
        }
        conversation
    }

    /// From a request of the Chat Completions API.
    pub(crate) fn of_chat(body: &Value) -> Self {
        let mut conversation = Self::default();
        for message in body["messages"].as_array().into_iter().flatten() {
            match message["role"].as_str() {
                Some("tool") => conversation.tool_result(&message["content"]),
                Some(role) => conversation.message(role, &message["content"]),
                None => {}
            }
        }
        conversation
    }

    fn message(&mut self, role: &str, content: &Value) {
        match role {
            "system" | "developer" => {
                self.instructions.push('\n');
                self.instructions.push_str(&text(content));
            }
            "user" => {
                self.last_user_message = text(content);
                self.last_tool_result = None;
            }
            _ => {}
        }
    }

    fn tool_result(&mut self, content: &Value) {
        self.last_tool_result = Some(text(content));
    }
}

/// A text, or the texts of a list of parts.
fn text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_apis_give_the_same_conversation() {
        let responses = Conversation::of_responses(&json!({
            "instructions": "Help.",
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "One"}]},
                {"type": "function_call_output", "call_id": "a", "output": "old"},
                {"type": "message", "role": "user", "content": "Two"},
                {"type": "function_call", "call_id": "b", "name": "t", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "b", "output": "new"},
            ],
        }));
        assert_eq!(responses.instructions, "Help.");
        assert_eq!(
            (
                responses.last_user_message.as_str(),
                responses.last_tool_result.as_deref()
            ),
            ("Two", Some("new"))
        );
        let chat = Conversation::of_chat(&json!({"messages": [
            {"role": "system", "content": "Help."},
            {"role": "user", "content": "One"},
            {"role": "tool", "tool_call_id": "a", "content": "old"},
            {"role": "user", "content": "Two"},
            {"role": "assistant", "tool_calls": []},
        ]}));
        assert!(chat.instructions.contains("Help."));
        assert_eq!((chat.last_user_message.as_str(), chat.last_tool_result), ("Two", None));
    }
}
