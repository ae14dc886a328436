//! Which functions a revision's MCP servers add to it. Lists are kept for a
//! minute, or as long as the server says; that a server failed is kept for a
//! quarter of one, so that a broken server costs little and takes away its own
//! tools only.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::future::join_all;
use rmcp::model::Tool;
use serde_json::{Map, Value, json};
use steadfast_crds::{AgentRevisionSpec, agent_tool::McpTool};
use tokio::time::{Instant, timeout};

use super::{
    McpClient, McpError,
    connection::{Connection, ServerAddress},
    elicitation::Elicitations,
    failure,
};
use crate::tools::ListedTool;

/// Longest time a listing may take, the connection included.
const LIST_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a list is kept when the server does not say.
const KEEP: Duration = Duration::from_mins(1);
/// How long it is kept whatever the server says.
const KEEP_AT_MOST: Duration = Duration::from_mins(10);
/// How long it is remembered that a server failed.
const KEEP_FAILURE: Duration = Duration::from_secs(15);
/// Servers remembered at once; more are those of revisions long gone.
const MAXIMUM_REMEMBERED: usize = 256;
/// What a description may take up of the model's context: as much as that of an AgentTool.
const MAXIMUM_DESCRIPTION_BYTES: usize = 4_096;
/// The same of a parameter schema.
const MAXIMUM_SCHEMA_BYTES: usize = 65_536;
/// Longest name that model APIs take for a function.
const MAXIMUM_NAME_BYTES: usize = 64;

/// A tool as its server describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerTool {
    pub name: String,
    pub description: String,
    /// JSON Schema of the arguments, an object.
    pub input_schema: Map<String, Value>,
    /// The server says that it changes nothing.
    pub read_only: bool,
}

/// What a server lists, and why some of it cannot be used.
#[derive(Debug, Default)]
struct Listing {
    tools: Vec<ServerTool>,
    problems: Vec<String>,
}

/// A server as it was asked: other credentials may see other tools. Has no `Debug`: it holds secrets.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    server: String,
    url: String,
    headers: Vec<(String, Vec<u8>)>,
}

struct Remembered {
    until: Instant,
    listing: Result<Arc<Listing>, McpError>,
}

/// Held while a server is asked, so that all who want its list wait for the same answer.
type Slot = Arc<tokio::sync::Mutex<Option<Remembered>>>;

/// The lists this process knows.
#[derive(Default)]
pub(super) struct Listings(Mutex<BTreeMap<Key, Slot>>);

impl Listings {
    fn slot(&self, key: Key) -> Slot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MAXIMUM_REMEMBERED && !slots.contains_key(&key) {
            let now = Instant::now();
            // One that is locked is being asked at this moment.
            slots.retain(|_, slot| match slot.try_lock() {
                Ok(held) => held.as_ref().is_some_and(|held| held.until > now),
                Err(_) => true,
            });
        }
        slots.entry(key).or_default().clone()
    }
}

impl McpClient {
    /// The tools of one server of a revision.
    pub async fn list(
        &self,
        revision: &AgentRevisionSpec,
        name: &str,
        tool: &McpTool,
    ) -> Result<Vec<ServerTool>, McpError> {
        Ok(self.listing(revision, name, tool).await?.tools.clone())
    }

    /// The functions that all MCP servers of a revision add to it, in its order; and for each server what it
    /// does not add, and why.
    pub async fn listed_tools(&self, revision: &AgentRevisionSpec) -> (Vec<ListedTool>, Vec<(String, String)>) {
        let servers: Vec<(&str, &McpTool)> = revision
            .tools
            .iter()
            .filter_map(|tool| Some((tool.name.as_str(), tool.spec.mcp.as_ref()?)))
            .collect();
        let listings = join_all(servers.iter().map(|(name, tool)| self.listing(revision, name, tool))).await;
        let mut taken = other_functions(revision);
        let mut listed = Vec::new();
        let mut problems = Vec::new();
        for ((server, tool), listing) in servers.into_iter().zip(listings) {
            let mut problem = |reason: String| problems.push((server.to_owned(), reason));
            match listing {
                Ok(listing) => {
                    listing.problems.iter().cloned().for_each(&mut problem);
                    listed.extend(select(server, tool, &listing.tools, &mut taken, problem));
                }
                Err(error) => problem(error.to_string()),
            }
        }
        (listed, problems)
    }

