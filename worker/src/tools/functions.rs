//! The functions that the model may call: the tools of a revision, its agents and
//! handoffs, and the tools of its MCP servers. Pure.

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use steadfast_crds::{AgentRevisionSpec, agent_tool::ToolKind};

/// A tool of an MCP server, as it was listed for one model call.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedTool {
    /// Name of the function that the model calls.
    pub function: String,
    pub description: String,
    /// JSON Schema of the arguments.
    pub parameters: Map<String, Value>,
    /// Name of the server's AgentTool in the revision.
    pub server: String,
    /// Name of the tool at the server.
    pub tool: String,
}

/// A function in the form that all model APIs share.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FunctionTool<'a> {
    pub name: &'a str,
    pub description: &'a str,
    pub parameters: Cow<'a, Map<String, Value>>,
    pub kind: FunctionKind<'a>,
}

/// What a call of a function starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum FunctionKind<'a> {
    Tool,
    Agent,
    Handoff,
    Mcp(&'a ListedTool),
}

/// The functions of a revision, always in the same order, so that providers can cache the prompt. The tools of MCP
/// servers come last, because a server may be unavailable. Of two functions with the same name the first counts.
pub(crate) fn function_tools<'a>(revision: &'a AgentRevisionSpec, listed: &'a [ListedTool]) -> Vec<FunctionTool<'a>> {
    let own = revision.tools.iter().filter(|tool| is_callable(tool.spec.kind()));
    let own = own.map(|tool| FunctionTool {
        name: &tool.name,
        description: &tool.spec.description,
        parameters: Cow::Borrowed(&tool.spec.parameters),
        kind: FunctionKind::Tool,
    });
    let agents = revision.agents.iter().map(|agent| FunctionTool {
        name: &agent.name,
        description: &agent.description,
        parameters: Cow::Owned(agent_parameters()),
        kind: FunctionKind::Agent,
    });
    let handoffs = revision.handoffs.iter().map(|handoff| FunctionTool {
        name: &handoff.name,
        description: &handoff.description,
        parameters: Cow::Owned(no_parameters()),
        kind: FunctionKind::Handoff,
    });
    let mut listed: Vec<&ListedTool> = listed.iter().collect();
    listed.sort_by(|one, other| (&one.server, &one.function).cmp(&(&other.server, &other.function)));
    let listed = listed.into_iter().map(|tool| FunctionTool {
        name: &tool.function,
        description: &tool.description,
        parameters: Cow::Borrowed(&tool.parameters),
        kind: FunctionKind::Mcp(tool),
    });
    let mut functions: Vec<FunctionTool<'a>> = Vec::new();
    for function in own.chain(agents).chain(handoffs).chain(listed) {
        if functions.iter().all(|earlier| earlier.name != function.name) {
            functions.push(function);
        }
    }
    functions
}

fn is_callable(kind: Option<ToolKind<'_>>) -> bool {
    match kind {
        Some(
            ToolKind::Activity(_) | ToolKind::Steps(_) | ToolKind::Http(_) | ToolKind::Human(_) | ToolKind::Workflow(_),
        ) => true,
        Some(ToolKind::Mcp(_) | ToolKind::Hosted(_)) | None => false,
    }
}

/// The parameters of an agent that is called as a tool.
fn agent_parameters() -> Map<String, Value> {
    let input =
        json!({"type": "string", "minLength": 1, "description": "What to ask, with all that is needed to answer."});
    Map::from_iter([
        ("type".to_owned(), json!("object")),
        ("properties".to_owned(), json!({"input": input})),
        ("required".to_owned(), json!(["input"])),
        ("additionalProperties".to_owned(), json!(false)),
    ])
}

/// The parameters of a handoff: none.
fn no_parameters() -> Map<String, Value> {
    Map::from_iter([
        ("type".to_owned(), json!("object")),
        ("properties".to_owned(), json!({})),
        ("additionalProperties".to_owned(), json!(false)),
    ])
}
