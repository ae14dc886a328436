use serde_json::json;

use super::*;

/// Fails the test when the schema is compiled.
#[allow(clippy::needless_pass_by_value, reason = "tests")]
fn refused(schema: Value) -> String {
    compile_with(&schema, |schema, _| panic!("compiled: {schema}"))
        .unwrap_err()
        .to_string()
}

#[allow(clippy::needless_pass_by_value, reason = "tests")]
fn cost(schema: Value) -> u64 {
    compile_with(&schema, |_, cost| cost.0).unwrap_or_else(|error| panic!("{error}: {schema}"))
}

/// `$defs` in which each schema refers to the next one `times` over, down to a text.
fn chain(length: usize, times: usize) -> Value {
    let mut definitions = Map::new();
    for index in 0..length {
        let next = json!({ "$ref": format!("#/$defs/d{}", index + 1) });
        definitions.insert(format!("d{index}"), json!({ "allOf": vec![next; times] }));
    }
    definitions.insert(format!("d{length}"), json!({ "type": "string" }));
    json!({ "$ref": "#/$defs/d0", "$defs": definitions })
}

#[test]
fn the_schemas_of_a_schema_are_counted() {
    assert_eq!(cost(json!(true)), 1);
    assert_eq!(cost(json!({})), 1);
    let form = json!({
        "type": "object",
        "properties": { "size": { "type": "integer" }, "$ref": { "enum": [{ "$ref": "#/nowhere" }] } },
        "required": ["size"], "additionalProperties": false,
    });
    assert_eq!(cost(form), 4);
    // The root, then a reference, and what it refers to.
    assert_eq!(
        cost(json!({ "$defs": { "c": {} }, "properties": { "c": { "$ref": "#/$defs/c" } } })),
        3
    );
}

#[test]
fn the_work_for_a_value_is_that_of_all_its_parts() {
    let schema = json!({ "items": { "type": "integer" } });
    assert_eq!(check(&schema).unwrap().for_value(&json!([1, 2, { "a": 3 }])), 2 * 5);
}

#[test]
fn a_schema_is_as_large_and_as_deep_as_the_limits() {
    let deep = |depth: usize| (1..depth).fold(json!({}), |inner, _| json!({ "not": inner }));
    cost(deep(MAXIMUM_DEPTH));
    assert_eq!(
        refused(deep(MAXIMUM_DEPTH + 1)),
        "its parts are nested deeper than 48 levels"
    );
    let large = |bytes: usize| json!({ "title": "x".repeat(bytes - "{'title':''}".len()) });
    cost(large(MAXIMUM_BYTES));
    assert_eq!(
        refused(large(MAXIMUM_BYTES + 1)),
        "it is 65537 bytes long; the limit is 65536 bytes"
    );
    let many = |count: usize| json!({ "anyOf": vec![true; count - 1] });
    cost(many(MAXIMUM_SCHEMAS));
    assert_eq!(refused(many(MAXIMUM_SCHEMAS + 1)), "it has more than 1024 schemas");
    cost(json!({ "pattern": "x".repeat(MAXIMUM_PATTERN_BYTES) }));
    refused(json!({ "pattern": "x".repeat(MAXIMUM_PATTERN_BYTES + 1) }));
    refused(json!({ "patternProperties": { "x".repeat(MAXIMUM_PATTERN_BYTES + 1): {} } }));
}

#[test]
fn references_are_counted_with_what_they_refer_to() {
    assert!(cost(chain(100, 1)) < 400);
    assert!(cost(chain(5, 3)) < 2_000);
    assert_eq!(
        refused(chain(7, 3)),
        "it has more than 4096 schemas when its references are replaced by what they refer to"
    );
}

#[test]
fn trees_may_refer_to_themselves() {
    let tree = json!({
        "type": "object",
        "properties": { "name": { "type": "string" }, "children": { "type": "array", "items": { "$ref": "#" } } },
    });
    cost(tree);
    // Any JSON, an expression of a filter, a list.
    cost(json!({ "anyOf": [
        { "type": "array", "items": { "$ref": "#" } },
        { "type": "object", "additionalProperties": { "$ref": "#" } },
        { "type": ["string", "number", "boolean", "null"] },
    ] }));
    cost(json!({ "$ref": "#/$defs/filter", "$defs": { "filter": { "anyOf": [
        { "properties": { "and": { "items": { "$ref": "#/$defs/filter" } } } },
        { "properties": { "not": { "$ref": "#/$defs/filter" } } },
        { "properties": { "field": { "type": "string" } } },
    ] } } }));
    cost(json!({ "properties": { "next": { "anyOf": [{ "$ref": "#" }, { "type": "null" }] } } }));
}

#[test]
fn a_schema_applies_itself_once_to_each_part() {
    let twice = "a schema that refers to itself more than once for the same part of a value is not allowed; \
                 refer to another schema, or describe the value as any object";
    let next = json!({ "$ref": "#" });
    for schema in [
        json!({ "properties": { "next": next }, "additionalProperties": next, "patternProperties": { "n": next } }),
        json!({ "items": { "allOf": [next, next] } }),
        json!({ "items": next, "contains": next }),
    ] {
        assert_eq!(refused(schema), twice);
    }
    assert_eq!(
        refused(json!({ "allOf": [next] })),
        "a schema that refers to itself for the same value is not allowed; \
         refer to another schema, or describe the value as any object"
    );
    refused(json!({ "properties": { "next": next }, "unevaluatedProperties": false }));
}

#[test]
fn a_reference_is_a_path_within_the_schema() {
    for reference in ["other.json", "https://example.com/schema", "#name", "#/%24defs/c"] {
        let message = refused(json!({ "$ref": reference }));
        assert!(
            message.starts_with(&format!("the reference {reference:?} is not allowed")),
            "{message}"
        );
    }
    assert_eq!(
        refused(json!({ "$ref": "#/nowhere" })),
        "the reference \"#/nowhere\" leads nowhere"
    );
    refused(json!({ "$dynamicRef": "#node" }));
    refused(json!({ "items": { "$id": "https://example.com/item" } }));
    cost(json!({ "$id": "https://example.com/root", "$schema": "https://json-schema.org/draft/2020-12/schema" }));
}
