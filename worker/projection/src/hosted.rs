//! The visible contents of output items. A hosted tool, which the provider runs itself, is shown as a
//! request and a response, like any other tool.

use serde_json::{Map, Value, json};
use steadfast_agent_loop::output_item::is_request;
use steadfast_events::Content;

use crate::{HOSTED_RESPONSE, OUTPUT, content_of_item};

/// Longest visible result of a hosted tool.
const RESULT_LIMIT_CHARS: usize = 2_000;

/// The contents of an item with the parts of their message ids; none for items with nothing to see.
pub(crate) fn shown_contents(item: &Value) -> Vec<(&'static str, Content)> {
    let only = |content| vec![(OUTPUT, content)];
    if is_request_to_client(item) {
        return only(request(item, name_of(item), sent_arguments(item)));
    }
    if let Some(content) = separate_result(item) {
        return only(content);
    }
    let Some(name) = hosted_tool(item) else {
        return content_of_item(item).map(only).unwrap_or_default();
    };
    let (result, is_error) = result(item);
    let response = Content::ToolResponse {
        tool_call_id: call_id(item),
        name: name.to_owned(),
        content: Value::String(bounded(&result)),
        is_error,
        whole_bytes: None,
    };
    vec![
        (OUTPUT, request(item, name, arguments(item))),
        (HOSTED_RESPONSE, response),
    ]
}

/// How a hosted tool is shown while the provider runs it, and a request while the model writes it.
pub fn begun_content(item: &Value) -> Option<Content> {
    if is_request_to_client(item) {
        return Some(request(item, name_of(item), json!({})));
    }
    hosted_tool(item).map(|name| request(item, name, json!({})))
}

/// A request that somebody else than the provider answers, or that a later item of the answer does.
fn is_request_to_client(item: &Value) -> bool {
    item["type"] != "function_call" && is_request(item)
}

/// A name of its own, or that of its type.
fn name_of(item: &Value) -> &str {
    let kind = item["type"].as_str().unwrap_or_default();
    let of_type = kind.strip_suffix("_call").unwrap_or(kind);
    item["name"].as_str().unwrap_or(of_type)
}

fn sent_arguments(item: &Value) -> Value {
    match &item["arguments"] {
        Value::String(text) => parsed(text),
        Value::Null => arguments(item),
        other => other.clone(),
    }
}

/// The result of a call of the provider that stands in an item of its own.
fn separate_result(item: &Value) -> Option<Content> {
    let name = item["type"].as_str()?.strip_suffix("_output")?;
    item["call_id"].as_str()?;
    let (text, is_error) = result(item);
    Some(Content::ToolResponse {
        tool_call_id: call_id(item),
        name: name.strip_suffix("_call").unwrap_or(name).to_owned(),
        content: Value::String(bounded(&text)),
        is_error,
        whole_bytes: None,
    })
}

/// The tool of an item that the provider ran itself.
fn hosted_tool(item: &Value) -> Option<&str> {
    match item["type"].as_str()? {
        // A call that is ours to answer.
        "function_call" => None,
        "mcp_list_tools" => Some("mcp_list_tools"),
        kind => kind.strip_suffix("_call").filter(|name| !name.is_empty()),
    }
}

fn request(item: &Value, name: &str, arguments: Value) -> Content {
    Content::ToolRequest {
        tool_call_id: call_id(item),
        name: name.to_owned(),
        arguments,
    }
}

fn call_id(item: &Value) -> String {
    let id = item["call_id"].as_str().or_else(|| item["id"].as_str());
    id.unwrap_or_default().to_owned()
}

fn arguments(item: &Value) -> Value {
    match item["type"].as_str().unwrap_or_default() {
        "mcp_call" => json!({
            "server": item["server_label"],
            "tool": item["name"],
            "arguments": item["arguments"].as_str().map(parsed).unwrap_or_default(),
        }),
        "mcp_list_tools" => json!({"server": item["server_label"]}),
        "image_generation_call" => members(item, &[("revised_prompt", "prompt")]),
        _ if item["action"].is_object() => item["action"].clone(),
        _ => members(
            item,
            &[
                ("queries", "queries"),
                ("code", "code"),
                ("input", "input"),
                ("operation", "operation"),
            ],
        ),
    }
}

fn members(item: &Value, names: &[(&str, &str)]) -> Value {
    let present = names.iter().filter_map(|(name, shown_as)| {
        let value = item.get(*name).filter(|value| !value.is_null())?;
        Some(((*shown_as).to_owned(), value.clone()))
    });
    Value::Object(present.collect::<Map<_, _>>())
}

fn parsed(text: &str) -> Value {
    steadfast_bounds::json::read_or_text(text.to_owned())
}

