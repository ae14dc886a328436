//! Tools of MCP servers over streamable HTTP. A connection lasts for one
//! operation: no session outlives an activity. Never repeats a call that a server
//! may have acted on. The client is our own: see
//! [the decision](../../../docs/decisions/0031-mcp-client.md).

mod address;
mod connection;
mod content;
mod elicitation;
mod error;
mod http;
mod listing;
mod offers;
mod param_headers;
mod selection;
mod servers;
mod tool_schema;

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use reqwest::header::HeaderMap;
use serde_json::{Map, Value, json};
use steadfast_bounds::json_schema;
use steadfast_contract::{
    mcp::{McpAnswer, McpInputRequest},
    offers::Offers,
};
use steadfast_crds::{AgentRevisionSpec, agent_tool::McpTool};
use steadfast_egress::EgressPolicy;
use steadfast_process::{BlockingWork, ErrorChain};
use tokio::time::timeout;

pub(crate) use self::offers::{LastOffers, keep_asking};
use self::{
    address::ServerAddress,
    connection::{Answer, Connection, Request, late},
    elicitation::Elicitations,
    error::{HEADER_MISMATCH, McpError, Repeatable, refused},
    http::Wire,
    listing::Listing,
    selection::{other_functions, select},
    servers::{Server, Servers},
};
pub use self::{content::McpCallResult, listing::ServerTool};
use super::functions::ListedTool;
use crate::{
    egress::{credentials::Credentials, http_client::Egress, redaction::Redactor, request_target::RequestTarget},
    failure::CallFailure,
};

/// Member of a call's `_meta` that holds its idempotency key.
const IDEMPOTENCY_KEY: &str = "steadfast.dev/idempotency-key";
/// Delay before a call is repeated because the server returned only a state.
const DELAY_BETWEEN_ROUNDS: Duration = Duration::from_secs(1);

/// Lists and calls the tools of MCP servers. Cheap to clone.
#[derive(Clone)]
pub struct McpClient {
    inner: Arc<Inner>,
    offers: LastOffers,
}

struct Inner {
    http: reqwest::Client,
    credentials: Arc<Credentials>,
    policy: EgressPolicy,
    servers: Servers,
    /// Threads for the schemas that servers list.
    blocking: BlockingWork,
}

/// One attempt of one call.
#[derive(Clone, Debug)]
pub struct McpCall<'a> {
    /// Name of the server's tool in the revision.
    pub server: &'a str,
    /// Name of the tool at the server.
    pub tool: &'a str,
    pub arguments: Map<String, Value>,
    pub idempotency_key: Option<&'a str>,
    /// W3C trace context.
    pub traceparent: Option<&'a str>,
    /// A person's answer to the input request of the attempt before.
    pub answered: Option<&'a McpAnswer>,
    /// Whether a second run of the call is safe, as the author of the AgentTool says; the server may say so too.
    pub is_repeatable: bool,
    /// The attempt before this one was lost with its worker: the tool may have acted.
    pub is_after_loss: bool,
    /// Limit for the attempt, the connection included.
    pub timeout: Duration,
    /// Texts are cut a little above it, so that the final cut shows that there was more.
    pub max_result_bytes: usize,
}

impl McpClient {
    pub fn new(credentials: Arc<Credentials>, egress: &Egress, blocking: BlockingWork) -> Result<Self, reqwest::Error> {
        Ok(Self {
            inner: Arc::new(Inner {
                http: egress.client()?,
                credentials,
                policy: egress.policy,
                servers: Servers::default(),
                blocking,
            }),
            offers: LastOffers::default(),
        })
    }

    /// The same, which records there what the servers offer.
    pub(crate) fn reporting_to(self, offers: LastOffers) -> Self {
        Self { offers, ..self }
    }

