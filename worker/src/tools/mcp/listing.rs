//! The tools that MCP servers list. A list is cached for a minute, or for as long
//! as the server says within bounds; a failure too, the longer the more often it
//! happens, so that a broken server costs little and removes only its own tools.
//! Each server is asked once at a time, and nobody holds a lock meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use reqwest::header::HeaderMap;
use serde_json::{Map, Value};
use steadfast_json_schema::CompiledSchema;
use steadfast_process::BlockingWork;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::{
    connection::{Answer, Connection, ProtocolMemory, Request, late},
    elicitation::Elicitations,
    error::{McpError, Repeatable, unavailable},
    http::Wire,
    param_headers::{self, ParamHeader},
    tool_schema,
};
use crate::{egress::redaction::Redactor, failure::CallFailure};

/// Limit for listing the tools of a server, the connection included.
const LIST_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a caller waits for a new list while there is an older one, or while the server fails.
const WAIT_BESIDE_OLDER: Duration = Duration::from_secs(2);
/// How long a list is cached if the server does not say.
const DEFAULT_TTL: Duration = Duration::from_mins(1);
/// How long a list is cached at least: many servers say 0.
const MINIMUM_TTL: Duration = Duration::from_secs(15);
/// How long a list is cached at most, and how long it is used while the server does not answer.
const MAXIMUM_TTL: Duration = Duration::from_mins(10);
/// How long the first failure is cached; each further one twice as long. Short: a server that starts together with
/// its agents is there a moment later, and a turn without its tools is a wrong turn.
const FAILURE_TTL: Duration = Duration::from_secs(1);
/// How often the time of a failure doubles.
const MAXIMUM_DOUBLINGS: u32 = 8;
/// Limit for cached servers; those without a usable list are removed above it.
const MAXIMUM_SERVERS: usize = 256;
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

/// A server and its headers: with other credentials it may list other tools. Has no `Debug`: it holds secrets.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct CacheKey {
    server: String,
    url: String,
    headers: Vec<(String, Vec<u8>)>,
}

/// What this process knows of the servers.
#[derive(Default)]
pub(super) struct Servers(Mutex<BTreeMap<CacheKey, Arc<Server>>>);

/// What this process knows of one server.
#[derive(Default)]
pub(super) struct Server {
    pub(super) protocol: ProtocolMemory,
    state: Mutex<ServerState>,
}

#[derive(Default)]
struct ServerState {
    listing: Option<CachedListing>,
    failure: Option<CachedFailure>,
    /// Becomes true when the request that runs has ended.
    running: Option<watch::Receiver<bool>>,
}

struct CachedListing {
    listing: Arc<Listing>,
    expires_at: Instant,
    /// Until then it is used while the server does not answer.
    usable_until: Instant,
}

struct CachedFailure {
    failure: CallFailure,
    retry_at: Instant,
    times: u32,
}

impl Servers {
    pub(super) fn get(&self, name: &str, wire: &Wire) -> Arc<Server> {
        let headers = wire.address.headers.iter();
        let key = CacheKey {
            server: name.to_owned(),
            url: wire.address.url.to_string(),
            headers: headers
                .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
                .collect(),
        };
        let mut servers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if servers.len() >= MAXIMUM_SERVERS && !servers.contains_key(&key) {
            let now = Instant::now();
            // A server with another owner is in use.
            servers.retain(|_, server| Arc::strong_count(server) > 1 || server.state().is_of_use(now));
        }
        servers.entry(key).or_default().clone()
    }
}

impl ServerState {
    fn is_of_use(&self, now: Instant) -> bool {
        self.listing.as_ref().is_some_and(|cached| cached.usable_until > now)
    }

    /// The answer that needs no request.
    fn fresh(&self, now: Instant) -> Option<Result<Arc<Listing>, CallFailure>> {
        let fresh = self.listing.as_ref().filter(|cached| cached.expires_at > now);
        if let Some(cached) = fresh {
            return Some(Ok(cached.listing.clone()));
        }
        let failure = self.failure.as_ref().filter(|cached| cached.retry_at > now)?;
        Some(self.usable(now).ok_or_else(|| failure.failure.clone()))
    }

    /// The newest list, however old it may be.
    fn usable(&self, now: Instant) -> Option<Arc<Listing>> {
        let usable = self.listing.as_ref().filter(|cached| cached.usable_until > now);
        usable.map(|cached| cached.listing.clone())
    }

