//! What an AgentTool must be beyond what admission checks: schemas that
//! compile, templates that parse, a policy that can be kept. Pure; nothing is
//! fetched or called.

pub mod texts;

use std::collections::BTreeSet;

use minijinja::Environment;
use steadfast_crds::{
    agent_tool::{AgentToolSpec, ToolKind},
    conditions::Reason,
    environment::referenced_variables,
};

use self::texts::Text;
use crate::{defect::Defect, schema_rules};

/// Finds the first thing that makes a tool unusable.
pub fn check(tool: &AgentToolSpec) -> Result<(), Defect> {
    schema_rules::check_object("parameters", &tool.parameters)?;
    let Some(kind) = tool.kind() else {
        return Err(Defect {
            reason: Reason::Malformed,
            message: "exactly one kind of tool must be set".to_owned(),
        });
    };
    if let ToolKind::Human(human) = kind {
        schema_rules::check("human.form", &human.form)?;
    }
    check_approval(tool)?;
    for text in texts::of_tool(kind).iter().filter(|text| text.holds.is_template()) {
        check_template(&text.field, text.text)?;
    }
    Ok(())
}

/// Whether calls of a tool can wait for a person as its policy asks.
pub fn check_approval(tool: &AgentToolSpec) -> Result<(), Defect> {
    let hosted = matches!(tool.kind(), Some(ToolKind::Hosted(_)));
    if hosted && tool.required_approval().is_some() {
        return Err(Defect {
            reason: Reason::ApprovalImpossible,
            message: "approval cannot be required of a hosted tool: the model's provider runs it inside the model call"
                .to_owned(),
        });
    }
    Ok(())
}

/// The environment variables a tool names.
#[must_use]
pub fn variables(tool: &AgentToolSpec) -> BTreeSet<String> {
    let texts = tool.kind().map(texts::of_tool).unwrap_or_default();
    named_variables(&texts)
}

/// The environment variables that texts name, where they may.
#[must_use]
pub fn named_variables(texts: &[Text<'_>]) -> BTreeSet<String> {
    texts
        .iter()
        .filter(|text| text.holds.names_variables())
        .flat_map(|text| referenced_variables(text.text))
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

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::needless_pass_by_value,
        reason = "tests"
    )]
    use serde_json::{Value, json};

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

    fn of_kind(kind: Value) -> AgentToolSpec {
        let mut spec = json!({ "description": "d" });
        spec.as_object_mut().unwrap().extend(kind.as_object().unwrap().clone());
        serde_json::from_value(spec).unwrap()
    }

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn every_text_of_a_step_and_of_its_compensation_must_be_a_template() {
        let step = |step: Value| {
            let mut whole = json!({ "name": "a" });
            whole.as_object_mut().unwrap().extend(step.as_object().unwrap().clone());
            check(&of_kind(json!({ "steps": [whole] }))).map_err(|defect| (defect.reason, defect.message))
        };
        let act = json!({ "name": "act" });
        let arguments = json!({ "deep": [{ "amount": "{{ amount }}", "count": 1 }] });
        assert_eq!(step(json!({ "activity": act, "arguments": arguments })), Ok(()));
        for (broken, field) in [
            (
                json!({ "activity": act, "arguments": { "deep": [{ "amount": "{{ amount" }] } }),
                "steps[a].arguments.deep[0].amount",
            ),
            (
                json!({ "http": { "url": "https://example.com/{{ x" } }),
                "steps[a].http.url",
            ),
            (
                json!({ "activity": act, "compensate": { "activity": act, "arguments": { "x": "{% if" } } }),
                "steps[a].compensate.arguments.x",
            ),
            (
                json!({ "activity": act, "compensate": { "http": { "url": "https://e.org", "body": "{{" } } }),
                "steps[a].compensate.http.body",
            ),
        ] {
            let (reason, message) = step(broken).unwrap_err();
            assert_eq!(reason, Reason::InvalidTemplate);
            assert!(
                message.starts_with(&format!("{field} is not a valid template")),
                "{message}"
            );
        }
    }

    #[test]
    fn variables_are_found_in_servers_providers_and_steps() {
        let header = |name: &str| json!([{ "name": "Authorization", "value": format!("Bearer ${{env.{name}}}") }]);
        assert_eq!(
            variables(&of_kind(
                json!({ "mcp": { "url": "${env.MCP_URL}", "headers": header("MCP_TOKEN") } })
            )),
            names(&["MCP_URL", "MCP_TOKEN"])
        );
        let settings = json!({ "server_url": "https://e.org", "headers": { "Authorization": "${env.HOSTED}" } });
        assert_eq!(
            variables(&of_kind(json!({ "hosted": { "type": "mcp", "settings": settings } }))),
            names(&["HOSTED"])
        );
        let steps = json!([
            { "name": "a", "activity": { "name": "act" }, "arguments": { "x": "${env.NEVER}" } },
            {
                "name": "b",
                "http": { "url": "https://e.org", "headers": header("STEP") },
                "compensate": { "http": { "url": "${env.UNDO}" } },
            },
        ]);
        assert_eq!(variables(&of_kind(json!({ "steps": steps }))), names(&["STEP", "UNDO"]));
    }

    #[test]
    fn a_form_is_a_json_schema() {
        let form = json!({ "type": "object", "properties": { "city": { "type": "text" } } });
        let defect = check(&of_kind(json!({ "human": { "form": form } }))).unwrap_err();
        assert_eq!(defect.reason, Reason::InvalidSchema);
        assert_eq!(check(&of_kind(json!({ "human": {} }))), Ok(()));
    }

    #[test]
    fn no_call_of_a_hosted_tool_can_wait_for_a_person() {
        let hosted = |required: bool| {
            check(&of_kind(
                json!({ "hosted": { "type": "web_search" }, "approval": { "required": required } }),
            ))
        };
        assert_eq!(hosted(false), Ok(()));
        assert_eq!(hosted(true).unwrap_err().reason, Reason::ApprovalImpossible);
    }
}
