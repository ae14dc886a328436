//! The text fields of a tool: the path of each, whether it is a template, and
//! whether it may refer to environment variables. Pure.

use serde_json::{Map, Value};
use steadfast_crds::agent_tool::{HostedTool, HttpHeader, HttpTool, McpTool, StepAction, ToolKind, ToolStep};

/// One text field of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TextField<'a> {
    /// The path of the field, as the user wrote it.
    pub(crate) path: String,
    /// The text.
    pub(crate) text: &'a str,
    /// What the text may contain.
    pub(crate) syntax: Syntax,
}

/// What a text may contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syntax {
    /// A template over the arguments.
    Template,
    /// `${env.NAME}`.
    Variables,
    /// Both.
    TemplateAndVariables,
}

impl Syntax {
    /// Whether the text is a template.
    pub(crate) const fn is_template(self) -> bool {
        matches!(self, Self::Template | Self::TemplateAndVariables)
    }

    /// Whether the text may refer to environment variables.
    pub(crate) const fn has_variables(self) -> bool {
        matches!(self, Self::Variables | Self::TemplateAndVariables)
    }
}

/// The text fields of a tool.
pub(crate) fn of_tool(kind: ToolKind<'_>) -> Vec<TextField<'_>> {
    let mut fields = Vec::new();
    match kind {
        ToolKind::Activity(_) | ToolKind::Human(_) | ToolKind::Workflow(_) => {}
        ToolKind::Http(http) => add_http("http", http, &mut fields),
        ToolKind::Steps(steps) => {
            for step in steps {
                add_step(step, &mut fields);
            }
        }
        ToolKind::Mcp(mcp) => add_mcp(mcp, &mut fields),
        ToolKind::Hosted(hosted) => add_hosted(hosted, &mut fields),
    }
    fields
}

/// The text fields of an endpoint whose URL and headers may refer to variables and are not templates.
pub(crate) fn of_endpoint<'a>(path: &str, url: &'a str, headers: &'a [HttpHeader]) -> Vec<TextField<'a>> {
    let mut fields = Vec::new();
    add_endpoint(path, url, headers, Syntax::Variables, &mut fields);
    fields
}

fn add_step<'a>(step: &'a ToolStep, fields: &mut Vec<TextField<'a>>) {
    let path = format!("steps[{}]", step.name);
    add_action(&path, step.action(), &step.arguments, fields);
    if let Some(compensation) = &step.compensate {
        add_action(
            &format!("{path}.compensate"),
            compensation.action(),
            &compensation.arguments,
            fields,
        );
    }
}

fn add_action<'a>(
    path: &str,
    action: Option<StepAction<'a>>,
    arguments: &'a Map<String, Value>,
    fields: &mut Vec<TextField<'a>>,
) {
    if let Some(StepAction::Http(http)) = action {
        add_http(&format!("{path}.http"), http, fields);
    }
    // The arguments are part of the workflow history, where no secret belongs: no variables.
    for (name, value) in arguments {
        add_strings(&format!("{path}.arguments.{name}"), value, Syntax::Template, fields);
    }
}

fn add_http<'a>(path: &str, http: &'a HttpTool, fields: &mut Vec<TextField<'a>>) {
    let syntax = Syntax::TemplateAndVariables;
    add_endpoint(path, &http.url, &http.headers, syntax, fields);
    fields.extend(http.body.as_deref().map(|text| TextField {
        path: format!("{path}.body"),
        text,
        syntax,
    }));
    fields.extend(http.response.as_deref().map(|text| TextField {
        path: format!("{path}.response"),
        text,
        syntax: Syntax::Template,
    }));
}

fn add_mcp<'a>(mcp: &'a McpTool, fields: &mut Vec<TextField<'a>>) {
    add_endpoint("mcp", &mcp.url, &mcp.headers, Syntax::Variables, fields);
}

fn add_hosted<'a>(hosted: &'a HostedTool, fields: &mut Vec<TextField<'a>>) {
    for (name, value) in &hosted.settings {
        add_strings(&format!("hosted.settings.{name}"), value, Syntax::Variables, fields);
    }
}

fn add_endpoint<'a>(
    path: &str,
    url: &'a str,
    headers: &'a [HttpHeader],
    syntax: Syntax,
    fields: &mut Vec<TextField<'a>>,
) {
    fields.push(TextField {
        path: format!("{path}.url"),
        text: url,
        syntax,
    });
    fields.extend(headers.iter().map(|header| TextField {
        path: format!("{path}.headers[{}]", header.name),
        text: &header.value,
        syntax,
    }));
}

/// The strings within a JSON value, at any depth.
fn add_strings<'a>(path: &str, value: &'a Value, syntax: Syntax, fields: &mut Vec<TextField<'a>>) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) => fields.push(TextField {
            path: path.to_owned(),
            text,
            syntax,
        }),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                add_strings(&format!("{path}[{index}]"), item, syntax, fields);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                add_strings(&format!("{path}.{name}"), member, syntax, fields);
            }
        }
    }
}
