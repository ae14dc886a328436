//! Tool calls among a model's output items, by one rule for the workflow, the
//! activities and the reader of histories; and how far a running call has come.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use steadfast_agent_loop::{
    CallDisposition, CallKind, ToolCall, ToolOutput,
    output_item::{Request, request_of},
    tool_call::bounded,
};
use steadfast_crds::AgentRevisionSpec;

use crate::{
    interval::Interval,
    mcp::{McpInputRequest, McpTarget},
};

/// The result of a call, kept until all calls of its step have one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FinishedCall {
    /// What the model is given.
    pub output: ToolOutput,
    /// What made the output.
    pub source: OutputSource,
    /// Why the turn is to fail: the tool says `onError: FailTurn`, or nobody decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fails_turn: Option<TurnFailure>,
    /// The agent that takes over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handoff_to: Option<String>,
    /// A hook wants it hidden.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suppressed: bool,
    /// Set where no activity of ours measures the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
}

/// Why the turn fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnFailure {
    /// A stable category.
    pub category: String,
    /// For people.
    pub message: String,
}

/// Who made an output, which decides where it stands in history and who shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputSource {
    /// It wrote its answer to the log itself.
    OurActivity,
    /// Its answer stands in history and not in the log.
    ForeignActivity,
    /// It stands in the result of no activity.
    Task,
}

impl OutputSource {
    /// Of an activity of ours, by what it says of the log: what it could not show waits in the outbox.
    pub const fn ours(lagging: bool) -> Self {
        if lagging {
            Self::ForeignActivity
        } else {
            Self::OurActivity
        }
    }
}

/// How far a call has come that is not finished: what must not be asked or done twice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CallProgress {
    /// A person has agreed to it.
    #[serde(default)]
    pub approved: bool,
    /// How often the tool has asked for more.
    #[serde(default)]
    pub rounds: u32,
    /// What it asks for now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<McpInputRequest>,
    /// The tool of an MCP server that it goes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mcp: Option<McpTarget>,
}

/// What the model is given of the result of an activity in any language, and whether that is an error.
pub fn content_of<E: std::fmt::Display>(result: Result<Value, E>) -> (Value, bool) {
    match result {
        Ok(content) => (content, false),
        Err(error) => (Value::String(error.to_string()), true),
    }
}

/// A result within the tool's `maxResultBytes`.
pub fn bounded_result(revision: Option<&AgentRevisionSpec>, tool: &str, content: Value) -> Value {
    let max_bytes = revision
        .and_then(|spec| spec.tools.iter().find(|candidate| candidate.name == tool))
        .map(|tool| usize::try_from(tool.spec.max_result_bytes).unwrap_or(usize::MAX));
    match max_bytes {
        Some(max_bytes) => bounded(content, max_bytes),
        None => content,
    }
}

/// The calls among the items that are answered here, in order. `index` is the index of the item.
pub fn tool_calls(items: &[Value], refused: &BTreeMap<u32, String>) -> Vec<ToolCall> {
    items
        .iter()
        .enumerate()
        .filter_map(|(index, item)| match request_of(item, items)? {
            Request::Function => Some((index, item, CallKind::Function, "call_id")),
            Request::McpApproval => Some((index, item, CallKind::McpApproval, "id")),
            Request::Unsupported => None,
        })
        .map(|(index, item, kind, id)| {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            let disposition = refused
                .get(&index)
                .map_or(CallDisposition::Run, |reason| CallDisposition::Refuse(reason.clone()));
            ToolCall {
                index,
                call_id: text(id),
                name: text("name"),
                kind,
                disposition,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn functions_and_approval_requests_are_answered_here_and_nothing_else() {
        let items = [
            json!({"type": "message"}),
            json!({"type": "function_call", "id": "fc_1", "call_id": "c", "name": "pay", "arguments": "{}"}),
            json!({"type": "mcp_approval_request", "id": "mcpr_1", "server_label": "s", "name": "roll"}),
            json!({"type": "shell_call", "call_id": "s"}),
        ];
        let call = |index, call_id: &str, name: &str, kind| ToolCall {
            index,
            call_id: call_id.to_owned(),
            name: name.to_owned(),
            kind,
            disposition: CallDisposition::Run,
        };
        let expected = [
            call(1, "c", "pay", CallKind::Function),
            call(2, "mcpr_1", "roll", CallKind::McpApproval),
        ];
        assert_eq!(tool_calls(&items, &BTreeMap::new()), expected);
    }
}
