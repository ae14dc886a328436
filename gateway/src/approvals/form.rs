//! Checks a person's answer against the form of an approval. Pure. Blocks; the form is
//! that of a user or of an MCP server, so call it outside of the async threads.

use serde_json::Value;
use steadfast_json_schema::CompiledSchema;

/// Why an answer does not match the form; `None` if it does.
pub(crate) fn mismatch(form: &Value, answer: &Value) -> Option<String> {
    if form.is_null() {
        return (!answer.is_null()).then(|| "the approval has no form: leave out answer".to_owned());
    }
    if answer.is_null() {
        return Some("an answer that matches the form is required".to_owned());
    }
    let schema = match CompiledSchema::compile(form) {
        Ok(schema) => schema,
        Err(error) => {
            // Otherwise nobody could ever decide the approval; the tool checks the answer itself.
            tracing::warn!(%error, "the form of an approval cannot be used; its answer is not checked");
            return None;
        }
    };
    let error = schema.first_error(answer)?;
    Some(format!("the answer does not match the form: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_must_match_the_form() {
        let form = json!({"type": "object", "properties": {"size": {"type": "integer"}}, "required": ["size"]});
        assert_eq!(mismatch(&form, &json!({"size": 3})), None);
        assert_eq!(
            mismatch(&form, &json!({"size": "three"})).as_deref(),
            Some("the answer does not match the form: /size: \"three\" is not of type \"integer\"")
        );
        assert_eq!(
            mismatch(&form, &json!({})).as_deref(),
            Some("the answer does not match the form: \"size\" is a required property")
        );
        assert_eq!(
            mismatch(&form, &Value::Null).as_deref(),
            Some("an answer that matches the form is required")
        );
    }

    #[test]
    fn without_a_form_there_is_no_answer() {
        assert_eq!(mismatch(&Value::Null, &Value::Null), None);
        assert!(mismatch(&Value::Null, &json!({"size": 3})).is_some());
    }

    #[test]
    fn an_approval_whose_form_is_no_schema_can_still_be_decided() {
        assert_eq!(mismatch(&json!({"type": "nonsense"}), &json!(1)), None);
    }
}
