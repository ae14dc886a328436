//! A request to the model, for scripts and assertions.

use std::collections::BTreeMap;

use serde_json::Value;

/// One request to the model.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelRequest {
    /// Counted from 1 on this server.
    pub number: usize,
    /// By names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The whole body; null if it was not parsed.
    pub body: Value,
}

impl ModelRequest {
    pub fn model(&self) -> &str {
        self.body["model"].as_str().unwrap_or_default()
    }

    /// The system prompt; empty if there is none.
    pub fn instructions(&self) -> &str {
        let of_chat = self.body["messages"]
            .get(0)
            .filter(|message| message["role"] == "system");
        let instructions = of_chat.map_or(&self.body["instructions"], |message| &message["content"]);
        instructions.as_str().unwrap_or_default()
    }

    /// The items of the conversation, oldest first: those of the Responses API, or the messages of Chat Completions.
    pub fn input(&self) -> &[Value] {
        let input = self.body["input"].as_array().or(self.body["messages"].as_array());
        input.map(Vec::as_slice).unwrap_or_default()
    }

    /// The names of the tools that the model may call.
    pub fn tool_names(&self) -> Vec<&str> {
        let tools = self.body["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
        tools
            .iter()
            .filter_map(|tool| tool["name"].as_str().or(tool["function"]["name"].as_str()))
            .collect()
    }

    /// The value of a header; empty if absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(String::as_str).unwrap_or_default()
    }

    /// The texts of the user's messages, oldest first.
    pub fn user_texts(&self) -> Vec<String> {
        self.input()
            .iter()
            .filter(|item| item["role"] == "user")
            .map(text_of)
            .collect()
    }

    /// The text of the user's last message; empty if there is none.
    pub fn last_user_text(&self) -> String {
        self.user_texts().pop().unwrap_or_default()
    }

    /// The outputs of the tools, oldest first.
    pub fn tool_outputs(&self) -> Vec<String> {
        self.input()
            .iter()
            .filter(|item| is_tool_output(item))
            .map(output_of)
            .collect()
    }

    /// The outputs of the tools since the user's last message.
    pub fn tool_outputs_of_turn(&self) -> Vec<String> {
        let last_message = self.input().iter().rposition(|item| item["role"] == "user");
        let turn = &self.input()[last_message.map_or(0, |index| index + 1)..];
        turn.iter().filter(|item| is_tool_output(item)).map(output_of).collect()
    }

    /// The last output of a tool in this turn, if there is one.
    pub fn last_tool_output(&self) -> Option<String> {
        self.tool_outputs_of_turn().pop()
    }
}

fn is_tool_output(item: &Value) -> bool {
    item["type"] == "function_call_output" || item["role"] == "tool"
}

fn output_of(item: &Value) -> String {
    joined(if item["role"] == "tool" {
        &item["content"]
    } else {
        &item["output"]
    })
}

fn text_of(item: &Value) -> String {
    joined(&item["content"])
}

/// The API accepts a string or content parts.
fn joined(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        other => other.to_string(),
    }
}
