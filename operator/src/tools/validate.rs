//! The rules for an AgentTool beyond those at admission: schemas compile,
//! templates parse, the policy can be kept. Pure.

use std::collections::BTreeSet;

use steadfast_contract::tool_targets::NamespaceQueues;
use steadfast_crds::{
    agent_tool::{AgentToolSpec, Compensation, HostedTool, HttpTool, StepAction, ToolKind},
    conditions::Reason,
    environment::referenced_variables,
    url_template::has_fixed_host,
};

use crate::{
    tools::text_fields::{self, TextField},
    validation::{ValidationError, check_depth, json_schema, templates::check_template},
};

/// The first error of a tool in a namespace with these task queues.
pub(crate) fn check(tool: &AgentToolSpec, queues: &NamespaceQueues) -> Result<(), ValidationError> {
    if let Ok(Some(error)) = check_depth(tool) {
        return Err(error);
    }
    json_schema::check_object("parameters", &tool.parameters)?;
    let Some(kind) = tool.kind() else {
        return Err(ValidationError::not_accepted(
            Reason::Malformed,
            "exactly one kind of tool must be set",
        ));
    };
    if let ToolKind::Human(human) = kind {
        json_schema::check("human.form", &human.form)?;
    }
    if let ToolKind::Hosted(hosted) = kind {
        check_hosted(hosted)?;
    }
    check_approval(tool)?;
    let target = queues.check_tool(tool);
    target.map_err(|error| ValidationError::not_accepted(Reason::ForbiddenTarget, error.to_string()))?;
    for field in text_fields::of_tool(kind)
        .iter()
        .filter(|field| field.syntax.is_template())
    {
        check_template(&field.path, field.text)?;
    }
    Ok(())
}

/// Checks that the provider itself runs a tool, as far as its type says.
fn check_hosted(hosted: &HostedTool) -> Result<(), ValidationError> {
    let setting = |name: &str| hosted.settings.get(name);
    let is_run_by_client = match hosted.tool_type.as_str() {
        "apply_patch" | "computer" | "computer_use_preview" | "custom" | "function" | "local_shell" => true,
        "shell" => setting("environment").is_none_or(|environment| environment["type"] == "local"),
        "tool_search" => setting("execution").is_some_and(|execution| execution == "client"),
        _ => false,
    };
    if is_run_by_client {
        return Err(ValidationError::not_accepted(
            Reason::UnsupportedHostedTool,
            format!(
                "hosted.type: the provider does not run {:?} itself, and nothing here does: write an activity, http or mcp \
                 tool instead",
                hosted.tool_type
            ),
        ));
    }
    Ok(())
}

/// Checks that calls of a tool can wait for a person if the policy requires approval.
pub(crate) fn check_approval(tool: &AgentToolSpec) -> Result<(), ValidationError> {
    let hosted = matches!(tool.kind(), Some(ToolKind::Hosted(_)));
    if hosted && tool.required_approval().is_some() {
        return Err(ValidationError::not_accepted(
            Reason::ApprovalImpossible,
            "approval cannot be required of a hosted tool: the model's provider runs it inside the model call",
        ));
    }
    Ok(())
}

/// The environment variables to which a tool refers.
pub(crate) fn variables(tool: &AgentToolSpec) -> BTreeSet<String> {
    let fields = tool.kind().map(text_fields::of_tool).unwrap_or_default();
    variables_in(&fields)
}

/// The environment variables that a tool would send to a host that an argument can change.
pub(crate) fn variables_without_fixed_host(tool: &AgentToolSpec) -> BTreeSet<String> {
    let requests: Vec<&HttpTool> = match tool.kind() {
        Some(ToolKind::Http(http)) => vec![http],
        Some(ToolKind::Steps(steps)) => steps
            .iter()
            .flat_map(|step| [step.action(), step.compensate.as_ref().and_then(Compensation::action)])
            .filter_map(|action| match action? {
                StepAction::Http(http) => Some(http),
                StepAction::Activity(_) => None,
            })
            .collect(),
        _ => Vec::new(),
    };
    requests
        .into_iter()
        .filter(|http| !has_fixed_host(&http.url))
        .flat_map(|http| variables_in(&text_fields::of_tool(ToolKind::Http(http))))
        .collect()
}

