//! The tools that an MCP server lists, page by page, and which of them models can use.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use reqwest::header::HeaderMap;
use serde_json::{Map, Value};
use steadfast_json_schema::CompiledSchema;
use steadfast_process::BlockingWork;

use super::{
    connection::{Answer, Connection, ProtocolMemory, Request},
    elicitation::Elicitations,
    error::{McpError, Repeatable, unavailable},
    http::Wire,
    param_headers::{self, ParamHeader},
    tool_schema,
};
use crate::{egress::redaction::Redactor, failure::CallFailure};

/// How long a list is cached if the server does not say.
const DEFAULT_TTL: Duration = Duration::from_mins(1);
/// How long a list is cached at least: many servers say 0.
pub(super) const MINIMUM_TTL: Duration = Duration::from_secs(15);
/// How long a list is cached at most, and how long it is used while the server does not answer.
pub(super) const MAXIMUM_TTL: Duration = Duration::from_mins(10);
/// Most pages of a list.
const MAXIMUM_PAGES: usize = 100;
/// Most pages in a row without a new tool: the cursor of some servers never ends.
const MAXIMUM_IDLE_PAGES: usize = 3;
/// Most tools of a server.
const MAXIMUM_TOOLS: usize = 1_000;
/// Longest description of a tool, the same as that of an AgentTool.
const MAXIMUM_DESCRIPTION_BYTES: usize = 4_096;
/// Limit for checking the schemas of all tools of a server.
const SCHEMAS_DEADLINE: Duration = Duration::from_secs(10);

/// A tool as models see it.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerTool {
    pub name: String,
    pub description: String,
    /// JSON Schema of the arguments, an object that every model API takes.
    pub input_schema: Map<String, Value>,
    /// Names of parameters that differ for the model, with those of the server.
    pub renamed: BTreeMap<String, String>,
    /// Arguments that headers repeat.
    pub headers: Vec<ParamHeader>,
    /// The server declares that the tool changes nothing.
    pub read_only: bool,
    /// The server declares that a second call has no further effect.
    pub idempotent: bool,
}

/// The tools of a server, and why others cannot be used.
#[derive(Clone, Debug, Default)]
pub(super) struct Listing {
    pub(super) tools: Vec<ServerTool>,
    pub(super) problems: Vec<String>,
}

impl Listing {
    pub(super) fn tool(&self, name: &str) -> Option<&ServerTool> {
        self.tools.iter().find(|tool| tool.name == name)
    }
}

/// Asks the server for all pages. The time is that for which the list may be cached.
pub(super) async fn fetch(
    protocol: &ProtocolMemory,
    wire: &Wire,
    blocking: &BlockingWork,
) -> Result<(Duration, Listing), CallFailure> {
    let failed = |error: McpError| error.failure(&wire.address, Repeatable::Yes);
    let mut pages = fetch_pages(protocol, wire).await;
    if matches!(&pages, Err(error) if error.is_of_version()) {
        protocol.forget();
        pages = fetch_pages(protocol, wire).await;
    }
    let Pages { tools, ttl, problems } = pages.map_err(failed)?;
    let ttl = ttl.unwrap_or(DEFAULT_TTL);
    let redactor = wire.address.redactor.clone();
    let host = &wire.address.host;
    let mut listing = blocking
        .run(host, SCHEMAS_DEADLINE, move || check_tools(tools, &redactor))
        .await
        .map_err(|error| unavailable(format!("the tools of {host} could not be checked: {error}")))?;
    listing.problems.extend(problems);
    Ok((ttl.clamp(MINIMUM_TTL, MAXIMUM_TTL), listing))
}

#[derive(Debug)]
struct Pages {
    tools: Vec<Value>,
    /// The shortest that a page says.
    ttl: Option<Duration>,
    problems: Vec<String>,
}

async fn fetch_pages(protocol: &ProtocolMemory, wire: &Wire) -> Result<Pages, McpError> {
    let mut connection = Connection::open(wire.clone(), protocol).await?;
    let mut pages = Pages {
        tools: Vec::new(),
        ttl: None,
        problems: Vec::new(),
    };
    let mut names = BTreeSet::new();
    let mut cursors = BTreeSet::new();
    let mut cursor: Option<Value> = None;
    let mut idle_pages = 0;
    for _ in 0..MAXIMUM_PAGES {
        let page = match fetch_page(&mut connection, cursor.as_ref()).await {
            Ok(page) => page,
            Err(error) if pages.tools.is_empty() => return Err(error),
            Err(error) => {
                let failure = error.failure(&wire.address, Repeatable::Yes);
                pages.problems.push(format!("the list is not complete: {failure}"));
                break;
            }
        };
        let before = names.len();
        for tool in page.tools {
            // A page that comes again has the same names; a name twice in the list is found when it is checked.
            if names.insert((tool["name"].as_str().map(str::to_owned), tool.to_string())) {
                pages.tools.push(tool);
            }
        }
        pages.ttl = page.ttl.into_iter().chain(pages.ttl).min();
        idle_pages = if names.len() == before { idle_pages + 1 } else { 0 };
        // An empty cursor is one like any other, but the first that comes again ends the list.
        let Some(next) = page.next.filter(|next| cursors.insert(next.to_string())) else {
            break;
        };
        if idle_pages >= MAXIMUM_IDLE_PAGES || pages.tools.len() > MAXIMUM_TOOLS {
            break;
        }
        cursor = Some(next);
    }
    if pages.tools.len() > MAXIMUM_TOOLS {
        pages.tools.truncate(MAXIMUM_TOOLS);
        pages.problems.push(format!(
            "the server has more than {MAXIMUM_TOOLS} tools; the others are left out"
        ));
    }
    Ok(pages)
}

