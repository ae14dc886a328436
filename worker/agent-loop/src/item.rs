//! The items of a conversation as they are sent to a model (Responses API). Every call sends all of
//! them again, so long contents are borrowed.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_json::{Value, json, value::RawValue};

use crate::tool_call::{CallKind, ToolOutput};

#[derive(Clone, Debug)]
pub enum Item<'a> {
    /// An item from a user, a model or the task.
    Said(Cow<'a, Value>),
    /// `function_call_output` or `mcp_approval_response`: the results of tools are most of a long conversation.
    Output(&'a ToolOutput),
}

#[derive(Serialize)]
struct ApprovalItem<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    approval_request_id: &'a str,
    approve: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'a, str>>,
}

impl<'a> ApprovalItem<'a> {
    fn new(output: &'a ToolOutput) -> Self {
        let approve = output.is_approval();
        Self {
            kind: "mcp_approval_response",
            approval_request_id: &output.call_id,
            approve,
            reason: (!approve).then(|| output.text()),
        }
    }
}

#[derive(Serialize)]
struct OutputItem<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    call_id: &'a str,
    output: &'a RawValue,
}

impl Serialize for Item<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Said(item) => item.serialize(serializer),
            Self::Output(output) => match output.kind {
                CallKind::Function => OutputItem {
                    kind: "function_call_output",
                    call_id: &output.call_id,
                    output: output.text_json(),
                }
                .serialize(serializer),
                CallKind::McpApproval => ApprovalItem::new(output).serialize(serializer),
            },
        }
    }
}

impl From<Item<'_>> for Value {
    fn from(item: Item<'_>) -> Self {
        match item {
            Item::Said(item) => item.into_owned(),
            Item::Output(output) => match output.kind {
                CallKind::Function => json!({
                    "type": "function_call_output",
                    "call_id": output.call_id,
                    "output": output.text(),
                }),
                CallKind::McpApproval => json!(ApprovalItem::new(output)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool_call::ModelText;

    #[test]
    fn an_output_is_written_as_its_value() {
        for content in [json!("22 \"°C\"\n"), json!({"degrees": 22}), json!(null)] {
            let output = ToolOutput {
                call_id: "c\"1".into(),
                name: "t".into(),
                kind: CallKind::Function,
                content,
                is_error: false,
                text: ModelText::default(),
            };
            let item = Item::Output(&output);
            let written: Value = serde_json::from_str(&serde_json::to_string(&item).unwrap()).unwrap();
            assert_eq!(written, Value::from(item));
        }
    }

    #[test]
    fn the_answer_to_an_approval_request_says_yes_or_why_not() {
        let answer = |content: Value, is_error: bool| {
            let output = ToolOutput {
                call_id: "mcpr_1".into(),
                name: "t".into(),
                kind: CallKind::McpApproval,
                content,
                is_error,
                text: ModelText::default(),
            };
            Value::from(Item::Output(&output))
        };
        assert_eq!(
            answer(ToolOutput::approval(), false),
            json!({"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": true})
        );
        assert_eq!(
            answer(json!("ada rejected it"), true),
            json!({
                "type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": false,
                "reason": "ada rejected it",
            })
        );
    }
}
