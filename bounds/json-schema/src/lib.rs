//! Validates JSON against schemas of users: parameters of tools, schemas of answers,
//! forms for people, schemas of MCP servers. A schema is checked against its bounds
//! before the library sees it, and only the first error is told.
//!
//! Pure and blocking. What the library does for one value is bounded; a caller that
//! serves others still gives it a thread and a deadline.

#![warn(missing_docs)]

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;
use steadfast_bounds::{
    OutOfBounds,
    json_schema::{Cost, compile_with},
};

/// Most steps of a regular expression that goes back and forth, for one text.
const MAXIMUM_BACKTRACKS: usize = 10_000;
/// Largest regular expression, compiled.
const MAXIMUM_REGEX_BYTES: usize = 1024 * 1024;
/// Most schemas times values for which the error is looked for: the library collects the errors of all alternatives.
const EXPLAINED_WORK: u64 = 500_000;
/// Longest message about a value: it may quote the value.
const MAXIMUM_MESSAGE_BYTES: usize = 300;

/// Why a schema cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// It is too large, too deep or has a construct that is not allowed.
    #[error(transparent)]
    OutOfBounds(#[from] OutOfBounds),
    /// It is no JSON Schema.
    #[error("at \"{path}\": {message}")]
    Invalid {
        /// Where the fault is.
        path: String,
        /// What the fault is.
        message: String,
    },
}

/// A schema that can validate values.
#[derive(Debug)]
pub struct CompiledSchema {
    validator: Validator,
    cost: Cost,
}

impl CompiledSchema {
    /// Checks and compiles a schema.
    pub fn compile(schema: &Value) -> Result<Self, SchemaError> {
        compile_with(schema, |schema, cost| -> Result<Self, SchemaError> {
            jsonschema::meta::validate(schema).map_err(|error| invalid(&error))?;
            let patterns = PatternOptions::fancy_regex()
                .backtrack_limit(MAXIMUM_BACKTRACKS)
                .size_limit(MAXIMUM_REGEX_BYTES)
                .dfa_size_limit(MAXIMUM_REGEX_BYTES);
            let validator = jsonschema::options()
                .with_pattern_options(patterns)
                .build(schema)
                .map_err(|error| invalid(&error))?;
            Ok(Self { validator, cost })
        })?
    }

    /// The first error of a value, with the path of the part that is wrong; `None` if the value fits the schema.
    pub fn first_error(&self, value: &Value) -> Option<String> {
        if self.validator.is_valid(value) {
            return None;
        }
        if self.cost.for_value(value) > EXPLAINED_WORK {
            return Some("it is too large to say where it is wrong".to_owned());
        }
        let error = self.validator.validate(value).err()?;
        let mut message = match error.instance_path().to_string() {
            path if path.is_empty() => error.to_string(),
            path => format!("{path}: {error}"),
        };
        message.truncate(message.floor_char_boundary(MAXIMUM_MESSAGE_BYTES));
        Some(message)
    }
}

fn invalid(error: &jsonschema::ValidationError<'_>) -> SchemaError {
    let mut message = error.to_string();
    message.truncate(message.floor_char_boundary(MAXIMUM_MESSAGE_BYTES));
    SchemaError::Invalid {
        path: error.instance_path().to_string(),
        message,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::needless_pass_by_value, reason = "tests")]
    use serde_json::json;

    use super::*;

    fn refused(schema: Value) -> String {
        CompiledSchema::compile(&schema).unwrap_err().to_string()
    }

    fn error(schema: Value, value: Value) -> Option<String> {
        CompiledSchema::compile(&schema).unwrap().first_error(&value)
    }

    #[test]
    fn only_the_first_error_is_told() {
        let schema = json!({ "required": ["a", "b"], "properties": { "n": { "type": "integer" } } });
        assert_eq!(error(schema.clone(), json!({ "a": 1, "b": 2, "n": 3 })), None);
        assert_eq!(
            error(schema.clone(), json!({ "a": 1, "b": 2, "n": "three" })).unwrap(),
            "/n: \"three\" is not of type \"integer\""
        );
        assert_eq!(error(schema, json!({})).unwrap(), "\"a\" is a required property");
    }

    #[test]
    fn a_long_value_is_not_quoted_whole() {
        assert!(
            error(json!({ "type": "integer" }), json!("x".repeat(1_000)))
                .unwrap()
                .len()
                <= MAXIMUM_MESSAGE_BYTES
        );
    }

    #[test]
    fn the_error_of_a_large_value_is_not_looked_for() {
        let schema = json!({ "items": { "anyOf": [{ "type": "integer" }, { "type": "null" }] } });
        let mut items = vec![json!(1); 200_000];
        items.push(json!("x"));
        assert_eq!(
            error(schema, json!(items)).unwrap(),
            "it is too large to say where it is wrong"
        );
    }

    #[test]
    fn a_schema_out_of_bounds_is_refused_before_it_is_compiled() {
        assert_eq!(
            refused(json!({ "$ref": "https://example.com/schema.json" })),
            "the reference \"https://example.com/schema.json\" is not allowed; \
             a reference is a path within the schema, such as #/$defs/name"
        );
    }

    #[test]
    fn what_is_no_schema_is_reported_with_its_path() {
        assert!(
            refused(json!({ "properties": { "city": { "type": "text" } } }))
                .starts_with("at \"/properties/city/type\": ")
        );
    }

    #[test]
    fn a_tree_is_validated() {
        let tree = json!({
            "type": "object", "required": ["name"],
            "properties": { "name": { "type": "string" }, "children": { "items": { "$ref": "#" } } },
        });
        let leaf = json!({ "name": "leaf" });
        assert_eq!(
            error(tree.clone(), json!({ "name": "root", "children": [leaf, leaf] })),
            None
        );
        assert_eq!(
            error(tree, json!({ "name": "root", "children": [leaf, {}] })).unwrap(),
            "/children/1: \"name\" is a required property"
        );
    }
}