    async fn listing(
        &self,
        revision: &AgentRevisionSpec,
        name: &str,
        tool: &McpTool,
    ) -> Result<Arc<Listing>, McpError> {
        let address = self.address(revision, tool)?;
        let headers = address
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
        let slot = self.inner.listings.slot(Key {
            server: name.to_owned(),
            url: address.url.to_string(),
            headers: headers.collect(),
        });
        let mut held = slot.lock().await;
        if let Some(remembered) = held.as_ref().filter(|remembered| remembered.until > Instant::now()) {
            return remembered.listing.clone();
        }
        let asked = timeout(LIST_TIMEOUT, self.ask(&address)).await.unwrap_or_else(|_| {
            let seconds = LIST_TIMEOUT.as_secs();
            Err(McpError::Unavailable(format!(
                "{} did not list its tools within {seconds} s",
                address.host
            )))
        });
        let (keep, listing) = match asked {
            Ok((keep, listing)) => (keep, Ok(Arc::new(listing))),
            Err(error) => {
                tracing::warn!(server = name, %error, "the tools of an MCP server are not available");
                (KEEP_FAILURE, Err(error))
            }
        };
        *held = Some(Remembered {
            until: Instant::now() + keep,
            listing: listing.clone(),
        });
        listing
    }

    async fn ask(&self, address: &ServerAddress) -> Result<(Duration, Listing), McpError> {
        let (elicitations, _asked) = Elicitations::new(None);
        let connection = Connection::open(&self.inner.http, address, elicitations).await?;
        let listed = connection.peer().list_all_tools_with_cache_hint().await;
        connection.close().await;
        let listed = listed.map_err(|error| failure::of_service(address, &error))?;
        let keep = listed.ttl_ms.map_or(KEEP, Duration::from_millis).min(KEEP_AT_MOST);
        let mut listing = Listing::default();
        for tool in listed.items {
            match server_tool(tool) {
                Ok(tool) => listing.tools.push(tool),
                Err(problem) => listing.problems.push(problem),
            }
        }
        Ok((keep, listing))
    }
}

/// A schema that a model API would refuse takes its own tool away, not the whole request.
fn server_tool(tool: Tool) -> Result<ServerTool, String> {
    let name = tool.name.into_owned();
    let mut schema = (*tool.input_schema).clone();
    schema.entry("type").or_insert_with(|| json!("object"));
    schema.entry("properties").or_insert_with(|| json!({}));
    if schema["type"] != "object" {
        return Err(format!("the tool {name:?} takes no object as its arguments"));
    }
    let schema = Value::Object(schema);
    if schema.to_string().len() > MAXIMUM_SCHEMA_BYTES {
        return Err(format!(
            "the parameter schema of the tool {name:?} is over {MAXIMUM_SCHEMA_BYTES} bytes"
        ));
    }
    if let Err(error) = jsonschema::validator_for(&schema) {
        return Err(format!("the parameter schema of the tool {name:?} is invalid: {error}"));
    }
    let Value::Object(input_schema) = schema else {
        return Err(format!("the tool {name:?} has no parameter schema"));
    };
    let mut description = tool.description.unwrap_or_default().into_owned();
    description.truncate(description.floor_char_boundary(MAXIMUM_DESCRIPTION_BYTES));
    Ok(ServerTool {
        name,
        description,
        input_schema,
        read_only: tool.annotations.is_some_and(|hints| hints.read_only_hint == Some(true)),
    })
}

/// Names that are taken before any server is asked.
fn other_functions(revision: &AgentRevisionSpec) -> BTreeSet<String> {
    let tools = revision.tools.iter().filter(|tool| tool.spec.mcp.is_none());
    let tools = tools.map(|tool| &tool.name);
    let agents = revision.agents.iter().map(|agent| &agent.name);
    let handoffs = revision.handoffs.iter().map(|handoff| &handoff.name);
    tools.chain(agents).chain(handoffs).cloned().collect()
}

