//! What an AgentTool must be beyond what admission checks: a schema that
//! compiles and templates that parse. Pure; nothing is fetched or called.

use std::collections::BTreeSet;

use minijinja::Environment;
use serde_json::Value;
use steadfast_crds::{
    agent_tool::{AgentToolSpec, ToolKind},
    conditions::Reason,
    environment::referenced_variables,
};

/// Why a tool cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defect {
    /// For programs.
    pub reason: Reason,
    /// For people.
    pub message: String,
}

/// Finds the first thing that makes a tool unusable.
pub fn check(tool: &AgentToolSpec) -> Result<(), Defect> {
    check_schema(tool)?;
    let Some(kind) = tool.kind() else {
        return Err(Defect {
            reason: Reason::Malformed,
            message: "exactly one kind of tool must be set".to_owned(),
        });
    };
    for (field, text) in templates(kind) {
        check_template(&field, text)?;
    }
    Ok(())
}

/// The environment variables a tool names.
#[must_use]
pub fn variables(tool: &AgentToolSpec) -> BTreeSet<String> {
    tool.kind()
        .map(templates)
        .into_iter()
        .flatten()
        .flat_map(|(_, text)| referenced_variables(text))
        .collect()
}

/// Whether `text` parses as a template; `field` is told to the user.
pub fn check_template(field: &str, text: &str) -> Result<(), Defect> {
    Environment::empty()
        .template_from_str(text)
        .map(|_| ())
        .map_err(|error| Defect {
            reason: Reason::InvalidTemplate,
            message: format!("{field} is not a valid template: {error}"),
        })
}

fn templates(kind: ToolKind<'_>) -> Vec<(String, &str)> {
    match kind {
        ToolKind::Activity(_) => vec![],
        ToolKind::Http(http) => std::iter::once(("http.url".to_owned(), http.url.as_str()))
            .chain(
                http.headers
                    .iter()
                    .map(|h| (format!("http.headers[{}]", h.name), h.value.as_str())),
            )
            .chain(http.body.iter().map(|body| ("http.body".to_owned(), body.as_str())))
            .collect(),
    }
}

fn check_schema(tool: &AgentToolSpec) -> Result<(), Defect> {
    let invalid = |message: String| Defect {
        reason: Reason::InvalidSchema,
        message,
    };
    match tool.parameters.get("type").and_then(Value::as_str) {
        None | Some("object") => {}
        Some(other) => {
            return Err(invalid(format!(
                "parameters must describe an object: type is {other:?}, not \"object\""
            )));
        }
    }
    let schema = Value::Object(tool.parameters.clone());
    jsonschema::meta::validate(&schema).map_err(|error| {
        invalid(format!(
            "parameters is not a JSON Schema: at \"{}\": {error}",
            error.instance_path()
        ))
    })?;
    jsonschema::validator_for(&schema)
        .map(|_| ())
        .map_err(|error| invalid(format!("parameters is not a usable JSON Schema: {error}")))
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

    fn tool(parameters: Value, url: &str) -> AgentToolSpec {
        serde_json::from_value(json!({
            "description": "Tells the weather.",
            "parameters": parameters,
            "http": {
                "url": url,
                "headers": [{ "name": "Authorization", "value": "Bearer ${env.TOKEN}" }],
                "body": "{{ city }}",
            },
        }))
        .unwrap()
    }

    fn reason(parameters: Value, url: &str) -> Option<Reason> {
        check(&tool(parameters, url)).err().map(|defect| defect.reason)
    }

    #[test]
    fn a_schema_of_an_object_that_compiles_is_accepted() {
        let url = "https://example.com/{{ city | urlencode }}";
        let city = json!({ "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"] });
        assert_eq!(reason(city, url), None);
        assert_eq!(reason(json!({}), url), None);
        assert_eq!(
            reason(
                json!({ "$defs": { "c": { "type": "string" } }, "properties": { "c": { "$ref": "#/$defs/c" } } }),
                url
            ),
            None
        );
    }

    #[test]
    fn a_schema_that_is_none_is_told_with_its_place() {
        let url = "https://example.com";
        assert_eq!(
            check(&tool(json!({ "type": "object", "properties": { "city": { "type": "text" } } }), url)),
            Err(Defect {
                reason: Reason::InvalidSchema,
                message: "parameters is not a JSON Schema: at \"/properties/city/type\": \"text\" is not valid under any of the schemas listed in the 'anyOf' keyword".to_owned(),
            })
        );
        assert_eq!(reason(json!({ "type": "string" }), url), Some(Reason::InvalidSchema));
        assert_eq!(
            reason(json!({ "properties": { "c": { "$ref": "#/nowhere" } } }), url),
            Some(Reason::InvalidSchema)
        );
        assert_eq!(
            reason(
                json!({ "properties": { "c": { "$ref": "https://example.com/schema.json" } } }),
                url
            ),
            Some(Reason::InvalidSchema)
        );
    }

    #[test]
    fn a_template_that_does_not_parse_is_refused() {
        assert_eq!(
            reason(json!({}), "https://example.com/{{ city"),
            Some(Reason::InvalidTemplate)
        );
    }

    #[test]
    fn variables_are_found_in_every_text_of_a_tool() {
        assert_eq!(
            variables(&tool(json!({}), "${env.BASE_URL}/x")),
            BTreeSet::from(["BASE_URL".to_owned(), "TOKEN".to_owned()])
        );
    }
}
