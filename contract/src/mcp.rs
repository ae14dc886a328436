//! Calls of tools of MCP servers: their target, and the input that a server asks for in the middle of a call.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Which tool of which server a call goes to, as the model call found it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct McpTarget {
    /// Name of the server's AgentTool in the revision.
    pub server: String,
    /// Name of the tool at the server.
    pub tool: String,
}

/// The answer of a person to an [`McpInputRequest`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct McpAnswer {
    /// The request that is answered.
    pub request: McpInputRequest,
    /// `accept`, `decline` or `cancel`.
    pub action: String,
    /// The result, as JSON.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub content: Value,
}

/// What a server asks for in the middle of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct McpInputRequest {
    /// What a person reads.
    pub prompt: String,
    /// JSON Schema of what is asked for; null when it is only agreement.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub form: Value,
    /// The server's own, given back to it as it is.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub state: Value,
    /// Keys of the requests that the answer is for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
}
