//! Tools of kind `http`: one HTTP request by the agent's worker.

use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An HTTP request. Every text is a minijinja template over the arguments, and may contain `${env.NAME}` for one of the
/// Agent's credentials. Each argument is encoded for its place and cannot leave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpTool {
    /// Method of the request.
    #[serde(default)]
    pub method: HttpMethod,
    /// URL, for example `https://example.com/orders/{{ id }}?lang={{ language }}`. An argument is encoded as one path
    /// segment or one value of the query. A credential without `hosts` needs a host that ends before the first argument.
    #[schemars(length(min = 1, max = 4096), regex(pattern = r"^(https?://|\$\{env\.)"))]
    pub url: String,
    /// Headers of the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub headers: Vec<HttpHeader>,
    /// Body of the request. In JSON, which is the default content type, an argument is one value, or inside of quotes a
    /// part of the string; a body that is no JSON is not sent. When absent, POST, PUT and PATCH send the arguments as a JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65_536))]
    pub body: Option<String>,
    /// The result for the model after a successful response: a minijinja template over `status`, `headers` (names in
    /// lower case), `body` (JSON, or text) and `args`. One value, for example `{{ body.items }}`, keeps its type; a
    /// template that is JSON gives JSON; anything else is a text. When absent, the result is the whole body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65_536))]
    pub response: Option<String>,
    /// The kind of activity that makes the request. `Local` needs a `timeout` of at most 5s, and an `idempotency` other
    /// than `None`.
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

/// The kind of activity that makes a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HttpExecution {
    /// An activity.
    #[default]
    Activity,
    /// A local activity, for short requests: it costs the Temporal server a third of an activity. The whole
    /// conversation waits for each attempt. After a handoff, requests run as `Activity`.
    Local,
}

/// The method of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    /// GET.
    #[default]
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
}

impl HttpMethod {
    /// The method in a request.
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
