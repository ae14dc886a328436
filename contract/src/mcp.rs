//! Calls of tools of MCP servers: their target, and the input that a server asks for in the middle of a call.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::approvals;

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

/// Longest request of a server with its state, as JSON: it is given back with the answer.
const MAX_REQUEST_BYTES: usize = 256 * 1024;

impl McpInputRequest {
    /// Why it is too large to be asked; `None` if it is not.
    pub fn too_large(&self) -> Option<String> {
        let size_bytes = serde_json::to_vec(self).map_or(0, |json| json.len());
        approvals::too_large(&self.prompt, &self.form, &Value::Null).or_else(|| {
            (size_bytes > MAX_REQUEST_BYTES).then(|| {
                format!(
                    "the question to a person and the server's state take {size_bytes} bytes, and {MAX_REQUEST_BYTES} are allowed"
                )
            })
        })
    }
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
