//! The rules for a JSON Schema in a resource: it is within its bounds and compiles, and
//! a schema that the model's provider enforces satisfies strict mode. Pure.

use serde_json::{Map, Value};
use steadfast_crds::conditions::Reason;
use steadfast_json_schema::{CompiledSchema, SchemaError};

use crate::validation::ValidationError;

/// Keywords whose value is an object of schemas.
const SCHEMA_MAPS: [&str; 3] = ["properties", "$defs", "definitions"];
/// Keywords whose value is a list of schemas.
const SCHEMA_LISTS: [&str; 4] = ["anyOf", "oneOf", "allOf", "prefixItems"];
/// The most changes that a message names; it has no room for more.
const MAXIMUM_NAMED_CHANGES: usize = 3;

/// Checks that `schema` is a usable JSON Schema; `field` names it in the message.
pub(crate) fn check(field: &str, schema: &Map<String, Value>) -> Result<(), ValidationError> {
    match CompiledSchema::compile(&Value::Object(schema.clone())) {
        Ok(_) => Ok(()),
        Err(error @ SchemaError::Invalid { .. }) => Err(invalid(format!("{field} is not a JSON Schema: {error}"))),
        Err(SchemaError::OutOfBounds(error)) => Err(invalid(format!("{field} cannot be used: {error}"))),
    }
}

/// As [`check`], for a schema of named arguments.
pub(crate) fn check_object(field: &str, schema: &Map<String, Value>) -> Result<(), ValidationError> {
    match schema.get("type").and_then(Value::as_str) {
        None | Some("object") => check(field, schema),
        Some(other) => Err(invalid(format!(
            "{field} must describe an object: type is {other:?}, not \"object\""
        ))),
    }
}

/// As [`check`], for a schema that the provider enforces: OpenAI's strict mode requires every property, and allows no
/// others, at every depth.
pub(crate) fn check_strict(field: &str, schema: &Map<String, Value>) -> Result<(), ValidationError> {
    check(field, schema)?;
    let mut changes = Vec::new();
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        changes.push("set type: object at the top".to_owned());
    }
    collect_changes("", schema, &mut changes);
    if changes.is_empty() {
        return Ok(());
    }
    let more = changes.len().saturating_sub(MAXIMUM_NAMED_CHANGES);
    changes.truncate(MAXIMUM_NAMED_CHANGES);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    Err(invalid(format!(
        "{field} is not strict: {}{more}; or set strict: false",
        changes.join(", ")
    )))
}

fn collect_changes(path: &str, schema: &Map<String, Value>, changes: &mut Vec<String>) {
    let location = if path.is_empty() { "at the top" } else { path };
    if describes_object(schema) {
        if schema.get("additionalProperties") != Some(&Value::Bool(false)) {
            changes.push(format!("set additionalProperties: false {}", at(location)));
        }
        let optional = optional_properties(schema);
        if !optional.is_empty() {
            changes.push(format!("add {} to required {}", optional.join(", "), at(location)));
        }
    }
    for keyword in SCHEMA_MAPS {
        let Some(Value::Object(children)) = schema.get(keyword) else {
            continue;
        };
        for (name, child) in children {
            descend(&format!("{path}/{keyword}/{name}"), child, changes);
        }
    }
    for keyword in SCHEMA_LISTS {
        let Some(Value::Array(children)) = schema.get(keyword) else {
            continue;
        };
        for (index, child) in children.iter().enumerate() {
            descend(&format!("{path}/{keyword}/{index}"), child, changes);
        }
    }
    if let Some(items) = schema.get("items") {
        descend(&format!("{path}/items"), items, changes);
    }
}

fn descend(path: &str, schema: &Value, changes: &mut Vec<String>) {
    if let Value::Object(schema) = schema {
        collect_changes(path, schema, changes);
    }
}

fn at(location: &str) -> String {
    if location.starts_with('/') {
        format!("at \"{location}\"")
    } else {
        location.to_owned()
    }
}