    /// Makes one attempt of a call.
    pub async fn call(&self, revision: &AgentRevisionSpec, call: McpCall<'_>) -> Result<McpCallResult, CallFailure> {
        let tool = revision.tools.iter().find(|tool| tool.name == call.server);
        let Some(tool) = tool.and_then(|tool| tool.spec.mcp.as_ref()) else {
            return Err(refused(format!("the revision has no MCP server {:?}", call.server)));
        };
        let wire = self.wire(revision, tool)?;
        let server = self.inner.servers.get(call.server, &wire);
        if call.is_after_loss && !self.may_be_repeated(&wire, &server, &call).await {
            return Err(McpError::WorkerLost.failure(&wire.address, Repeatable::No));
        }
        let limit = call.timeout;
        let attempt = timeout(limit, self.attempt(&wire, &server, &call)).await;
        attempt
            .unwrap_or_else(|_| Err(McpError::Broken(late(limit))))
            .map_err(|error| {
                let listing = server.last_listing();
                let tool = listing.as_ref().and_then(|listing| listing.tool(call.tool));
                let repeatable = match tool {
                    Some(tool) if tool.idempotent => Repeatable::Yes,
                    _ if call.is_repeatable => Repeatable::Yes,
                    _ => Repeatable::No,
                };
                error.failure(&wire.address, repeatable)
            })
    }

    /// Whether a second run of a call is safe: as the author of the AgentTool says, or as the server declares.
    async fn may_be_repeated(&self, wire: &Wire, server: &Arc<Server>, call: &McpCall<'_>) -> bool {
        if call.is_repeatable {
            return true;
        }
        let listing = server.listing(wire, &self.inner.blocking).await.ok();
        listing.is_some_and(|listing| listing.tool(call.tool).is_some_and(|tool| tool.idempotent))
    }

    /// What the servers of the revision that was listed last offered.
    #[must_use]
    pub fn offers(&self) -> Offers {
        self.offers.report()
    }

    /// The tools of one server of a revision.
    pub async fn list(
        &self,
        revision: &AgentRevisionSpec,
        name: &str,
        tool: &McpTool,
    ) -> Result<Vec<ServerTool>, CallFailure> {
        Ok(self.listing(revision, name, tool).await?.tools.clone())
    }

    /// The functions that the MCP servers of a revision add to it, in the order of the revision; and by server name
    /// the reasons why tools are missing.
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
        let offered = servers.iter().zip(&listings);
        let offered = offered.map(|((name, tool), listing)| ((*name).to_owned(), offers::offer(tool, listing)));
        let offered = offered.collect();
        self.offers.replace(&revision.agent, Offers { servers: offered });
        for ((server, tool), listing) in servers.into_iter().zip(listings) {
            let mut problem = |reason: String| problems.push((server.to_owned(), reason));
            match listing {
                Ok(listing) => {
                    listing.problems.iter().cloned().for_each(&mut problem);
                    listed.extend(select(server, tool, &listing.tools, &mut taken, problem));
                }
                Err(failure) => problem(failure.message),
            }
        }
        (listed, problems)
    }

    async fn listing(
        &self,
        revision: &AgentRevisionSpec,
        name: &str,
        tool: &McpTool,
    ) -> Result<Arc<Listing>, CallFailure> {
        let wire = self.wire(revision, tool)?;
        let server = self.inner.servers.get(name, &wire);
        server.listing(&wire, &self.inner.blocking).await
    }

    async fn attempt(&self, wire: &Wire, server: &Arc<Server>, call: &McpCall<'_>) -> Result<McpCallResult, McpError> {
        let made = self.complete(wire, server, call).await;
        match &made {
            Err(McpError::Rpc { code, .. }) if *code == HEADER_MISMATCH => server.expire_listing(),
            Err(error) if error.is_of_version() => server.protocol.forget(),
            _ => return made,
        }
        // The server has refused the form of the request, and not acted on it.
        self.complete(wire, server, call).await
    }

    /// Calls the tool until it has a result or needs a person.
    async fn complete(&self, wire: &Wire, server: &Arc<Server>, call: &McpCall<'_>) -> Result<McpCallResult, McpError> {
        let redactor = &wire.address.redactor;
        let elicitations = Elicitations::new(call.answered);
        // Nearly always from the cache: the model has seen the list.
        let listing = server.listing(wire, &self.inner.blocking).await.ok();
        let tool = listing.as_ref().and_then(|listing| listing.tool(call.tool));
        let arguments = tool.map_or_else(|| call.arguments.clone(), |tool| servers_names(tool, &call.arguments));
        let headers = tool.map_or_else(HeaderMap::new, |tool| param_headers::of_call(&tool.headers, &arguments));
        let mut params = params(call, arguments);
        let mut connection = Connection::open(wire.clone(), &server.protocol).await?;
        loop {
            let request = Request {
                method: "tools/call",
                params: params.clone(),
                headers: headers.clone(),
            };
            let result = match connection.request(request, &elicitations).await? {
                // A person takes longer than the call may: the connection is closed, and with it the call.
                Answer::Question(request) => return input_required(request, redactor),
                Answer::Result(result) => result,
            };
            match result["resultType"].as_str() {
                Some("input_required") => {}
                Some("task") => {
                    let reason = "a task, which this worker does not wait for".to_owned();
                    return Err(McpError::Unreadable(reason));
                }
                _ => return Ok(content::result(result, call.max_result_bytes, redactor)),
            }
            let state = result.get("requestState").filter(|state| !state.is_null());
            match result["inputRequests"].as_object() {
                Some(requests) if !requests.is_empty() => {
                    let request = elicitation::request(requests, state).map_err(McpError::Unreadable)?;
                    return input_required(request, redactor);
                }
                // No question: the server expects the call again later, with its state.
                _ => {
                    params.remove("inputResponses");
                    params.insert("requestState".to_owned(), state.cloned().unwrap_or_default());
                    tokio::time::sleep(DELAY_BETWEEN_ROUNDS).await;
                }
            }
        }
    }

    fn wire(&self, revision: &AgentRevisionSpec, tool: &McpTool) -> Result<Wire, CallFailure> {
        Ok(Wire {
            http: self.inner.http.clone(),
            policy: self.inner.policy,
            address: Arc::new(self.address(revision, tool)?),
        })
    }

    fn address(&self, revision: &AgentRevisionSpec, tool: &McpTool) -> Result<ServerAddress, CallFailure> {
        let target = RequestTarget {
            credentials: &self.inner.credentials,
            policy: self.inner.policy,
            revision,
            scope: None,
        };
        let (url, headers) = target
            .url_and_headers(&tool.url, &tool.headers)
            .map_err(|error| refused(ErrorChain(&error).to_string()))?;
        let redactor = self.inner.credentials.redactor(revision);
        Ok(ServerAddress::new(url.url, headers, redactor))
    }
}

