//! Tools of MCP servers over streamable HTTP. A connection lasts for one
//! operation: no session outlives an activity. Never repeats a call.

mod address;
mod connection;
mod content;
mod elicitation;
mod error;
mod listing;
mod selection;

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use rmcp::model::{CallToolRequestParams, CallToolResponse, JsonObject, RequestMetaObject};
use serde_json::{Map, Value};
use steadfast_bounds::json_schema;
use steadfast_contract::mcp::{McpAnswer, McpInputRequest};
use steadfast_crds::{AgentRevisionSpec, agent_tool::McpTool};
use steadfast_process::{BlockingWork, ErrorChain};
use tokio::time::timeout;

use self::{
    address::ServerAddress,
    connection::Connection,
    elicitation::Elicitations,
    error::{classify_request, refused, unavailable},
    listing::{Listing, Listings},
    selection::{other_functions, select},
};
pub use self::{content::McpCallResult, listing::ServerTool};
use super::functions::ListedTool;
use crate::{
    egress::{
        credentials::Credentials, http_client::Egress, policy::EgressPolicy, redaction::Redactor,
        request_target::RequestTarget,
    },
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
}

struct Inner {
    http: reqwest::Client,
    credentials: Arc<Credentials>,
    policy: EgressPolicy,
    listings: Listings,
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
                listings: Listings::default(),
                blocking,
            }),
        })
    }

    /// Makes one attempt of a call.
    pub async fn call(&self, revision: &AgentRevisionSpec, call: McpCall<'_>) -> Result<McpCallResult, CallFailure> {
        let tool = revision.tools.iter().find(|tool| tool.name == call.server);
        let Some(tool) = tool.and_then(|tool| tool.spec.mcp.as_ref()) else {
            return Err(refused(format!("the revision has no MCP server {:?}", call.server)));
        };
        let address = self.address(revision, tool)?;
        let limit = call.timeout;
        timeout(limit, self.attempt(&address, call)).await.unwrap_or_else(|_| {
            let seconds = limit.as_secs_f32();
            Err(unavailable(format!(
                "{} did not answer within {seconds} s",
                address.host
            )))
        })
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
        let address = self.address(revision, tool)?;
        let Inner { http, blocking, .. } = &*self.inner;
        self.inner.listings.get(http, blocking, name, &address).await
    }

    async fn attempt(&self, address: &ServerAddress, call: McpCall<'_>) -> Result<McpCallResult, CallFailure> {
        let (elicitations, mut requests) = Elicitations::new(call.answered);
        let connection = Connection::open(&self.inner.http, address, elicitations).await?;
        let result = tokio::select! {
            result = complete(&connection, address, &call) => result,
            // A server of the older protocol waits for the answer within the call; a person takes longer than that.
            Some(request) = requests.recv() => input_required(request, &address.redactor),
        };
        connection.close().await;
        result
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

/// Calls the tool until it has a result or needs a person.
async fn complete(
    connection: &Connection,
    address: &ServerAddress,
    call: &McpCall<'_>,
) -> Result<McpCallResult, CallFailure> {
    let mut params = CallToolRequestParams::new(call.tool.to_owned()).with_arguments(call.arguments.clone());
    params.meta = Some(meta(call));
    if let Some(answer) = call.answered {
        params.input_responses = elicitation::responses(answer);
        params.request_state = elicitation::request_state(answer);
    }
    loop {
        let response = connection
            .peer()
            .call_tool_once(params.clone())
            .await
            .map_err(|error| classify_request(address, &error))?;
        match response {
            CallToolResponse::Complete(result) => {
                return Ok(content::result(result, call.max_result_bytes, &address.redactor));
            }
            CallToolResponse::InputRequired(required) => match required.input_requests {
                Some(requests) if !requests.is_empty() => {
                    let request = elicitation::request(requests, required.request_state)?;
                    return input_required(request, &address.redactor);
                }
                // No question: the server expects the call again later, with its state.
                _ => {
                    params.input_responses = None;
                    params.request_state = required.request_state;
                    tokio::time::sleep(DELAY_BETWEEN_ROUNDS).await;
                }
            },
            _ => {
                return Err(refused(format!(
                    "{} answered with a task, which this worker does not support",
                    address.host
                )));
            }
        }
    }
}

/// A question for a person. The gateway validates the answer against the form, which is the server's.
fn input_required(mut request: McpInputRequest, redactor: &Redactor) -> Result<McpCallResult, CallFailure> {
    request.prompt = redactor.text(&request.prompt);
    redactor.value(&mut request.form);
    if let Err(error) = json_schema::check(&request.form) {
        return Err(refused(format!(
            "the MCP server asks with a form that cannot be used: {error}"
        )));
    }
    Ok(McpCallResult {
        input_required: Some(request),
        ..McpCallResult::default()
    })
}

fn meta(call: &McpCall<'_>) -> RequestMetaObject {
    let mut meta = RequestMetaObject::new();
    if let Some(key) = call.idempotency_key {
        let fields: &mut JsonObject = &mut meta;
        fields.insert(IDEMPOTENCY_KEY.to_owned(), Value::String(key.to_owned()));
    }
    if let Some(traceparent) = call.traceparent {
        meta.set_traceparent(traceparent);
    }
    meta
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
        assert!(error.message.contains("the limit is 65536 bytes"), "{error}");
    }
}