fn describes_object(schema: &Map<String, Value>) -> bool {
    let is_object = |value: &Value| value.as_str() == Some("object");
    match schema.get("type") {
        Some(Value::Array(types)) => types.iter().any(is_object),
        Some(one) => is_object(one),
        None => schema.contains_key("properties"),
    }
}

fn optional_properties(schema: &Map<String, Value>) -> Vec<&str> {
    let required: Vec<&str> = match schema.get("required") {
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    };
    let Some(Value::Object(properties)) = schema.get("properties") else {
        return vec![];
    };
    let names = properties.keys().map(String::as_str);
    names.filter(|name| !required.contains(name)).collect()
}

fn invalid(message: String) -> ValidationError {
    ValidationError::not_accepted(Reason::InvalidSchema, message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::needless_pass_by_value, reason = "tests")]
    use serde_json::json;

    use super::*;

    fn strict(schema: Value) -> Option<String> {
        check_strict("output.schema", schema.as_object().unwrap())
            .err()
            .map(|error| error.message)
    }

    #[test]
    fn a_strict_schema_requires_every_property_and_allows_no_other_at_every_depth() {
        let complete = json!({
            "type": "object", "additionalProperties": false, "required": ["a", "b", "c"],
            "properties": {
                "a": { "type": ["string", "null"] },
                "b": { "type": "array", "items": {
                    "type": "object", "additionalProperties": false, "required": [], "properties": {},
                } },
                "c": { "$ref": "#/$defs/c" },
            },
            "$defs": { "c": { "anyOf": [{ "type": "string" }, { "type": "null" }] } },
        });
        assert_eq!(strict(complete), None);
        let inner = json!({
            "type": "object", "additionalProperties": false, "required": ["b"],
            "properties": { "b": { "type": "array", "items": {
                "type": ["object", "null"], "properties": { "x": { "type": "number" }, "y": {} }, "required": ["y"],
            } } },
        });
        assert_eq!(
            strict(inner).unwrap(),
            "output.schema is not strict: set additionalProperties: false at \"/properties/b/items\", \
             add x to required at \"/properties/b/items\"; or set strict: false"
        );
    }

    #[test]
    fn the_root_of_a_strict_schema_is_an_object() {
        assert_eq!(
            strict(json!({ "type": "string" })).unwrap(),
            "output.schema is not strict: set type: object at the top; or set strict: false"
        );
    }

    #[test]
    fn only_the_first_changes_are_told_and_how_many_are_left() {
        let open = json!({ "type": "object", "properties": { "x": {} } });
        let schema = json!({ "type": "object", "properties": { "a": open, "b": open, "c": open } });
        let message = strict(schema).unwrap();
        assert!(message.contains("add a, b, c to required at the top"), "{message}");
        assert!(message.ends_with(" and 5 more; or set strict: false"), "{message}");
    }

    #[test]
    fn a_schema_out_of_bounds_is_reported_with_the_bound() {
        let levels = steadfast_bounds::json_schema::MAXIMUM_DEPTH;
        let deep = (0..levels).fold(json!({}), |inner, _| json!({ "not": inner }));
        let error = check("human.form", deep.as_object().unwrap()).unwrap_err();
        assert_eq!(
            (error.reason, error.message.as_str()),
            (
                Reason::InvalidSchema,
                "human.form cannot be used: its parts are nested deeper than 48 levels"
            )
        );
    }

    #[test]
    fn an_invalid_schema_is_reported_with_the_path_of_the_fault() {
        let schema = json!({ "type": "object", "properties": { "city": { "type": "text" } } });
        let error = check("human.form", schema.as_object().unwrap()).unwrap_err();
        assert_eq!(error.reason, Reason::InvalidSchema);
        assert!(
            error
                .message
                .starts_with("human.form is not a JSON Schema: at \"/properties/city/type\""),
            "{}",
            error.message
        );
    }
}
