#![allow(clippy::needless_pass_by_value, reason = "tests")]

use super::*;

fn made(schema: Value) -> Value {
    Value::Object(for_models(&schema).unwrap().schema)
}

/// The schema of the parameter `p`.
fn parameter(schema: Value) -> Value {
    made(json!({"type": "object", "properties": {"p": schema}}))["properties"]["p"].clone()
}

#[test]
fn a_schema_that_every_model_api_takes_stays_as_it_is() {
    let schema = json!({
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "Where.", "enum": ["Bonn", "Ulm"]},
            "days": {"type": "integer", "minimum": 1, "maximum": 9, "default": 3},
            "units": {"type": "array", "items": {"type": "string"}, "minItems": 1},
            "at": {"type": "object", "properties": {"lat": {"type": "number"}}, "required": ["lat"]},
        },
        "required": ["city"],
    });
    assert_eq!(made(schema.clone()), schema);
}

#[test]
fn a_missing_schema_and_a_missing_type_are_no_parameters_and_an_object() {
    let none = json!({"type": "object", "properties": {}});
    for schema in [json!(null), json!(true), json!({}), json!({"type": "object"})] {
        assert_eq!(made(schema.clone()), none, "{schema}");
    }
    // PHP writes an empty object as a list.
    assert_eq!(
        made(json!({"type": "object", "properties": [], "required": null})),
        none
    );
    assert_eq!(made(json!({"type": ["object", "null"], "properties": {}})), none);
    assert!(for_models(&json!("any")).is_err());
    assert!(for_models(&json!({"type": "string"})).is_err());
}

#[test]
fn alternatives_at_the_top_become_one_object_with_all_their_parameters() {
    for keyword in ["anyOf", "oneOf"] {
        let made = for_models(&json!({
            "type": "object",
            "properties": {"project": {"type": "string"}},
            "required": ["project"],
            keyword: [
                {"properties": {"paths": {"type": "string"}}, "required": ["paths"]},
                {"properties": {"scopes": {"type": "string"}}, "required": ["scopes"]},
            ],
        }))
        .unwrap();
        assert_eq!(
            json!(made.schema),
            json!({
                "type": "object",
                "properties": {
                    "project": {"type": "string"}, "paths": {"type": "string"}, "scopes": {"type": "string"},
                },
                "required": ["project"],
            })
        );
        assert_eq!(
            made.notes,
            ["Give one of these groups of parameters: (paths) or (scopes)."]
        );
    }
    let all = made(json!({"allOf": [
        {"properties": {"a": {"type": "string"}}, "required": ["a"]},
        {"properties": {"b": {"type": "string"}}, "required": ["b"]},
    ]}));
    assert_eq!(all["required"], json!(["a", "b"]));
    let kinds = made(json!({"type": "object", "oneOf": [
        {"properties": {"kind": {"const": "x"}}, "required": ["kind"]},
        {"properties": {"kind": {"const": "y"}}, "required": ["kind"]},
    ]}));
    assert_eq!(kinds["required"], json!(["kind"]));
    assert_eq!(
        kinds["properties"]["kind"],
        json!({"anyOf": [{"type": "string", "enum": ["x"]}, {"type": "string", "enum": ["y"]}]})
    );
    for keyword in [
        "enum",
        "const",
        "not",
        "if",
        "then",
        "else",
        "dependentRequired",
        "$schema",
        "$id",
    ] {
        let schema = made(json!({"type": "object", "properties": {}, keyword: {"a": 1}}));
        assert_eq!(schema.get(keyword), None, "{keyword}");
    }
}

#[test]
fn references_are_replaced_by_what_they_refer_to() {
    let schema = made(json!({
        "type": "object",
        "properties": {
            "to": {"$ref": "#/$defs/Address", "description": "Whom."},
            "via": {"type": "array", "items": {"$ref": "#/definitions/a~1b"}},
            "again": {"$ref": "#/properties/via"},
        },
        "$defs": {"Address": {"type": "object", "properties": {"city": {"type": "string"}}}},
        "definitions": {"a/b": {"type": "integer"}},
    }));
    let list = json!({"type": "array", "items": {"type": "integer"}});
    assert_eq!(
        schema["properties"],
        json!({
            "to": {"type": "object", "properties": {"city": {"type": "string"}}, "description": "Whom."},
            "via": list, "again": list,
        })
    );
    assert!(schema.get("$defs").is_none() && schema.get("definitions").is_none());
}

#[test]
fn a_reference_to_a_part_that_contains_it_ends() {
    let tree = made(json!({
        "type": "object",
        "properties": {"tree": {"$ref": "#/$defs/Node"}, "whole": {"$ref": "#"}},
        "$defs": {"Node": {"type": "object", "properties": {
            "name": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
        }}},
    }));
    assert_eq!(tree["properties"]["tree"]["properties"]["name"]["type"], "string");
    let inner = &tree["properties"]["tree"]["properties"]["children"]["items"];
    assert!(inner["anyOf"].is_array(), "{inner}");
    let missing = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/gone"}}});
    assert!(for_models(&missing).unwrap_err().contains("does not contain"));
    let outside = json!({"type": "object", "properties": {"a": {"$ref": "https://example.com/a.json"}}});
    assert!(for_models(&outside).is_err());
}

