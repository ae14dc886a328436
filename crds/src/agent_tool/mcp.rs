//! Tools of kind `mcp`: the tools of one remote MCP server.

use kube_derive::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{approval::ApprovalPolicy, http::HttpHeader};

/// An MCP server over streamable HTTP (protocol versions 2025-03-26 to 2026-07-28). The worker lists its tools. When the
/// server does not respond, only its own tools are missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct McpTool {
    /// URL of the server; may contain `${env.NAME}`.
    #[schemars(length(min = 1, max = 4096), regex(pattern = r"^(https?://|\$\{env\.)"))]
    pub url: String,
    /// Headers of every request; values may contain `${env.NAME}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub headers: Vec<HttpHeader>,
    /// Prefix of each tool's name, for servers whose tools have the names of other tools.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 32), regex(pattern = "^[A-Za-z0-9_-]*$"))]
    pub prefix: String,
    /// The tools of the server that the model sees; all tools when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    pub tools: Vec<McpToolSelection>,
}

/// One tool of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct McpToolSelection {
    /// Name of the tool on the server.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// Name of the tool for the model, without the prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_-]+$"))]
    pub rename: Option<String>,
    /// Approval policy of the calls; it can only tighten the policy of the AgentTool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalPolicy>,
}
