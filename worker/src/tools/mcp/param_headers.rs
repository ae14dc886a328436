//! Headers that repeat arguments of a call (`x-mcp-header` of protocol 2026-07-28), so
//! that proxies can route by them. A server refuses a call without them. Pure.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

const ANNOTATION: &str = "x-mcp-header";
const PREFIX: &str = "mcp-param-";
const ENCODED_START: &str = "=?base64?";
const ENCODED_END: &str = "?=";

/// One argument that a header repeats.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamHeader {
    /// Names of members, from the arguments to the value.
    path: Vec<String>,
    /// Name of the header, without the prefix of the protocol.
    header: String,
}

/// Takes the annotations out of a schema: they are not for the model. An error if a server would refuse every call.
pub(super) fn take(schema: &mut Map<String, Value>) -> Result<Vec<ParamHeader>, String> {
    if schema.contains_key(ANNOTATION) {
        return Err(format!("{ANNOTATION} is on no parameter"));
    }
    let mut found = Vec::new();
    take_from(schema, &mut Vec::new(), &mut found)?;
    if has_annotation(schema) {
        return Err(format!(
            "{ANNOTATION} is on a part that has no fixed place in the arguments"
        ));
    }
    for (index, one) in found.iter().enumerate() {
        let is_same = |other: &ParamHeader| other.header.eq_ignore_ascii_case(&one.header);
        if found[..index].iter().any(is_same) {
            return Err(format!("two parameters have the {ANNOTATION} {:?}", one.header));
        }
    }
    Ok(found)
}

fn take_from(
    schema: &mut Map<String, Value>,
    path: &mut Vec<String>,
    found: &mut Vec<ParamHeader>,
) -> Result<(), String> {
    let Some(Value::Object(properties)) = schema.get_mut("properties") else {
        return Ok(());
    };
    for (name, property) in properties {
        let Value::Object(property) = property else { continue };
        path.push(name.clone());
        if let Some(annotation) = property.remove(ANNOTATION) {
            let kind = property.get("type").and_then(Value::as_str);
            let header = annotation.as_str().unwrap_or_default();
            if !matches!(kind, Some("string" | "integer" | "boolean")) {
                return Err(format!(
                    "{ANNOTATION} is on {name:?}, which is no text, integer or boolean"
                ));
            }
            if HeaderName::from_bytes(format!("{PREFIX}{header}").as_bytes()).is_err() || header.is_empty() {
                return Err(format!("the {ANNOTATION} of {name:?} is no name of a header"));
            }
            found.push(ParamHeader {
                path: path.clone(),
                header: header.to_owned(),
            });
        }
        take_from(property, path, found)?;
        path.pop();
    }
    Ok(())
}

fn has_annotation(schema: &Map<String, Value>) -> bool {
    schema.iter().any(|(key, value)| match key.as_str() {
        ANNOTATION => true,
        "default" | "const" | "enum" | "examples" => false,
        _ => match value {
            Value::Object(part) => has_annotation(part),
            Value::Array(parts) => parts.iter().filter_map(Value::as_object).any(has_annotation),
            _ => false,
        },
    })
}

/// The headers of a call with these arguments.
pub(super) fn of_call(headers: &[ParamHeader], arguments: &Map<String, Value>) -> HeaderMap {
    let mut map = HeaderMap::new();
    for ParamHeader { path, header } in headers {
        let mut names = path.iter();
        let first = names.next().and_then(|name| arguments.get(name));
        let text = match names.fold(first, |value, name| value?.get(name)) {
            Some(Value::String(text)) => text.clone(),
            Some(value @ (Value::Bool(_) | Value::Number(_))) => value.to_string(),
            _ => continue,
        };
        let name = HeaderName::from_bytes(format!("{PREFIX}{header}").as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(&encoded(&text))) {
            map.insert(name, value);
        }
    }
    map
}

/// A text as the value of a header: what a header cannot hold as it is travels as base64.
pub(super) fn encoded(text: &str) -> String {
    let is_plain = text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) && text == text.trim_matches(' ');
    let looks_encoded = text.starts_with(ENCODED_START) && text.ends_with(ENCODED_END);
    if is_plain && !looks_encoded {
        text.to_owned()
    } else {
        format!("{ENCODED_START}{}{ENCODED_END}", BASE64_STANDARD.encode(text))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn taken(schema: Value) -> Result<(Vec<ParamHeader>, Value), String> {
        let mut schema: Map<String, Value> = serde_json::from_value(schema).unwrap();
        take(&mut schema).map(|found| (found, Value::Object(schema)))
    }

    #[test]
    fn annotated_arguments_become_headers_and_the_model_does_not_see_the_annotation() {
        let (found, schema) = taken(json!({"type": "object", "properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "to": {"type": "object", "properties": {"shard": {"type": "integer", "x-mcp-header": "Shard"}}},
        }}))
        .unwrap();
        assert!(!schema.to_string().contains("x-mcp-header"), "{schema}");
        let arguments: Map<String, Value> =
            serde_json::from_value(json!({"region": "Köln", "to": {"shard": 7}})).unwrap();
        let headers = of_call(&found, &arguments);
        assert_eq!(headers["mcp-param-region"], "=?base64?S8O2bG4=?=");
        assert_eq!(headers["mcp-param-shard"], "7");
        assert!(of_call(&found, &Map::new()).is_empty());
    }

    #[test]
    fn annotations_that_no_call_can_satisfy_are_reported() {
        for schema in [
            json!({"x-mcp-header": "A"}),
            json!({"properties": {"a": {"type": "number", "x-mcp-header": "A"}}}),
            json!({"properties": {"a": {"type": "string", "x-mcp-header": "A b"}}}),
            json!({"properties": {"a": {"type": "string", "x-mcp-header": ""}}}),
            json!({"properties": {"a": {"type": "array", "items": {"type": "string", "x-mcp-header": "A"}}}}),
            json!({"properties": {
                "a": {"type": "string", "x-mcp-header": "A"}, "b": {"type": "string", "x-mcp-header": "a"}}}),
        ] {
            assert!(taken(schema.clone()).is_err(), "{schema}");
        }
    }
}
