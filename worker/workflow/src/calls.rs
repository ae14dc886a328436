//! Tool calls among a model's output items, by one rule for the workflow, the
//! activities and the reader of histories.

use std::collections::BTreeMap;

use serde_json::Value;
use steadfast_core::{ToolCall, Verdict};

/// The function calls among the items, in order. `index` is the index of the item.
pub fn function_calls(items: &[Value], refused: &BTreeMap<u32, String>) -> Vec<ToolCall> {
    items
        .iter()
        .enumerate()
        .filter(|(_, item)| item.get("type").and_then(Value::as_str) == Some("function_call"))
        .map(|(index, item)| {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            let verdict = refused
                .get(&index)
                .map_or(Verdict::Run, |reason| Verdict::Refuse(reason.clone()));
            ToolCall {
                index,
                call_id: text("call_id"),
                name: text("name"),
                verdict,
            }
        })
        .collect()
}
