//! A tool call's arguments as payloads for an activity in any language.

use serde_json::{Map, Value};
use steadfast_payload::foreign_json;
use temporalio_workflow::common::protos::temporal::api::common::v1::Payload;

/// One payload with the whole object.
pub(crate) fn object_arguments(arguments: &Value) -> Result<Vec<Payload>, String> {
    Ok(vec![plain(arguments)?])
}

/// One payload for each parameter: the required ones in the order of `required`, then the
/// others by name. Trailing ones that the model left out are left out.
pub(crate) fn positional_arguments(arguments: &Value, schema: &Map<String, Value>) -> Result<Vec<Payload>, String> {
    let Value::Object(arguments) = arguments else {
        return Err("the arguments are not a JSON object".to_owned());
    };
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    let mut optional: Vec<&str> = schema
        .get("properties")
        .and_then(Value::as_object)
        .map(|properties| {
            properties
                .keys()
                .map(String::as_str)
                .filter(|name| !required.contains(name))
                .collect()
        })
        .unwrap_or_default();
    optional.sort_unstable();
    let given = optional
        .iter()
        .rposition(|name| arguments.contains_key(*name))
        .map_or(0, |last| last + 1);
    optional.truncate(given);
    required
        .iter()
        .chain(&optional)
        .map(|name| plain(arguments.get(*name).unwrap_or(&Value::Null)))
        .collect()
}

/// Never compressed and never encrypted: foreign workers read plain JSON.
fn plain(value: &Value) -> Result<Payload, String> {
    foreign_json(value).map_err(|error| format!("the arguments cannot be written: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn texts(payloads: &[Payload]) -> Vec<String> {
        payloads
            .iter()
            .map(|payload| String::from_utf8(payload.data.clone()).unwrap())
            .collect()
    }

    #[test]
    fn positions_follow_required_then_names() {
        let Value::Object(schema) =
            json!({"properties": {"b": {}, "a": {}, "zone": {}, "city": {}}, "required": ["zone", "city"]})
        else {
            unreachable!()
        };
        let payloads = positional_arguments(&json!({"city": "Oslo", "zone": 1, "b": true}), &schema).unwrap();
        assert_eq!(texts(&payloads), ["1", "\"Oslo\"", "null", "true"]);
        let payloads = positional_arguments(&json!({"city": "Oslo", "zone": 1}), &schema).unwrap();
        assert_eq!(texts(&payloads), ["1", "\"Oslo\""]);
    }

    #[test]
    fn large_arguments_stay_plain() {
        let payloads = object_arguments(&json!({"text": "x".repeat(300_000)})).unwrap();
        assert_eq!(payloads[0].metadata["encoding"], b"json/plain");
    }
}
