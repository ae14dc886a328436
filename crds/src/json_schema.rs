//! The JSON Schema (draft 7) of the resources that people write, for editors and
//! for checks without a cluster. Made from the schemas of the definitions, and
//! stricter: a field that the API server would drop is an error.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value, json};

use crate::{GROUP, VERSION, user_definitions};

/// The schema of any manifest. Objects of other kinds fit it whatever they contain.
#[must_use]
pub fn manifest_schema() -> Value {
    let mut definitions = Map::new();
    let mut branches = Vec::new();
    for definition in user_definitions() {
        let kind = &definition.spec.names.kind;
        branches.push(json!({
            "if": {
                "required": ["apiVersion", "kind"],
                "properties": { "apiVersion": { "const": api_version() }, "kind": { "const": kind } },
            },
            "then": { "$ref": format!("#/definitions/{kind}") },
        }));
        definitions.insert(kind.clone(), resource_schema(&definition));
    }
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Resources of Steadfast",
        "type": "object",
        "required": ["apiVersion", "kind"],
        "allOf": branches,
        "definitions": definitions,
    })
}

/// The schema of the objects of one definition.
#[must_use]
pub fn resource_schema(definition: &CustomResourceDefinition) -> Value {
    let mut schema = structural_schema(definition);
    strict(&mut schema);
    if let Some(properties) = schema["properties"].as_object_mut() {
        properties.insert("apiVersion".to_owned(), json!({ "const": api_version() }));
        properties.insert("kind".to_owned(), json!({ "const": definition.spec.names.kind }));
        properties.insert("metadata".to_owned(), json!({ "type": "object" }));
        // Written by the operator; `kubectl get -o yaml` prints it.
        properties.insert("status".to_owned(), json!({ "type": "object" }));
    }
    schema["required"] = json!(["apiVersion", "kind", "metadata", "spec"]);
    schema
}

/// The schema of a definition as the API server has it.
#[must_use]
pub fn structural_schema(definition: &CustomResourceDefinition) -> Value {
    let version = definition.spec.versions.first();
    let schema = version.and_then(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref());
    schema
        .and_then(|schema| serde_json::to_value(schema).ok())
        .unwrap_or_else(|| json!({}))
}

fn api_version() -> String {
    format!("{GROUP}/{VERSION}")
}

/// Turns a structural schema of Kubernetes into JSON Schema that refuses unknown fields.
fn strict(schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else {
        return;
    };
    if schema.remove("x-kubernetes-int-or-string") == Some(Value::Bool(true)) {
        schema.insert("type".to_owned(), json!(["integer", "string"]));
    }
    let open = schema.remove("x-kubernetes-preserve-unknown-fields") == Some(Value::Bool(true));
    if schema.remove("nullable") == Some(Value::Bool(true)) {
        allow_null(schema);
    }
    schema.retain(|keyword, _| !keyword.starts_with("x-kubernetes-"));
    if schema.contains_key("properties") && !schema.contains_key("additionalProperties") && !open {
        schema.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.values_mut().for_each(strict);
    }
    for keyword in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get_mut(keyword) {
            strict(inner);
        }
    }
}

fn allow_null(schema: &mut Map<String, Value>) {
    if let Some(kind @ Value::String(_)) = schema.get_mut("type") {
        *kind = json!([kind.clone(), "null"]);
    }
    if let Some(Value::Array(choices)) = schema.get_mut("enum")
        && !choices.contains(&Value::Null)
    {
        choices.push(Value::Null);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strictly(mut schema: Value) -> Value {
        strict(&mut schema);
        schema
    }

    #[test]
    fn an_object_refuses_unknown_fields_unless_the_api_server_keeps_them() {
        assert_eq!(
            strictly(json!({ "properties": { "a": { "properties": {} } } })),
            json!({
                "properties": { "a": { "properties": {}, "additionalProperties": false } },
                "additionalProperties": false,
            })
        );
        assert_eq!(
            strictly(json!({ "properties": {}, "x-kubernetes-preserve-unknown-fields": true })),
            json!({ "properties": {} })
        );
        assert_eq!(
            strictly(json!({ "additionalProperties": { "x-kubernetes-int-or-string": true } })),
            json!({ "additionalProperties": { "type": ["integer", "string"] } })
        );
    }

    #[test]
    fn a_nullable_field_takes_null() {
        assert_eq!(
            strictly(json!({ "items": { "type": "string", "enum": ["A"], "nullable": true } })),
            json!({ "items": { "type": ["string", "null"], "enum": ["A", null] } })
        );
    }

    #[test]
    fn the_schema_has_nothing_that_only_kubernetes_knows() {
        let text = manifest_schema().to_string();
        assert!(!text.contains("x-kubernetes-") && !text.contains("\"nullable\""));
    }
}
