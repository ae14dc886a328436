//! The tools that MCP servers list. A list is cached for a minute, or for as long
//! as the server says; a failure is cached for a shorter time, so that a broken
//! server costs little and removes only its own tools.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rmcp::model::Tool;
use serde_json::{Map, Value, json};
use steadfast_json_schema::CompiledSchema;
use steadfast_process::BlockingWork;
use tokio::time::{Instant, timeout};

use super::{
    address::ServerAddress,
    connection::Connection,
    elicitation::Elicitations,
    error::{classify_request, unavailable},
};
use crate::{egress::redaction::Redactor, failure::CallFailure};

/// Limit for listing the tools of a server, the connection included.
const LIST_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a list is cached if the server does not say.
const DEFAULT_TTL: Duration = Duration::from_mins(1);
/// How long a list is cached at most.
const MAXIMUM_TTL: Duration = Duration::from_mins(10);
/// How long a failure is cached.
const FAILURE_TTL: Duration = Duration::from_secs(15);
/// Limit for cached servers; expired lists are removed above it.
const MAXIMUM_SERVERS: usize = 256;
/// Longest description of a tool, the same as that of an AgentTool.
const MAXIMUM_DESCRIPTION_BYTES: usize = 4_096;
/// Limit for checking the schemas of all tools of a server.
const SCHEMAS_DEADLINE: Duration = Duration::from_secs(10);

/// A tool as its server describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerTool {
    pub name: String,
    pub description: String,
    /// JSON Schema of the arguments, an object.
    pub input_schema: Map<String, Value>,
    /// The server declares that the tool changes nothing.
    pub read_only: bool,
}

/// The tools of a server, and why others cannot be used.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) tools: Vec<ServerTool>,
    pub(super) problems: Vec<String>,
}

/// A server and its headers: with other credentials it may list other tools. Has no `Debug`: it holds secrets.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct CacheKey {
    server: String,
    url: String,
    headers: Vec<(String, Vec<u8>)>,
}

struct CachedListing {
    expires_at: Instant,
    listing: Result<Arc<Listing>, CallFailure>,
}

/// Locked during a request, so that concurrent callers share its result.
type Slot = Arc<tokio::sync::Mutex<Option<CachedListing>>>;

/// The cache of a process.
#[derive(Default)]
pub(super) struct Listings(Mutex<BTreeMap<CacheKey, Slot>>);

impl Listings {
    /// The list of a server, from the cache or from the server.
    pub(super) async fn get(
        &self,
        http: &reqwest::Client,
        blocking: &BlockingWork,
        server: &str,
        address: &ServerAddress,
    ) -> Result<Arc<Listing>, CallFailure> {
        let headers = address.headers.iter();
        let slot = self.slot(CacheKey {
            server: server.to_owned(),
            url: address.url.to_string(),
            headers: headers
                .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
                .collect(),
        });
        let mut cached = slot.lock().await;
        if let Some(cached) = cached.as_ref().filter(|cached| cached.expires_at > Instant::now()) {
            return cached.listing.clone();
        }
        let fetched = timeout(LIST_TIMEOUT, fetch(http, blocking, address))
            .await
            .unwrap_or_else(|_| {
                let seconds = LIST_TIMEOUT.as_secs();
                Err(unavailable(format!(
                    "{} did not list its tools within {seconds} s",
                    address.host
                )))
            });
        let (ttl, listing) = match fetched {
            Ok((ttl, listing)) => (ttl, Ok(Arc::new(listing))),
            Err(failure) => {
                tracing::warn!(server, error = %failure, "tools of an MCP server not listed");
                (FAILURE_TTL, Err(failure))
            }
        };
        *cached = Some(CachedListing {
            expires_at: Instant::now() + ttl,
            listing: listing.clone(),
        });
        listing
    }

    fn slot(&self, key: CacheKey) -> Slot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MAXIMUM_SERVERS && !slots.contains_key(&key) {
            let now = Instant::now();
            // A locked slot is in use.
            slots.retain(|_, slot| match slot.try_lock() {
                Ok(cached) => cached.as_ref().is_some_and(|cached| cached.expires_at > now),
                Err(_) => true,
            });
        }
        slots.entry(key).or_default().clone()
    }
}

async fn fetch(
    http: &reqwest::Client,
    blocking: &BlockingWork,
    address: &ServerAddress,
) -> Result<(Duration, Listing), CallFailure> {
    let (elicitations, _requests) = Elicitations::new(None);
    let connection = Connection::open(http, address, elicitations).await?;
    let listed = connection.peer().list_all_tools_with_cache_hint().await;
    connection.close().await;
    let listed = listed.map_err(|error| classify_request(address, &error))?;
    let ttl = listed.ttl_ms.map_or(DEFAULT_TTL, Duration::from_millis);
    let redactor = address.redactor.clone();
    let listing = blocking
        .run(&address.host, SCHEMAS_DEADLINE, move || {
            check_tools(listed.items, &redactor)
        })
        .await
        .map_err(|error| unavailable(format!("the tools of {} could not be checked: {error}", address.host)))?;
    Ok((ttl.min(MAXIMUM_TTL), listing))
}

fn check_tools(tools: Vec<Tool>, redactor: &Redactor) -> Listing {
    let mut listing = Listing::default();
    for tool in tools {
        match server_tool(tool) {
            Ok(mut tool) => {
                tool.description = redactor.text(&tool.description);
                listing.tools.push(tool);
            }
            Err(problem) => listing.problems.push(redactor.text(&problem)),
        }
    }
    listing
}

/// Checks the schema of a tool: a model API would refuse the whole request for one invalid schema.
fn server_tool(tool: Tool) -> Result<ServerTool, String> {
    let name = tool.name.into_owned();
    let mut schema = (*tool.input_schema).clone();
    schema.entry("type").or_insert_with(|| json!("object"));
    schema.entry("properties").or_insert_with(|| json!({}));
    if schema["type"] != "object" {
        return Err(format!("the tool {name:?} does not take an object as its arguments"));
    }
    let schema = Value::Object(schema);
    if let Err(error) = CompiledSchema::compile(&schema) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_with_an_invalid_schema_is_not_listed() {
        let tool = |schema: Value| Tool::new("t", "d", serde_json::from_value::<Map<String, Value>>(schema).unwrap());
        assert!(server_tool(tool(json!({"type": "string"}))).is_err());
        assert!(
            server_tool(tool(
                json!({"type": "object", "properties": {"a": {"type": "nonsense"}}})
            ))
            .is_err()
        );
        let recursive = json!({"type": "object", "allOf": [{"$ref": "#"}]});
        assert!(server_tool(tool(recursive)).unwrap_err().contains("refers to itself"));
        let made = server_tool(tool(json!({}))).unwrap();
        assert_eq!(json!(made.input_schema), json!({"type": "object", "properties": {}}));
    }
}
