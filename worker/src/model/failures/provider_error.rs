//! The error in JSON of a provider. Servers have many forms for it. Pure.

use serde_json::Value;

/// What an error says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ProviderError {
    /// The code, or the type.
    pub code: Option<String>,
    /// In the provider's words.
    pub message: Option<String>,
}

impl ProviderError {
    /// The error that a document tells; none if it tells none. A document is a body, or a chunk of a stream.
    pub(super) fn of(document: &Value) -> Option<Self> {
        // Google puts an array around it.
        let document = document.get(0).unwrap_or(document);
        let members = document.as_object()?;
        // Cloudflare has a list of errors.
        let first = document["errors"].get(0).unwrap_or(&Value::Null);
        for error in [&document["error"], first] {
            if is_told(error) {
                let mut inner = Self::inner(error);
                inner.message = inner.message.or_else(|| message_of(document));
                inner.code = inner.code.or_else(|| code_of(document));
                return Some(inner);
            }
        }
        if document["object"] == "error" || document["type"] == "error" {
            return Some(Self::inner(document));
        }
        if members.contains_key("choices") || members.contains_key("output") {
            return None;
        }
        // MiniMax: 0 is success.
        let base = &document["base_resp"];
        if base["status_code"].as_i64().is_some_and(|code| code != 0) {
            return Some(Self {
                code: Some(base["status_code"].to_string()),
                message: text(&base["status_msg"]),
            });
        }
        let message = message_of(document)?;
        Some(Self {
            code: code_of(document),
            message: Some(message),
        })
    }

    /// An error as such: an object, or words.
    pub(super) fn inner(error: &Value) -> Self {
        let mut told = Self {
            code: code_of(error),
            message: message_of(error).or_else(|| text(error)),
        };
        // OpenRouter and LiteLLM quote the provider behind them.
        if let Some(raw) = text(&error["metadata"]["raw"])
            && let Some(message) = &mut told.message
            && !message.contains(&raw)
        {
            message.push_str(": ");
            message.push_str(&raw);
        }
        told
    }
}

/// Some servers send an error that says nothing with each chunk: empty, or with members that are.
fn is_told(error: &Value) -> bool {
    match error {
        Value::Object(members) => members.values().any(is_told),
        Value::String(text) => !text.is_empty(),
        Value::Bool(is_error) => *is_error,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::Array(values) => values.iter().any(is_told),
        Value::Null => false,
    }
}

fn message_of(error: &Value) -> Option<String> {
    ["message", "detail", "msg", "error_message", "error_msg"]
        .iter()
        .find_map(|name| text(&error[*name]))
}

fn code_of(error: &Value) -> Option<String> {
    [
        "code",
        "type",
        "status",
        "error_code",
        "error_type",
        "status_code",
        "statusCode",
    ]
    .iter()
    .find_map(|name| match &error[*name] {
        Value::Number(number) => Some(number.to_string()),
        code => text(code),
    })
}

/// Words; FastAPI has a list of objects instead.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
        Value::Array(values) if !values.is_empty() => Some(serde_json::to_string(values).unwrap_or_default()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_is_found_in_every_form() {
        for (document, code, message) in [
            (json!({"error": {"code": "c", "type": "t", "message": "no"}}), "c", "no"),
            (
                json!({"error": {"code": null, "type": "t", "message": "no"}}),
                "t",
                "no",
            ),
            (json!({"error": {"code": 400, "message": "no"}}), "400", "no"),
            (
                json!([{"error": {"code": 429, "message": "no", "status": "RESOURCE_EXHAUSTED"}}]),
                "429",
                "no",
            ),
            (json!({"error": "no"}), "", "no"),
            // Text Generation Inference.
            (json!({"error": "no", "error_type": "validation"}), "validation", "no"),
            (json!({"error": true, "message": "no", "status": 503}), "503", "no"),
            (
                json!({"object": "error", "message": "no", "type": "BadRequestError", "code": 400}),
                "400",
                "no",
            ),
            (
                json!({"type": "error", "error": {"type": "overloaded_error", "message": "no"}}),
                "overloaded_error",
                "no",
            ),
            (json!({"detail": "no"}), "", "no"),
            (
                json!({"detail": [{"loc": ["body"], "msg": "no"}]}),
                "",
                r#"[{"loc":["body"],"msg":"no"}]"#,
            ),
            (json!({"message": "no", "statusCode": 401}), "401", "no"),
            (
                json!({"success": false, "errors": [{"code": 7000, "message": "no"}]}),
                "7000",
                "no",
            ),
            (json!({"code": 1302, "msg": "no", "success": false}), "1302", "no"),
            (
                json!({"base_resp": {"status_code": 1008, "status_msg": "no"}}),
                "1008",
                "no",
            ),
            (
                json!({"error": {"code": 502, "message": "Provider returned error", "metadata": {"raw": "worker limit"}}}),
                "502",
                "Provider returned error: worker limit",
            ),
        ] {
            let error = ProviderError::of(&document).unwrap();
            assert_eq!(error.code.as_deref().unwrap_or_default(), code, "{document}");
            assert_eq!(error.message.as_deref(), Some(message), "{document}");
        }
    }

    #[test]
    fn a_chunk_is_no_error() {
        for document in [
            json!(null),
            json!("ping"),
            json!({"choices": [], "error": null}),
            json!({"choices": [{"delta": {}}], "error": {}}),
            json!({"choices": [{"delta": {}}], "error": {"code": 0, "message": "", "type": null}}),
            json!({"choices": [{"delta": {}}], "error": 0}),
            json!({"choices": [{"delta": {}}], "error": "", "base_resp": {"status_code": 0}}),
            json!({"type": "ping"}),
            json!({"id": "x", "object": "chat.completion.chunk"}),
            json!({"status": "completed", "output": [], "error": null}),
        ] {
            assert_eq!(ProviderError::of(&document), None, "{document}");
        }
    }
}
