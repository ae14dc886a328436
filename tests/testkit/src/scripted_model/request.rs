//! A request as a script and a test look at it.

use std::collections::BTreeMap;

use serde_json::Value;

/// One call of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelRequest {
    /// 1 for the first request this server got.
    pub number: usize,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The whole body; null when it was not read.
    pub body: Value,
}

impl ModelRequest {
    pub fn model(&self) -> &str {
        self.body["model"].as_str().unwrap_or_default()
    }

    /// The system prompt; empty when there is none.
    pub fn instructions(&self) -> &str {
        self.body["instructions"].as_str().unwrap_or_default()
    }

    /// The items of the conversation, oldest first.
    pub fn input(&self) -> &[Value] {
        self.body["input"].as_array().map(Vec::as_slice).unwrap_or_default()
    }

    /// Names of the functions that were offered.
    pub fn tool_names(&self) -> Vec<&str> {
        let tools = self.body["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
        tools.iter().filter_map(|tool| tool["name"].as_str()).collect()
    }

    /// The value of a header, empty when absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(String::as_str).unwrap_or_default()
    }

    /// What the person said, oldest first.
    pub fn user_texts(&self) -> Vec<String> {
        self.input()
            .iter()
            .filter(|item| item["role"] == "user")
            .map(text_of)
            .collect()
    }

    /// What the person said last; empty when nothing.
    pub fn last_user_text(&self) -> String {
        self.user_texts().pop().unwrap_or_default()
    }

    /// What the tools answered, oldest first, as the model reads it.
    pub fn tool_outputs(&self) -> Vec<String> {
        self.input()
            .iter()
            .filter(|item| is_tool_output(item))
            .map(output_of)
            .collect()
    }

    /// What the tools answered since the person spoke last.
    pub fn tool_outputs_of_turn(&self) -> Vec<String> {
        let spoke = self.input().iter().rposition(|item| item["role"] == "user");
        let turn = &self.input()[spoke.map_or(0, |place| place + 1)..];
        turn.iter().filter(|item| is_tool_output(item)).map(output_of).collect()
    }

    /// The newest answer of a tool in this turn, if there is one.
    pub fn last_tool_output(&self) -> Option<String> {
        self.tool_outputs_of_turn().pop()
    }
}

fn is_tool_output(item: &Value) -> bool {
    item["type"] == "function_call_output"
}

/// Providers take a string or content parts.
fn output_of(item: &Value) -> String {
    match &item["output"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        other => other.to_string(),
    }
}

fn text_of(item: &Value) -> String {
    match &item["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        other => other.to_string(),
    }
}