fn select(
    server: &str,
    settings: &McpTool,
    offered: &[ServerTool],
    taken: &mut BTreeSet<String>,
    mut problem: impl FnMut(String),
) -> Vec<ListedTool> {
    let mut wanted: Vec<(&ServerTool, Option<&String>)> = Vec::new();
    if settings.tools.is_empty() {
        wanted.extend(offered.iter().map(|tool| (tool, None)));
    }
    for selection in &settings.tools {
        match offered.iter().find(|tool| tool.name == selection.name) {
            Some(tool) => wanted.push((tool, selection.rename.as_ref())),
            None => problem(format!("the server has no tool {:?}", selection.name)),
        }
    }
    let mut listed = Vec::new();
    for (tool, rename) in wanted {
        let function = rename.map_or_else(|| function_name(&settings.prefix, &tool.name), Clone::clone);
        if function.len() > MAXIMUM_NAME_BYTES {
            problem(format!(
                "the name {function:?} is over {MAXIMUM_NAME_BYTES} bytes; rename the tool or shorten the prefix"
            ));
        } else if taken.insert(function.clone()) {
            listed.push(ListedTool {
                function,
                description: tool.description.clone(),
                parameters: tool.input_schema.clone(),
                server: server.to_owned(),
                tool: tool.name.clone(),
            });
        } else {
            problem(format!(
                "the agent has another function {function:?}; give this one a prefix or a new name"
            ));
        }
    }
    listed
}

/// Servers may use dots and slashes; model APIs take neither.
fn function_name(prefix: &str, tool: &str) -> String {
    let tool = tool.chars().map(|character| {
        if character.is_ascii_alphanumeric() || "_-".contains(character) {
            character
        } else {
            '_'
        }
    });
    prefix.chars().chain(tool).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn offered(names: &[&str]) -> Vec<ServerTool> {
        let tool = |name: &&str| ServerTool {
            name: (*name).to_owned(),
            description: String::new(),
            input_schema: Map::new(),
            read_only: false,
        };
        names.iter().map(tool).collect()
    }

    /// Function and tool of what is selected, and the problems.
    fn selected(settings: &str, names: &[&str], taken: &[&str]) -> (Vec<(String, String)>, Vec<String>) {
        let settings: McpTool = serde_yaml_ng::from_str(settings).unwrap();
        let mut problems = Vec::new();
        let mut taken = taken.iter().map(|name| (*name).to_owned()).collect();
        let listed = select("s", &settings, &offered(names), &mut taken, |reason| {
            problems.push(reason);
        });
        (
            listed.into_iter().map(|tool| (tool.function, tool.tool)).collect(),
            problems,
        )
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
        pairs.iter().map(own).collect()
    }

    #[test]
    fn all_tools_are_offered_under_the_prefix() {
        let (listed, problems) = selected("{url: \"http://s\", prefix: x_}", &["echo", "fs/read.file"], &[]);
        assert_eq!(listed, pairs(&[("x_echo", "echo"), ("x_fs_read_file", "fs/read.file")]));
        assert_eq!(problems, Vec::<String>::new());
    }

    #[test]
    fn a_selection_names_and_renames_what_is_offered() {
        let settings = "{url: \"http://s\", prefix: x_, tools: [{name: add, rename: sum}, {name: echo}, {name: gone}]}";
        let (listed, problems) = selected(settings, &["echo", "add", "other"], &[]);
        assert_eq!(listed, pairs(&[("sum", "add"), ("x_echo", "echo")]));
        assert_eq!(problems, ["the server has no tool \"gone\""]);
    }

    #[test]
    fn a_name_that_is_taken_or_too_long_is_left_out_with_a_reason() {
        let long = "x".repeat(70);
        let (listed, problems) = selected("{url: \"http://s\"}", &["echo", "a.b", "a/b", &long], &["echo"]);
        assert_eq!(listed, pairs(&[("a_b", "a.b")]));
        assert_eq!(problems.len(), 3);
        assert!(problems[0].contains("another function \"echo\""), "{problems:?}");
    }

    #[test]
    fn a_schema_that_no_model_api_takes_removes_its_own_tool() {
        let tool = |schema: Value| Tool::new("t", "d", serde_json::from_value::<Map<String, Value>>(schema).unwrap());
        assert!(server_tool(tool(json!({"type": "string"}))).is_err());
        assert!(
            server_tool(tool(
                json!({"type": "object", "properties": {"a": {"type": "nonsense"}}})
            ))
            .is_err()
        );
        let made = server_tool(tool(json!({}))).unwrap();
        assert_eq!(json!(made.input_schema), json!({"type": "object", "properties": {}}));
    }
}
