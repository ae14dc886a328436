//! Tool calls in a model's answer, and what goes back for them.

use std::{borrow::Cow, sync::OnceLock};

use serde::{Deserialize, Serialize};
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};
use steadfast_bounds::json::{self, ReadError};

/// One call the model made, judged by the activity that heard it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Which output item of the answer it is.
    pub index: u32,
    /// The provider's id; the output must carry the same one.
    pub call_id: String,
    pub name: String,
    #[serde(default, skip_serializing_if = "CallKind::is_function")]
    pub kind: CallKind,
    pub disposition: CallDisposition,
}

/// What answers a call, and in which form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallKind {
    /// A function: its output.
    #[default]
    Function,
    /// The provider asks whether it may call a tool of an MCP server: yes or no.
    McpApproval,
}

impl CallKind {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    fn is_function(&self) -> bool {
        *self == Self::Function
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallDisposition {
    /// The tool exists and the arguments fit its schema.
    Run,
    /// It must not run; the model is told why.
    Refuse(String),
}

/// What a tool call came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolOutput {
    pub call_id: String,
    pub name: String,
    #[serde(default, skip_serializing_if = "CallKind::is_function")]
    pub kind: CallKind,
    pub content: Value,
    #[serde(default)]
    pub is_error: bool,
    #[serde(skip)]
    pub text: ModelText,
}

/// What the model reads of a result, as a JSON string made when it is first sent: every later call
/// sends it again.
#[derive(Clone, Debug, Default)]
pub struct ModelText(OnceLock<Box<RawValue>>);

impl PartialEq for ModelText {
    /// It follows from the result.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// The arguments of a `function_call` item. Models write them as JSON text; none and null mean an empty object.
pub fn arguments(item: &Value) -> Result<Value, ReadError> {
    let arguments = match item.get("arguments") {
        Some(Value::String(text)) if text.trim().is_empty() => Value::Null,
        Some(Value::String(text)) => json::read(text.as_bytes())?,
        Some(other) => other.clone(),
        None => Value::Null,
    };
    Ok(match arguments {
        Value::Null => json!({}),
        // PHP has one word for an empty list and an empty object.
        Value::Array(values) if values.is_empty() => json!({}),
        // Some servers write the text of the arguments as JSON once more.
        Value::String(text) => match json::read(text.as_bytes()) {
            Ok(object @ Value::Object(_)) => object,
            _ => Value::String(text),
        },
        arguments => arguments,
    })
}

impl ToolOutput {
    /// The content of an approval that was granted.
    pub fn approval() -> Value {
        json!({"approve": true})
    }

    /// Whether it grants an approval. Any other content says why not.
    pub fn is_approval(&self) -> bool {
        !self.is_error && self.content == Self::approval()
    }

    /// What the model reads of it.
    pub fn text(&self) -> Cow<'_, str> {
        match &self.content {
            Value::String(text) => Cow::Borrowed(text),
            other => Cow::Owned(other.to_string()),
        }
    }

    /// The same as a JSON string.
    #[expect(
        clippy::expect_used,
        clippy::missing_panics_doc,
        reason = "writing text as JSON cannot fail"
    )]
    pub fn text_json(&self) -> &RawValue {
        self.text
            .0
            .get_or_init(|| to_raw_value(&self.text()).expect("text is written as JSON"))
    }
}

/// Cuts a result to a number of bytes and says so to the model. Text is cut at
/// a character; anything else is cut as its JSON text.
pub fn bounded(content: Value, max_bytes: usize) -> Value {
    let size = match &content {
        Value::String(text) => text.len(),
        other => other.to_string().len(),
    };
    if size <= max_bytes {
        return content;
    }
    let mut text = match content {
        Value::String(text) => text,
        other => other.to_string(),
    };
    text.truncate(text.floor_char_boundary(max_bytes));
    Value::String(format!(
        "{text}\n[cut: the result had {size} bytes, the tool's maxResultBytes is {max_bytes}]"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_back_as_it_is_and_anything_else_as_json() {
        let mut output = ToolOutput {
            call_id: "c".into(),
            name: "t".into(),
            kind: CallKind::Function,
            content: json!("warm"),
            is_error: false,
            text: ModelText::default(),
        };
        assert_eq!(output.text(), "warm");
        output.content = json!({"degrees": 22});
        assert_eq!(output.text(), "{\"degrees\":22}");
    }

    #[test]
    fn a_long_result_is_cut_at_a_character_and_the_model_is_told() {
        let cut = bounded(json!("ééé"), 3);
        assert_eq!(
            cut,
            json!("é\n[cut: the result had 6 bytes, the tool's maxResultBytes is 3]")
        );
        assert_eq!(bounded(json!({"a": 1}), 7), json!({"a": 1}));
    }

    #[test]
    fn missing_empty_or_null_arguments_are_an_empty_object() {
        for none in [json!(""), json!(" "), json!("null"), json!("[]"), Value::Null] {
            assert_eq!(arguments(&json!({"arguments": none})).unwrap(), json!({}), "{none}");
        }
        assert_eq!(arguments(&json!({})).unwrap(), json!({}));
        assert!(arguments(&json!({"arguments": "{\"city\": "})).is_err());
        let twice = json!({"arguments": json!("{\"n\": 1.10}").to_string()});
        assert_eq!(arguments(&twice).unwrap().to_string(), "{\"n\":1.10}");
        let text = json!({"arguments": "\"{oops}\""});
        assert_eq!(arguments(&text).unwrap(), json!("{oops}"));
        let deep = format!(
            "{}{}",
            "[".repeat(json::MAXIMUM_DEPTH + 1),
            "]".repeat(json::MAXIMUM_DEPTH + 1)
        );
        assert_eq!(
            arguments(&json!({"arguments": deep})).unwrap_err().to_string(),
            "it is nested deeper than 64 levels"
        );
    }
}
