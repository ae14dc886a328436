//! What an output item of a model asks for. Providers add types of items: those that are not known
//! are judged by their form, so that no request of a model is taken for the end of its answer.

use serde_json::Value;

/// What a model waits for after an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// The output of a function.
    Function,
    /// A decision: may the provider call this tool of an MCP server?
    McpApproval,
    /// Something that nothing here answers.
    Unsupported,
}

/// The provider runs these itself, and their items carry the result.
const HOSTED: [&str; 6] = [
    "web_search_call",
    "file_search_call",
    "code_interpreter_call",
    "image_generation_call",
    "mcp_call",
    "mcp_list_tools",
];
/// The client runs these.
const OF_CLIENT: [&str; 5] = [
    "custom_tool_call",
    "shell_call",
    "local_shell_call",
    "apply_patch_call",
    "computer_call",
];
/// Members in which an item carries its own result.
const RESULTS: [&str; 4] = ["output", "outputs", "result", "results"];

/// What the model waits for after this item of its answer; `None` when it waits for nothing.
pub fn request_of(item: &Value, answer: &[Value]) -> Option<Request> {
    match kind_of(item) {
        "function_call" => Some(Request::Function),
        "mcp_approval_request" => Some(Request::McpApproval),
        kind if HOSTED.contains(&kind) => None,
        _ => (is_request(item) && !is_answered(item, answer)).then_some(Request::Unsupported),
    }
}

/// The type of the first item that nothing here answers.
pub fn unsupported_item(answer: &[Value]) -> Option<&str> {
    answer
        .iter()
        .find(|item| request_of(item, answer) == Some(Request::Unsupported))
        .map(kind_of)
}

/// Whether an item has the form of a request to the client. Calls that a client answers have a `call_id`.
pub fn is_request(item: &Value) -> bool {
    let kind = kind_of(item);
    let status = item["status"].as_str().unwrap_or_default();
    OF_CLIENT.contains(&kind)
        || kind.ends_with("_request")
        || (kind.ends_with("_call") && (item["call_id"].is_string() || item["execution"] == "client"))
        || status.starts_with("requires_")
        || status.starts_with("awaiting")
}

/// Whether the answer itself has the result of the item: the provider ran it.
fn is_answered(item: &Value, answer: &[Value]) -> bool {
    let carries_result = RESULTS
        .iter()
        .any(|member| item.get(*member).is_some_and(|result| !result.is_null()));
    let has_output = |call_id: &str| {
        answer
            .iter()
            .any(|other| kind_of(other).ends_with("_output") && other["call_id"] == call_id)
    };
    carries_result || item["call_id"].as_str().is_some_and(has_output)
}

fn kind_of(item: &Value) -> &str {
    item["type"].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn alone(item: &Value) -> Option<Request> {
        request_of(item, std::slice::from_ref(item))
    }

    #[test]
    fn calls_that_the_client_answers_are_requests() {
        for item in [
            json!({"type": "custom_tool_call", "call_id": "c", "name": "n", "input": "text"}),
            json!({"type": "shell_call", "call_id": "c", "action": {"commands": ["ls"]}, "status": "completed"}),
            json!({"type": "local_shell_call", "call_id": "c", "action": {"type": "exec"}, "status": "completed"}),
            json!({"type": "apply_patch_call", "call_id": "c", "operation": {}, "status": "completed"}),
            json!({"type": "computer_call", "call_id": "c", "action": {}, "pending_safety_checks": []}),
            json!({"type": "tool_search_call", "call_id": null, "execution": "client", "arguments": {}}),
            // Types that are not known yet.
            json!({"type": "levitation_call", "call_id": "c"}),
            json!({"type": "levitation_approval_request", "id": "l"}),
            json!({"type": "levitation", "id": "l", "status": "requires_action"}),
            json!({"type": "levitation", "id": "l", "status": "awaiting_output"}),
        ] {
            assert_eq!(alone(&item), Some(Request::Unsupported), "{item}");
            assert_eq!(unsupported_item(std::slice::from_ref(&item)), item["type"].as_str());
        }
        assert_eq!(
            alone(&json!({"type": "function_call", "call_id": "c"})),
            Some(Request::Function)
        );
        assert_eq!(
            alone(&json!({"type": "mcp_approval_request", "id": "m"})),
            Some(Request::McpApproval)
        );
    }

    #[test]
    fn what_the_provider_ran_itself_asks_for_nothing() {
        for item in [
            json!({"type": "message", "role": "assistant", "content": []}),
            json!({"type": "reasoning", "summary": []}),
            json!({"type": "web_search_call", "id": "w", "status": "completed"}),
            json!({"type": "mcp_call", "id": "m", "approval_request_id": "a", "output": null}),
            json!({"type": "tool_search_call", "call_id": null, "execution": "server", "status": "completed"}),
            json!({"type": "levitation_call", "id": "l", "status": "completed"}),
            json!({"type": "levitation_call", "call_id": "c", "result": "it floats"}),
            json!({"type": "compaction", "encrypted_content": "x"}),
        ] {
            assert_eq!(alone(&item), None, "{item}");
        }
        let hosted_shell = [
            json!({"type": "shell_call", "call_id": "c"}),
            json!({"type": "shell_call_output", "call_id": "c", "output": []}),
        ];
        assert_eq!(unsupported_item(&hosted_shell), None);
    }
}
