//! The rules of a strict provider for a conversation. Pure.

use std::collections::BTreeSet;

use serde_json::Value;

/// All violations in the body of a request.
pub(super) fn violations(body: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if body["stream"] != true {
        found.push("stream is not true".to_owned());
    }
    if body["model"].as_str().is_none_or(str::is_empty) {
        found.push("model is missing".to_owned());
    }
    if let Some(messages) = body["messages"].as_array() {
        found.extend(violations_of_chat(messages));
        return found;
    }
    let Some(input) = body["input"].as_array() else {
        found.push("input is not an array of items".to_owned());
        return found;
    };
    let mut open = BTreeSet::new();
    let mut known = BTreeSet::new();
    for (index, item) in input.iter().enumerate() {
        let call_id = item["call_id"].as_str().unwrap_or_default();
        let kind = item["type"].as_str().unwrap_or_default();
        if kind == "function_call" {
            if !known.insert(call_id) {
                found.push(format!("function_call {call_id:?} appears twice"));
            }
            open.insert(call_id);
        } else if kind.ends_with("_call") && !call_id.is_empty() {
            // Calls that the client answers, of whatever type.
            open.insert(call_id);
        } else if kind == "mcp_approval_request" {
            open.insert(item["id"].as_str().unwrap_or_default());
        } else if kind == "mcp_approval_response" {
            let id = item["approval_request_id"].as_str().unwrap_or_default();
            if !open.remove(id) {
                found.push(format!("mcp_approval_response {id:?} has no open request before it"));
            }
        } else if kind == "function_call_output" {
            if !open.remove(call_id) {
                found.push(format!(
                    "function_call_output {call_id:?} has no open function_call before it"
                ));
            }
        } else if item["role"] == "user" && !open.is_empty() {
            found.push(format!(
                "the user's message at item {index} comes while calls are open: {open:?}"
            ));
        }
    }
    found.extend(
        open.iter()
            .map(|call_id| format!("function_call {call_id:?} has no function_call_output")),
    );
    found
}

/// The same for the messages of the Chat Completions API.
fn violations_of_chat(messages: &[Value]) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = BTreeSet::new();
    for (index, message) in messages.iter().enumerate() {
        if message["role"] == "tool" {
            let call_id = message["tool_call_id"].as_str().unwrap_or_default();
            if !open.remove(call_id) {
                found.push(format!("the result of {call_id:?} has no open call before it"));
            }
            continue;
        }
        if !open.is_empty() {
            found.push(format!("message {index} comes while calls are open: {open:?}"));
        }
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            let id = call["id"].as_str().unwrap_or_default();
            if id.is_empty() || !open.insert(id) {
                found.push(format!("the call {id:?} has no id of its own"));
            }
            let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
            if serde_json::from_str::<serde_json::Map<String, Value>>(arguments).is_err() {
                found.push(format!("the arguments of {id:?} are no object"));
            }
        }
    }
    found.extend(open.iter().map(|id| format!("the call {id:?} has no result")));
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body(input: &Value) -> Value {
        json!({"model": "m", "stream": true, "input": input})
    }

    #[test]
    fn a_call_with_its_output_is_valid() {
        let input = json!([
            {"role": "user", "content": "hi"},
            {"type": "function_call", "call_id": "a", "name": "t", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "a", "output": "1"},
        ]);
        assert_eq!(violations(&body(&input)), Vec::<String>::new());
    }

    #[test]
    fn calls_without_outputs_and_outputs_without_calls_are_violations() {
        let input = json!([
            {"type": "function_call", "call_id": "a", "name": "t", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "b", "output": "1"},
        ]);
        assert_eq!(
            violations(&body(&input)),
            [
                "function_call_output \"b\" has no open function_call before it",
                "function_call \"a\" has no function_call_output"
            ]
        );
    }

    #[test]
    fn messages_of_chat_have_the_same_rules() {
        let call =
            json!({"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "t", "arguments": "{}"}}]});
        let result = json!({"role": "tool", "tool_call_id": "a", "content": "1"});
        let user = json!({"role": "user", "content": "hi"});
        let body = |messages: &[&Value]| json!({"model": "m", "stream": true, "messages": messages});
        assert_eq!(violations(&body(&[&user, &call, &result, &user])), Vec::<String>::new());
        for messages in [vec![&call], vec![&result], vec![&call, &user, &result]] {
            assert!(!violations(&body(&messages)).is_empty(), "{messages:?}");
        }
    }
}
