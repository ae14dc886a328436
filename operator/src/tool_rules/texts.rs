//! The texts of a tool: where each stands, whether it is a template, and
//! whether it may name environment variables. Pure.

use serde_json::{Map, Value};
use steadfast_crds::agent_tool::{HostedTool, HttpHeader, HttpTool, McpTool, StepAction, ToolKind, ToolStep};

/// One text of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    /// Where it stands, as the user wrote it.
    pub field: String,
    /// The text.
    pub text: &'a str,
    /// What it may hold.
    pub holds: Holds,
}

/// What a text may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// A template over the arguments.
    Template,
    /// `${env.NAME}`.
    Variables,
    /// Both.
    TemplateAndVariables,
}

impl Holds {
    /// Whether it is a template.
    #[must_use]
    pub const fn is_template(self) -> bool {
        matches!(self, Self::Template | Self::TemplateAndVariables)
    }

    /// Whether it may name variables.
    #[must_use]
    pub const fn names_variables(self) -> bool {
        matches!(self, Self::Variables | Self::TemplateAndVariables)
    }
}

/// Every text of a tool that holds anything.
#[must_use]
pub fn of_tool(kind: ToolKind<'_>) -> Vec<Text<'_>> {
    let mut texts = Vec::new();
    match kind {
        ToolKind::Activity(_) | ToolKind::Human(_) | ToolKind::Workflow(_) => {}
        ToolKind::Http(http) => add_http("http", http, &mut texts),
        ToolKind::Steps(steps) => {
            for step in steps {
                add_step(step, &mut texts);
            }
        }
        ToolKind::Mcp(mcp) => add_mcp(mcp, &mut texts),
        ToolKind::Hosted(hosted) => add_hosted(hosted, &mut texts),
    }
    texts
}

/// A URL and headers that hold variables and are no templates.
#[must_use]
pub fn of_endpoint<'a>(field: &str, url: &'a str, headers: &'a [HttpHeader]) -> Vec<Text<'a>> {
    let mut texts = Vec::new();
    add_endpoint(field, url, headers, Holds::Variables, &mut texts);
    texts
}

fn add_step<'a>(step: &'a ToolStep, texts: &mut Vec<Text<'a>>) {
    let field = format!("steps[{}]", step.name);
    add_action(&field, step.action(), &step.arguments, texts);
    if let Some(compensation) = &step.compensate {
        add_action(
            &format!("{field}.compensate"),
            compensation.action(),
            &compensation.arguments,
            texts,
        );
    }
}

fn add_action<'a>(
    field: &str,
    action: Option<StepAction<'a>>,
    arguments: &'a Map<String, Value>,
    texts: &mut Vec<Text<'a>>,
) {
    if let Some(StepAction::Http(http)) = action {
        add_http(&format!("{field}.http"), http, texts);
    }
    // They stand in the history of the task: no secret belongs there.
    for (name, value) in arguments {
        add_leaves(&format!("{field}.arguments.{name}"), value, Holds::Template, texts);
    }
}

fn add_http<'a>(field: &str, http: &'a HttpTool, texts: &mut Vec<Text<'a>>) {
    let holds = Holds::TemplateAndVariables;
    add_endpoint(field, &http.url, &http.headers, holds, texts);
    texts.extend(http.body.as_deref().map(|text| Text {
        field: format!("{field}.body"),
        text,
        holds,
    }));
    texts.extend(http.response.as_deref().map(|text| Text {
        field: format!("{field}.response"),
        text,
        holds: Holds::Template,
    }));
}

fn add_mcp<'a>(mcp: &'a McpTool, texts: &mut Vec<Text<'a>>) {
    add_endpoint("mcp", &mcp.url, &mcp.headers, Holds::Variables, texts);
}

fn add_hosted<'a>(hosted: &'a HostedTool, texts: &mut Vec<Text<'a>>) {
    for (name, value) in &hosted.settings {
        add_leaves(&format!("hosted.settings.{name}"), value, Holds::Variables, texts);
    }
}

fn add_endpoint<'a>(field: &str, url: &'a str, headers: &'a [HttpHeader], holds: Holds, texts: &mut Vec<Text<'a>>) {
    texts.push(Text {
        field: format!("{field}.url"),
        text: url,
        holds,
    });
    texts.extend(headers.iter().map(|header| Text {
        field: format!("{field}.headers[{}]", header.name),
        text: &header.value,
        holds,
    }));
}

/// Every text within a JSON value, at any depth.
fn add_leaves<'a>(field: &str, value: &'a Value, holds: Holds, texts: &mut Vec<Text<'a>>) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) => texts.push(Text {
            field: field.to_owned(),
            text,
            holds,
        }),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                add_leaves(&format!("{field}[{index}]"), item, holds, texts);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                add_leaves(&format!("{field}.{name}"), member, holds, texts);
            }
        }
    }
}
