//! The items of a conversation as they are sent to a model (Responses API). Every call sends all of
//! them again, so long contents are borrowed.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_json::{Value, value::RawValue};

use crate::tool_call::ToolOutput;

#[derive(Clone, Debug)]
pub enum Item<'a> {
    /// An item from a user, a model or the task.
    Said(Cow<'a, Value>),
    /// `function_call_output`: the results of tools are most of a long conversation.
    Output(&'a ToolOutput),
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
            Self::Output(output) => OutputItem {
                kind: "function_call_output",
                call_id: &output.call_id,
                output: output.text_json(),
            }
            .serialize(serializer),
        }
    }
}

impl From<Item<'_>> for Value {
    fn from(item: Item<'_>) -> Self {
        match item {
            Item::Said(item) => item.into_owned(),
            Item::Output(output) => serde_json::json!({
                "type": "function_call_output",
                "call_id": output.call_id,
                "output": output.text(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tool_call::ModelText;

    #[test]
    fn an_output_is_written_as_its_value() {
        for content in [json!("22 \"°C\"\n"), json!({"degrees": 22}), json!(null)] {
            let output = ToolOutput {
                call_id: "c\"1".into(),
                name: "t".into(),
                content,
                is_error: false,
                text: ModelText::default(),
            };
            let item = Item::Output(&output);
            let written: Value = serde_json::from_str(&serde_json::to_string(&item).unwrap()).unwrap();
            assert_eq!(written, Value::from(item));
        }
    }
}