fn params(call: &McpCall<'_>, arguments: Map<String, Value>) -> Map<String, Value> {
    let mut params = Map::new();
    params.insert("name".to_owned(), json!(call.tool));
    params.insert("arguments".to_owned(), Value::Object(arguments));
    let mut meta = Map::new();
    for (name, value) in [
        (IDEMPOTENCY_KEY, call.idempotency_key),
        ("traceparent", call.traceparent),
    ] {
        if let Some(value) = value {
            meta.insert(name.to_owned(), json!(value));
        }
    }
    params.insert("_meta".to_owned(), Value::Object(meta));
    if let Some(answer) = call.answered {
        let answers = [
            ("inputResponses", elicitation::responses(answer)),
            ("requestState", elicitation::request_state(answer)),
        ];
        for (name, value) in answers {
            if let Some(value) = value {
                params.insert(name.to_owned(), value);
            }
        }
    }
    params
}

/// The arguments under the names that the server gave its parameters.
fn servers_names(tool: &ServerTool, arguments: &Map<String, Value>) -> Map<String, Value> {
    let named = arguments.iter().map(|(name, value)| {
        let name = tool.renamed.get(name).unwrap_or(name);
        (name.clone(), value.clone())
    });
    named.collect()
}

/// A question for a person. The gateway validates the answer against the form, which is the server's.
fn input_required(mut request: McpInputRequest, redactor: &Redactor) -> Result<McpCallResult, McpError> {
    request.prompt = redactor.text(&request.prompt);
    redactor.value(&mut request.form);
    if let Err(error) = json_schema::check(&request.form) {
        return Err(McpError::Unreadable(format!(
            "a question with a form that cannot be used: {error}"
        )));
    }
    Ok(McpCallResult {
        input_required: Some(request),
        ..McpCallResult::default()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_form_out_of_bounds_is_not_shown_to_people() {
        let asked = |form: Value| {
            let request = McpInputRequest {
                prompt: "City?".to_owned(),
                form,
                state: Value::Null,
                keys: Vec::new(),
            };
            input_required(request, &Redactor::default())
        };
        assert!(asked(Value::Null).is_ok());
        assert!(asked(json!({"type": "object", "properties": {"city": {"type": "string"}}})).is_ok());
        let error = asked(json!({"description": "x".repeat(json_schema::MAXIMUM_BYTES)})).unwrap_err();
        assert!(
            matches!(&error, McpError::Unreadable(text) if text.contains("the limit is 65536 bytes")),
            "{error:?}"
        );
    }
}