    fn succeeded(&mut self, now: Instant, ttl: Duration, listing: Listing) {
        self.listing = Some(CachedListing {
            listing: Arc::new(listing),
            expires_at: now + ttl,
            usable_until: now + MAXIMUM_TTL,
        });
        self.failure = None;
    }

    fn failed(&mut self, now: Instant, failure: CallFailure) {
        let times = self.failure.as_ref().map_or(0, |failure| failure.times + 1);
        self.failure = Some(CachedFailure {
            failure,
            retry_at: now + FAILURE_TTL * 2_u32.pow(times.min(MAXIMUM_DOUBLINGS)),
            times,
        });
    }
}

impl Server {
    fn state(&self) -> MutexGuard<'_, ServerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The list of the server, from the cache or from the server.
    pub(super) async fn listing(
        self: &Arc<Self>,
        wire: &Wire,
        blocking: &BlockingWork,
    ) -> Result<Arc<Listing>, CallFailure> {
        let (mut ended, longest_wait) = {
            let mut state = self.state();
            let now = Instant::now();
            if let Some(answer) = state.fresh(now) {
                return answer;
            }
            let is_waited_for = state.usable(now).is_none() && state.failure.is_none();
            let longest_wait = if is_waited_for { LIST_TIMEOUT } else { WAIT_BESIDE_OLDER };
            let running = state.running.as_ref().filter(|running| running.has_changed().is_ok());
            let ended = running.cloned().unwrap_or_else(|| {
                let ended = self.ask(wire, blocking);
                state.running = Some(ended.clone());
                ended
            });
            (ended, longest_wait)
        };
        // The time is over, or the request has ended; both are seen in the state.
        let _ = timeout(longest_wait, ended.wait_for(|ended| *ended)).await;
        let state = self.state();
        if let Some(listing) = state.usable(Instant::now()) {
            return Ok(listing);
        }
        Err(state.failure.as_ref().map_or_else(
            || {
                unavailable(format!(
                    "{} did not list its tools: {}",
                    wire.address.host,
                    late(longest_wait)
                ))
            },
            |cached| cached.failure.clone(),
        ))
    }

    /// The list as it was last seen, without asking.
    pub(super) fn last_listing(&self) -> Option<Arc<Listing>> {
        self.state().usable(Instant::now())
    }

    /// Lets the next caller ask the server.
    pub(super) fn expire_listing(&self) {
        if let Some(cached) = &mut self.state().listing {
            cached.expires_at = Instant::now();
        }
    }

    /// Asks the server, for all who wait.
    fn ask(self: &Arc<Self>, wire: &Wire, blocking: &BlockingWork) -> watch::Receiver<bool> {
        let (sender, receiver) = watch::channel(false);
        let (server, wire, blocking) = (self.clone(), wire.clone(), blocking.clone());
        tokio::spawn(async move {
            let fetched = timeout(LIST_TIMEOUT, fetch(&server, &wire, &blocking)).await;
            let fetched = fetched.unwrap_or_else(|_| {
                let host = &wire.address.host;
                Err(unavailable(format!(
                    "{host} did not list its tools: {}",
                    late(LIST_TIMEOUT)
                )))
            });
            {
                let mut state = server.state();
                match fetched {
                    Ok((ttl, listing)) => state.succeeded(Instant::now(), ttl, listing),
                    Err(failure) => {
                        tracing::warn!(host = wire.address.host, error = %failure, "tools of an MCP server not listed");
                        state.failed(Instant::now(), failure);
                    }
                }
                state.running = None;
            }
            let _ = sender.send(true);
        });
        receiver
    }
}

async fn fetch(server: &Server, wire: &Wire, blocking: &BlockingWork) -> Result<(Duration, Listing), CallFailure> {
    let failed = |error: McpError| error.failure(&wire.address, Repeatable::Yes);
    let mut pages = fetch_pages(server, wire).await;
    if matches!(&pages, Err(error) if error.is_of_version()) {
        server.protocol.forget();
        pages = fetch_pages(server, wire).await;
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

async fn fetch_pages(server: &Server, wire: &Wire) -> Result<Pages, McpError> {
    let mut connection = Connection::open(wire.clone(), &server.protocol).await?;
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
