//! Tools of MCP servers, over streamable HTTP. A connection lives as long as one
//! operation: no session outlives an activity. What servers list is kept for a
//! while, and so is that one cannot be reached. Nothing here repeats a call.

mod connection;
mod content;
mod elicitation;
mod failure;
mod listing;

use std::{sync::Arc, time::Duration};

use rmcp::model::{CallToolRequestParams, CallToolResponse, JsonObject, RequestMetaObject};
use serde_json::{Map, Value};
use steadfast_contract::activities::{McpAnswer, McpInputRequest};
use steadfast_crds::{AgentRevisionSpec, agent_tool::McpTool};
use tokio::time::timeout;

use self::{
    connection::{Connection, ServerAddress},
    elicitation::Elicitations,
    listing::Listings,
};
pub use self::{failure::McpError, listing::ServerTool};
use crate::{
    address::{AddressPolicy, chain},
    credentials::Credentials,
    target::Target,
};

/// Under which a call's idempotency key stands in its `_meta`.
pub const IDEMPOTENCY_KEY: &str = "steadfast.dev/idempotency-key";
/// How long a server may ask to be called again with nothing but its own state.
const PAUSE_BETWEEN_ROUNDS: Duration = Duration::from_secs(1);

/// Lists and calls the tools of MCP servers. Cheap to clone.
#[derive(Clone)]
pub struct McpClient {
    inner: Arc<Inner>,
}

struct Inner {
    http: reqwest::Client,
    credentials: Arc<Credentials>,
    policy: AddressPolicy,
    listings: Listings,
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
    /// What a person answered to what the server asked for at the attempt before.
    pub answered: Option<&'a McpAnswer>,
    /// Longest time the attempt may take, the connection included.
    pub timeout: Duration,
    /// Texts are cut a little above it, so that the model can be told.
    pub max_result_bytes: usize,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct McpCallResult {
    pub content: Value,
    /// The tool failed, in its own words.
    pub is_error: bool,
    /// The server asks for more; there is no content yet.
    pub input_required: Option<McpInputRequest>,
}

impl McpClient {
    pub fn new(credentials: Arc<Credentials>, policy: AddressPolicy) -> Result<Self, reqwest::Error> {
        Ok(Self {
            inner: Arc::new(Inner {
                http: policy.client()?,
                credentials,
                policy,
                listings: Listings::default(),
            }),
        })
    }

    /// Makes one attempt of a call.
    pub async fn call(&self, revision: &AgentRevisionSpec, call: McpCall<'_>) -> Result<McpCallResult, McpError> {
        let tool = revision.tools.iter().find(|tool| tool.name == call.server);
        let Some(tool) = tool.and_then(|tool| tool.spec.mcp.as_ref()) else {
            return Err(McpError::Refused(format!(
                "the revision has no MCP server {:?}",
                call.server
            )));
        };
        let address = self.address(revision, tool)?;
        let limit = call.timeout;
        timeout(limit, self.attempt(&address, call)).await.unwrap_or_else(|_| {
            Err(McpError::Unavailable(format!(
                "{} did not answer within {} s",
                address.host,
                limit.as_secs_f32()
            )))
        })
    }

    async fn attempt(&self, address: &ServerAddress, call: McpCall<'_>) -> Result<McpCallResult, McpError> {
        let (elicitations, mut asked) = Elicitations::new(call.answered);
        let connection = Connection::open(&self.inner.http, address, elicitations).await?;
        let result = tokio::select! {
            result = complete(&connection, address, &call) => result,
            // A server of the older protocol waits for the answer inside the call; a person takes longer than that.
            Some(request) = asked.recv() => Ok(McpCallResult { input_required: Some(request), ..McpCallResult::default() }),
        };
        connection.close().await;
        result
    }

    fn address(&self, revision: &AgentRevisionSpec, tool: &McpTool) -> Result<ServerAddress, McpError> {
        let target = Target {
            credentials: &self.inner.credentials,
            policy: self.inner.policy,
            revision,
            scope: None,
        };
        let made = target
            .url(&tool.url)
            .and_then(|url| Ok((target.headers(&tool.headers, &url)?, url)));
        let (headers, url) = made.map_err(|error| McpError::Refused(chain(&error)))?;
        Ok(ServerAddress::new(url, headers))
    }
}

/// Calls until there is a result or a person is needed.
async fn complete(
    connection: &Connection,
    address: &ServerAddress,
    call: &McpCall<'_>,
) -> Result<McpCallResult, McpError> {
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
            .map_err(|error| failure::of_service(address, &error))?;
        match response {
            CallToolResponse::Complete(result) => return Ok(content::result(result, call.max_result_bytes)),
            CallToolResponse::InputRequired(required) => match required.input_requests {
                Some(requests) if !requests.is_empty() => {
                    return Ok(McpCallResult {
                        input_required: Some(elicitation::request(requests, required.request_state)?),
                        ..McpCallResult::default()
                    });
                }
                // Nobody is asked: the server wants the call again, with its state and not at once.
                _ => {
                    params.input_responses = None;
                    params.request_state = required.request_state;
                    tokio::time::sleep(PAUSE_BETWEEN_ROUNDS).await;
                }
            },
            _ => {
                return Err(McpError::Refused(format!(
                    "{} answered with a task, which this worker has not offered to follow",
                    address.host
                )));
            }
        }
    }
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
