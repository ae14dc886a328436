//! Tools of kind `http`: one request made by the agent's worker.

use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An HTTP request. Every text may name `${env.NAME}` (from the Agent's credentials)
/// and is a minijinja template over the arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpTool {
    /// Method of the request.
    #[serde(default)]
    pub method: HttpMethod,
    /// URL; arguments in it need the filter `urlencode`: `https://example.com/?q={{ query | urlencode }}`.
    #[schemars(length(min = 1, max = 4096), regex(pattern = r"^(https?://|\$\{env\.)"))]
    pub url: String,
    /// Headers of the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub headers: Vec<HttpHeader>,
    /// Body of the request; when absent, POST, PUT and PATCH send the arguments as a JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65_536))]
    pub body: Option<String>,
    /// What the model gets of a successful answer, as a minijinja template over `status`, `headers` (names in lower
    /// case), `body` (JSON, or text) and `args`: `{{ body.items | tojson }}`. JSON where the text is JSON; the whole
    /// body when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65_536))]
    pub response: Option<String>,
    /// What the request runs as. `Local` needs a `timeout` of at most 5s and an `idempotency` other than `None`.
    #[serde(default)]
    pub execution: HttpExecution,
}

/// One header of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpHeader {
    /// Name of the header.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"^[-!#$%&'*+.^_`|~0-9A-Za-z]+$"))]
    pub name: String,
    /// Value, for example `Bearer ${env.WEATHER_TOKEN}`.
    #[schemars(length(max = 8192))]
    pub value: String,
}

/// What a request runs as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HttpExecution {
    /// An activity of its own.
    #[default]
    Activity,
    /// A local activity, for short requests: a third of the work for the Temporal server. Whatever else happens in
    /// the conversation waits for each attempt. `Activity` where another agent has taken over.
    Local,
}

/// Methods a tool may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    /// Read.
    #[default]
    Get,
    /// Create or act.
    Post,
    /// Replace.
    Put,
    /// Change.
    Patch,
    /// Remove.
    Delete,
}

impl HttpMethod {
    /// The method as it stands in a request.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}
