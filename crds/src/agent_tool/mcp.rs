//! Tools of kind `mcp`: the tools of one remote MCP server.

use kube_derive::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{approval::ApprovalPolicy, http::HttpHeader};

/// An MCP server over streamable HTTP (protocol versions 2026-07-28 and 2025-11-25). The worker lists its
/// tools; a server that does not answer takes only its own tools away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct McpTool {
    /// URL of the server; may name `${env.NAME}`.
    #[schemars(length(min = 1, max = 4096), regex(pattern = r"^(https?://|\$\{env\.)"))]
    pub url: String,
    /// Headers of every request; values may name `${env.NAME}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub headers: Vec<HttpHeader>,
    /// Put before each tool's name, for servers whose names collide with others.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 32), regex(pattern = "^[A-Za-z0-9_-]*$"))]
    pub prefix: String,
    /// Which of the server's tools the model sees; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub tools: Vec<McpToolSelection>,
}

/// One tool of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct McpToolSelection {
    /// Name of the tool at the server.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// What the model calls it instead; the prefix is not put before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_-]+$"))]
    pub rename: Option<String>,
    /// Whether a person must agree to its calls; tightens the policy of the whole server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalPolicy>,
}
