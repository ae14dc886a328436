//! What a JSON Schema in a resource must be: one that compiles without looking
//! anything up, and, where a provider enforces it, one that its strict mode takes.
//! Pure; nothing is fetched.

use serde_json::{Map, Value};
use steadfast_crds::conditions::Reason;

use crate::defect::Defect;

/// Keywords that hold schemas by name.
const NAMED: [&str; 3] = ["properties", "$defs", "definitions"];
/// Keywords that hold a list of schemas.
const LISTED: [&str; 4] = ["anyOf", "oneOf", "allOf", "prefixItems"];
/// Demands that are told at once; a message has no room for more.
const TOLD_DEMANDS: usize = 3;

/// Whether `schema` is a usable JSON Schema; `field` is told to the user.
pub fn check(field: &str, schema: &Map<String, Value>) -> Result<(), Defect> {
    let schema = Value::Object(schema.clone());
    jsonschema::meta::validate(&schema).map_err(|error| {
        invalid(format!(
            "{field} is not a JSON Schema: at \"{}\": {error}",
            error.instance_path()
        ))
    })?;
    jsonschema::validator_for(&schema)
        .map(|_| ())
        .map_err(|error| invalid(format!("{field} is not a usable JSON Schema: {error}")))
}

/// The same for a schema of named arguments.
pub fn check_object(field: &str, schema: &Map<String, Value>) -> Result<(), Defect> {
    match schema.get("type").and_then(Value::as_str) {
        None | Some("object") => check(field, schema),
        Some(other) => Err(invalid(format!(
            "{field} must describe an object: type is {other:?}, not \"object\""
        ))),
    }
}

/// The same for a schema that a provider enforces: OpenAI's strict mode wants every property required and no
/// others allowed, at every depth.
pub fn check_strict(field: &str, schema: &Map<String, Value>) -> Result<(), Defect> {
    check(field, schema)?;
    let mut demands = Vec::new();
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        demands.push("set type: object at the top".to_owned());
    }
    collect_demands("", schema, &mut demands);
    if demands.is_empty() {
        return Ok(());
    }
    let more = demands.len().saturating_sub(TOLD_DEMANDS);
    demands.truncate(TOLD_DEMANDS);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    Err(invalid(format!(
        "{field} is not strict: {}{more}; or set strict: false",
        demands.join(", ")
    )))
}

fn collect_demands(path: &str, schema: &Map<String, Value>, demands: &mut Vec<String>) {
    let place = if path.is_empty() { "at the top" } else { path };
    if describes_object(schema) {
        if schema.get("additionalProperties") != Some(&Value::Bool(false)) {
            demands.push(format!("set additionalProperties: false {}", at(place)));
        }
        let optional = optional_properties(schema);
        if !optional.is_empty() {
            demands.push(format!("add {} to required {}", optional.join(", "), at(place)));
        }
    }
    for keyword in NAMED {
        let Some(Value::Object(children)) = schema.get(keyword) else {
            continue;
        };
        for (name, child) in children {
            descend(&format!("{path}/{keyword}/{name}"), child, demands);
        }
    }
    for keyword in LISTED {
        let Some(Value::Array(children)) = schema.get(keyword) else {
            continue;
        };
        for (index, child) in children.iter().enumerate() {
            descend(&format!("{path}/{keyword}/{index}"), child, demands);
        }
    }
    if let Some(items) = schema.get("items") {
        descend(&format!("{path}/items"), items, demands);
    }
}

fn descend(path: &str, schema: &Value, demands: &mut Vec<String>) {
    if let Value::Object(schema) = schema {
        collect_demands(path, schema, demands);
    }
}

fn at(place: &str) -> String {
    if place.starts_with('/') {
        format!("at \"{place}\"")
    } else {
        place.to_owned()
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

fn invalid(message: String) -> Defect {
    Defect {
        reason: Reason::InvalidSchema,
        message,
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::needless_pass_by_value,
        reason = "tests"
    )]
    use serde_json::json;

    use super::*;

    fn strict(schema: Value) -> Option<String> {
        check_strict("output.schema", schema.as_object().unwrap())
            .err()
            .map(|defect| defect.message)
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
    fn the_top_of_a_strict_schema_is_an_object() {
        assert_eq!(
            strict(json!({ "type": "string" })).unwrap(),
            "output.schema is not strict: set type: object at the top; or set strict: false"
        );
    }

    #[test]
    fn only_the_first_demands_are_told_and_how_many_are_left() {
        let open = json!({ "type": "object", "properties": { "x": {} } });
        let schema = json!({ "type": "object", "properties": { "a": open, "b": open, "c": open } });
        let message = strict(schema).unwrap();
        assert!(message.contains("add a, b, c to required at the top"), "{message}");
        assert!(message.ends_with(" and 5 more; or set strict: false"), "{message}");
    }

    #[test]
    fn what_is_no_schema_is_told_with_its_place() {
        let schema = json!({ "type": "object", "properties": { "city": { "type": "text" } } });
        let defect = check("human.form", schema.as_object().unwrap()).unwrap_err();
        assert_eq!(defect.reason, Reason::InvalidSchema);
        assert!(
            defect
                .message
                .starts_with("human.form is not a JSON Schema: at \"/properties/city/type\""),
            "{}",
            defect.message
        );
    }
}