/// The environment variables to which text fields refer.
pub(crate) fn variables_in(fields: &[TextField<'_>]) -> BTreeSet<String> {
    fields
        .iter()
        .filter(|field| field.syntax.has_variables())
        .flat_map(|field| referenced_variables(field.text))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::needless_pass_by_value, reason = "tests")]
    use serde_json::{Value, json};
    use steadfast_crds::conditions::ConditionType;

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

    fn checked(tool: &AgentToolSpec) -> Result<(), ValidationError> {
        check(tool, &NamespaceQueues::new("prod", "team-a"))
    }

    fn reason(parameters: Value, url: &str) -> Option<Reason> {
        checked(&tool(parameters, url)).err().map(|error| error.reason)
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
    fn an_invalid_schema_is_reported_with_the_path_of_the_fault() {
        let url = "https://example.com";
        assert_eq!(
            checked(&tool(json!({ "type": "object", "properties": { "city": { "type": "text" } } }), url)),
            Err(ValidationError {
                condition: ConditionType::Accepted,
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
    fn json_in_a_tool_is_as_deep_as_the_limit() {
        let deep = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner]));
        let step = |value: Value| {
            let step = json!({ "name": "a", "activity": { "name": "act" }, "arguments": { "x": value } });
            checked(&of_kind(json!({ "steps": [step] }))).map_err(|error| (error.reason, error.message))
        };
        // The spec, its steps, the step and its arguments are around it.
        assert_eq!(step(deep(60)), Ok(()));
        assert_eq!(
            step(deep(61)),
            Err((Reason::Malformed, "the spec is nested deeper than 64 levels".to_owned()))
        );
    }

    #[test]
    fn an_invalid_template_is_refused() {
        assert_eq!(
            reason(json!({}), "https://example.com/{{ city"),
            Some(Reason::InvalidTemplate)
        );
    }

    #[test]
    fn variables_are_found_in_every_text_field_of_a_tool() {
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
    fn every_text_field_of_a_step_and_of_its_compensation_must_be_a_valid_template() {
        let step = |step: Value| {
            let mut whole = json!({ "name": "a" });
            whole.as_object_mut().unwrap().extend(step.as_object().unwrap().clone());
            checked(&of_kind(json!({ "steps": [whole] }))).map_err(|error| (error.reason, error.message))
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
    fn a_tool_names_no_task_queue_of_another_namespace_and_no_activity_of_steadfast() {
        for kind in [
            json!({ "workflow": { "type": "Pay", "taskQueue": "prod/team-b/agent/payments" } }),
            json!({ "workflow": { "type": "AgentTask", "taskQueue": "prod/team-a/agent/payments" } }),
            json!({ "activity": { "name": "load_revision" } }),
        ] {
            assert_eq!(checked(&of_kind(kind)).unwrap_err().reason, Reason::ForbiddenTarget);
        }
        let own = json!({ "activity": { "name": "pay", "taskQueue": "prod/team-a/agent/payments" } });
        assert_eq!(checked(&of_kind(own)), Ok(()));
    }

    #[test]
    fn variables_of_a_request_whose_host_an_argument_can_change_are_found() {
        let found = |url: &str| variables_without_fixed_host(&tool(json!({}), url));
        assert_eq!(found("https://{{ region }}.example.com/"), names(&["TOKEN"]));
        assert_eq!(
            found("https://example.com{{ path }}?key=${env.KEY}"),
            names(&["KEY", "TOKEN"])
        );
        assert_eq!(found("https://example.com/{{ path }}"), names(&[]));
        let undo = json!({ "http": { "url": "https://{{ host }}/", "body": "${env.UNDO}" } });
        let steps = json!([{ "name": "a", "activity": { "name": "act" }, "compensate": undo }]);
        assert_eq!(
            variables_without_fixed_host(&of_kind(json!({ "steps": steps }))),
            names(&["UNDO"])
        );
    }

    #[test]
    fn a_form_must_be_a_json_schema() {
        let form = json!({ "type": "object", "properties": { "city": { "type": "text" } } });
        let error = checked(&of_kind(json!({ "human": { "form": form } }))).unwrap_err();
        assert_eq!(error.reason, Reason::InvalidSchema);
        assert_eq!(checked(&of_kind(json!({ "human": {} }))), Ok(()));
    }

    #[test]
    fn a_hosted_tool_that_nobody_runs_is_refused() {
        let of = |hosted: Value| checked(&of_kind(json!({ "hosted": hosted })));
        for run_by_client in [
            json!({ "type": "computer" }),
            json!({ "type": "custom", "settings": { "name": "sql" } }),
            json!({ "type": "local_shell" }),
            json!({ "type": "apply_patch" }),
            json!({ "type": "shell" }),
            json!({ "type": "shell", "settings": { "environment": { "type": "local" } } }),
            json!({ "type": "tool_search", "settings": { "execution": "client" } }),
        ] {
            let error = of(run_by_client.clone()).unwrap_err();
            assert_eq!(error.reason, Reason::UnsupportedHostedTool, "{run_by_client}");
        }
        for run_by_provider in [
            json!({ "type": "web_search" }),
            json!({ "type": "shell", "settings": { "environment": { "type": "container_auto" } } }),
            json!({ "type": "tool_search" }),
            json!({ "type": "levitation" }),
        ] {
            assert_eq!(of(run_by_provider.clone()), Ok(()), "{run_by_provider}");
        }
    }

    #[test]
    fn a_hosted_tool_cannot_require_approval() {
        let hosted = |required: bool| {
            checked(&of_kind(
                json!({ "hosted": { "type": "web_search" }, "approval": { "required": required } }),
            ))
        };
        assert_eq!(hosted(false), Ok(()));
        assert_eq!(hosted(true).unwrap_err().reason, Reason::ApprovalImpossible);
    }
}