#[test]
fn references_that_multiply_are_refused() {
    let mut definitions = Map::new();
    for level in 0..14 {
        let next = json!({"$ref": format!("#/$defs/d{}", level + 1)});
        definitions.insert(
            format!("d{level}"),
            json!({"type": "object", "properties": {"a": next, "b": next}}),
        );
    }
    definitions.insert("d14".to_owned(), json!({"type": "string"}));
    let schema = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": definitions});
    assert!(for_models(&schema).unwrap_err().contains("too large"));
}

#[test]
fn a_parameter_of_any_type_and_a_list_without_items_say_what_they_take() {
    for schema in [
        json!(true),
        json!(false),
        json!({}),
        json!({"description": "Any."}),
        json!({"type": "any"}),
    ] {
        let kinds = parameter(schema.clone());
        let kinds: Vec<&str> = kinds["anyOf"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|kind| kind["type"].as_str())
            .collect();
        assert_eq!(
            kinds,
            ["string", "number", "boolean", "object", "array", "null"],
            "{schema}"
        );
    }
    for schema in [
        json!({"type": "array"}),
        json!({"type": "list", "items": {}}),
        json!({"minItems": 1}),
    ] {
        let list = parameter(schema.clone());
        assert_eq!(list["type"], "array", "{schema}");
        assert!(list["items"]["anyOf"].is_array(), "{schema}: {list}");
    }
    let tuple = json!({"anyOf": [{"type": "string"}, {"type": "integer"}]});
    assert_eq!(
        parameter(json!({"type": "array", "items": [{"type": "string"}, {"type": "integer"}]}))["items"],
        tuple
    );
    assert_eq!(
        parameter(json!({"prefixItems": [{"type": "string"}, {"type": "integer"}]}))["items"],
        tuple
    );
}

#[test]
fn several_types_become_alternatives() {
    let schema = parameter(json!({"type": ["object", "null"], "properties": {"a": {"type": "str"}}}));
    assert_eq!(
        schema,
        json!({"anyOf": [{"type": "object", "properties": {"a": {"type": "string"}}}, {"type": "null"}]})
    );
    let optional = json!({
        "anyOf": [{"type": "string"}, {"type": "null"}], "default": null, "title": "Name", "description": "Who.",
    });
    assert_eq!(
        parameter(optional),
        json!({"anyOf": [{"type": "string", "description": "Who."}, {"type": "null"}]})
    );
}

#[test]
fn what_only_some_model_apis_take_is_said_in_words() {
    assert_eq!(
        parameter(json!({"type": "string", "format": "uri", "description": "Where."})),
        json!({"type": "string", "description": "Where. Format: uri."})
    );
    assert_eq!(
        parameter(json!({"enum": [1, 2, 2]})),
        json!({"type": "integer", "description": "One of [1,2]."})
    );
    assert_eq!(
        parameter(json!({"type": "integer", "exclusiveMinimum": 0, "multipleOf": 5})),
        json!({"type": "integer", "description": "More than 0. A multiple of 5."})
    );
    // Draft 4.
    assert_eq!(
        parameter(json!({"type": "number", "minimum": 0, "exclusiveMinimum": true})),
        json!({"type": "number", "minimum": 0})
    );
    assert_eq!(
        parameter(json!({"type": "object", "additionalProperties": {"type": "string"}})),
        json!({"type": "object", "description": "Any other members, each with a value of {\"type\":\"string\"}."})
    );
    assert_eq!(
        parameter(json!({"type": "object", "additionalProperties": false, "required": ["gone"], "x-own": 1})),
        json!({"type": "object"})
    );
}

#[test]
fn names_of_parameters_that_a_model_api_refuses_are_replaced() {
    let long = "x".repeat(70);
    let made = for_models(&json!({
        "type": "object",
        "properties": {
            "$top": {"type": "integer"}, "_top": {"type": "string"}, "a b": {"type": "string"}, &long: {"type": "string"},
            "Größe": {"type": "number"},
        },
        "required": ["$top", "_top"],
    }))
    .unwrap();
    let properties = made.schema["properties"].as_object().unwrap();
    assert!(properties.keys().all(|name| is_usable(name)), "{properties:?}");
    assert_eq!(properties.len(), 5);
    assert_eq!(made.renamed["_top_2"], "$top");
    assert_eq!(made.renamed["a_b"], "a b");
    assert!(made.renamed.values().any(|name| *name == long));
    let mut required: Vec<&str> = made.schema["required"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    required.sort_unstable();
    assert_eq!(required, ["_top", "_top_2"]);
}

#[test]
fn what_is_nested_too_deep_is_any_object() {
    let mut schema = json!({"type": "string"});
    for _ in 0..20 {
        schema = json!({"type": "object", "properties": {"inner": schema}});
    }
    let made = made(schema);
    let mut depth = 0;
    let mut part = &made;
    while let Some(inner) = part.get("properties").and_then(|properties| properties.get("inner")) {
        depth += 1;
        part = inner;
    }
    assert_eq!(depth, 8);
    assert_eq!(part["description"], "An object with the members [\"inner\"].");
}