/// The result as text, and whether it is a failure.
fn result(item: &Value) -> (String, bool) {
    let status = item["status"].as_str().unwrap_or("completed");
    if !item["error"].is_null() {
        let said = item["error"]["message"].as_str().map(str::to_owned);
        return (said.unwrap_or_else(|| text_of(&item["error"])), true);
    }
    let text = match item["type"].as_str().unwrap_or_default() {
        "image_generation_call" => item["result"].as_str().map(|_| "[image]".to_owned()),
        "mcp_list_tools" => item["tools"].as_array().map(|tools| {
            let names: Vec<&str> = tools.iter().filter_map(|tool| tool["name"].as_str()).collect();
            names.join(", ")
        }),
        "code_interpreter_call" => item["outputs"].as_array().map(|outputs| {
            let texts: Vec<&str> = outputs
                .iter()
                .map(|output| output["logs"].as_str().unwrap_or("[image]"))
                .collect();
            texts.join("\n")
        }),
        _ => ["results", "output", "outputs"]
            .iter()
            .find_map(|name| item.get(*name).filter(|value| !value.is_null()))
            .map(text_of),
    };
    (text.unwrap_or_else(|| status.to_owned()), status == "failed")
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn bounded(text: &str) -> String {
    match text.char_indices().nth(RESULT_LIMIT_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(item: &Value) -> (String, Value, String, bool) {
        match &shown_contents(item)[..] {
            [
                (OUTPUT, Content::ToolRequest { name, arguments, .. }),
                (HOSTED_RESPONSE, Content::ToolResponse { content, is_error, .. }),
            ] => (
                name.clone(),
                arguments.clone(),
                content.as_str().unwrap_or_default().to_owned(),
                *is_error,
            ),
            other => (format!("{other:?}"), Value::Null, String::new(), true),
        }
    }

    #[test]
    fn a_hosted_tool_is_shown_as_a_request_and_a_response() {
        for (item, name, arguments, content, is_error) in [
            (
                json!({"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "rust"}}),
                "web_search",
                json!({"type": "search", "query": "rust"}),
                "completed",
                false,
            ),
            (
                json!({"type": "file_search_call", "id": "fs_1", "queries": ["q"], "results": [{"text": "found"}]}),
                "file_search",
                json!({"queries": ["q"]}),
                "[{\"text\":\"found\"}]",
                false,
            ),
            (
                json!({"type": "code_interpreter_call", "id": "ci_1", "code": "1+1", "outputs": [{"type": "logs", "logs": "2"}, {"type": "image", "url": "data:x"}]}),
                "code_interpreter",
                json!({"code": "1+1"}),
                "2\n[image]",
                false,
            ),
            (
                json!({"type": "image_generation_call", "id": "ig_1", "result": "aGk=", "revised_prompt": "a cat"}),
                "image_generation",
                json!({"prompt": "a cat"}),
                "[image]",
                false,
            ),
            (
                json!({"type": "mcp_call", "id": "mcp_1", "server_label": "s", "name": "echo", "arguments": "{\"a\":1}", "error": {"message": "no"}}),
                "mcp",
                json!({"server": "s", "tool": "echo", "arguments": {"a": 1}}),
                "no",
                true,
            ),
            (
                json!({"type": "mcp_list_tools", "id": "l", "server_label": "s", "tools": [{"name": "echo"}, {"name": "add"}]}),
                "mcp_list_tools",
                json!({"server": "s"}),
                "echo, add",
                false,
            ),
        ] {
            assert_eq!(
                pair(&item),
                (name.to_owned(), arguments, content.to_owned(), is_error),
                "{item}"
            );
        }
    }

    #[test]
    fn a_long_result_is_cut() {
        let item = json!({"type": "file_search_call", "id": "f", "results": "é".repeat(3_000)});
        assert_eq!(pair(&item).2.chars().count(), RESULT_LIMIT_CHARS + 1);
    }

    #[test]
    fn calls_of_our_own_tools_have_no_response_yet() {
        let item = json!({"type": "function_call", "call_id": "c", "name": "t", "arguments": "{}"});
        assert_eq!(shown_contents(&item).len(), 1);
        assert!(begun_content(&item).is_none());
    }

    #[test]
    fn a_request_to_the_client_has_no_response_and_a_result_of_its_own_item_is_one() {
        let request = |item: &Value| match &shown_contents(item)[..] {
            [
                (
                    OUTPUT,
                    Content::ToolRequest {
                        tool_call_id,
                        name,
                        arguments,
                    },
                ),
            ] => (tool_call_id.clone(), name.clone(), arguments.clone()),
            other => panic!("{other:?}"),
        };
        let approval = json!({
            "type": "mcp_approval_request", "id": "mcpr_1", "name": "roll", "server_label": "dice", "arguments": "{\"sides\":6}",
        });
        assert_eq!(
            request(&approval),
            ("mcpr_1".to_owned(), "roll".to_owned(), json!({"sides": 6}))
        );
        let shell =
            json!({"type": "shell_call", "call_id": "c", "action": {"commands": ["ls"]}, "status": "completed"});
        assert_eq!(
            request(&shell),
            ("c".to_owned(), "shell".to_owned(), json!({"commands": ["ls"]}))
        );
        let custom = json!({"type": "custom_tool_call", "call_id": "c", "name": "edit", "input": "text"});
        assert_eq!(
            request(&custom),
            ("c".to_owned(), "edit".to_owned(), json!({"input": "text"}))
        );
        let output = json!({"type": "shell_call_output", "call_id": "c", "output": [{"stdout": "a.txt"}]});
        let [
            (
                OUTPUT,
                Content::ToolResponse {
                    tool_call_id,
                    name,
                    content,
                    ..
                },
            ),
        ] = &shown_contents(&output)[..]
        else {
            panic!()
        };
        assert_eq!(
            (tool_call_id.as_str(), name.as_str(), content),
            ("c", "shell", &json!("[{\"stdout\":\"a.txt\"}]"))
        );
    }
}