struct Page {
    tools: Vec<Value>,
    /// A text, or whatever the server takes for one.
    next: Option<Value>,
    ttl: Option<Duration>,
}

async fn fetch_page(connection: &mut Connection, cursor: Option<&Value>) -> Result<Page, McpError> {
    let mut params = Map::new();
    if let Some(cursor) = cursor {
        params.insert("cursor".to_owned(), cursor.clone());
    }
    let request = Request {
        method: "tools/list",
        params,
        headers: HeaderMap::new(),
    };
    match connection.request(request, &Elicitations::default()).await? {
        Answer::Result(result) => read_page(result),
        Answer::Question(_) => Err(McpError::Unreadable(
            "a question in place of a list of tools".to_owned(),
        )),
    }
}

fn read_page(mut result: Value) -> Result<Page, McpError> {
    let tools = match result.get_mut("tools").map(Value::take) {
        Some(Value::Array(tools)) => tools,
        // Some write a map from names to tools.
        Some(Value::Object(tools)) => {
            let tools = tools.into_iter().map(|(name, mut tool)| {
                if let Value::Object(fields) = &mut tool {
                    fields.entry("name").or_insert(Value::String(name));
                }
                tool
            });
            tools.collect()
        }
        Some(Value::Null) | None if result.is_object() => Vec::new(),
        _ => return Err(McpError::Unreadable("no list of tools".to_owned())),
    };
    let ttl = result["ttlMs"].as_f64().filter(|ttl| *ttl >= 0.0 && ttl.is_finite());
    Ok(Page {
        tools,
        next: result
            .get("nextCursor")
            .filter(|next| next.is_string() || next.is_number())
            .cloned(),
        ttl: ttl.map(|ttl| Duration::from_secs_f64((ttl / 1_000.0).min(MAXIMUM_TTL.as_secs_f64()))),
    })
}

fn check_tools(tools: Vec<Value>, redactor: &Redactor) -> Listing {
    let mut listing = Listing::default();
    for tool in tools {
        match server_tool(&tool) {
            Ok(mut tool) => {
                tool.description = redactor.text(&tool.description);
                if listing.tool(&tool.name).is_some() {
                    let problem = format!("the server lists {:?} more than once; the first one counts", tool.name);
                    listing.problems.push(redactor.text(&problem));
                } else {
                    listing.tools.push(tool);
                }
            }
            Err(problem) => listing.problems.push(redactor.text(&problem)),
        }
    }
    listing
}

/// A tool with a schema that every model API takes: one that is refused would make the whole request fail.
fn server_tool(tool: &Value) -> Result<ServerTool, String> {
    let name = tool["name"].as_str().filter(|name| !name.is_empty());
    let name = name.ok_or("the server lists a tool without a name")?.to_owned();
    let unusable = |reason: String| format!("the tool {name:?} is left out: {reason}");
    // Some servers write the name that another protocol has.
    let schema = ["inputSchema", "input_schema", "parameters"]
        .iter()
        .find_map(|name| tool.get(*name));
    let mut schema = schema.cloned().unwrap_or_default();
    let headers = match &mut schema {
        Value::Object(schema) => param_headers::take(schema).map_err(unusable)?,
        _ => Vec::new(),
    };
    let made = tool_schema::for_models(&schema).map_err(unusable)?;
    let schema = Value::Object(made.schema);
    CompiledSchema::compile(&schema).map_err(|error| unusable(format!("its parameter schema is invalid: {error}")))?;
    let Value::Object(input_schema) = schema else {
        return Err(unusable("it has no parameter schema".to_owned()));
    };
    let own = tool["description"]
        .as_str()
        .or_else(|| tool["title"].as_str())
        .unwrap_or_default();
    let mut description = std::iter::once(own.to_owned())
        .chain(made.notes)
        .collect::<Vec<_>>()
        .join("\n");
    description.truncate(description.floor_char_boundary(MAXIMUM_DESCRIPTION_BYTES));
    let hint = |name: &str| tool["annotations"][name] == true;
    Ok(ServerTool {
        name,
        description: description.trim().to_owned(),
        input_schema,
        renamed: made.renamed,
        headers,
        read_only: hint("readOnlyHint"),
        idempotent: hint("readOnlyHint") || hint("idempotentHint"),
    })
}

#[cfg(test)]
mod tests;
