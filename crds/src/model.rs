//! The model of an Agent and the settings of its calls. A revision contains them
//! unchanged.

use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{duration::Duration, schema};

/// A model behind an HTTP API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelSpec {
    /// The provider's name of the model, for example `gpt-5-mini`.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// The API of the provider.
    #[serde(default)]
    pub api: ModelApi,
    /// Base URL without the path of the API, for example `https://api.openai.com/v1`; may contain `${env.NAME}`. A query stands behind that path. A local
    /// address needs the permission of the installation.
    #[serde(default = "default_base_url")]
    #[schemars(length(max = 2048), regex(pattern = r"^(https?://|\$\{env\.)"))]
    pub base_url: String,
    /// Environment variable of the API key; it must be one of `credentials`. When empty, no key is sent. It is not used
    /// when `auth.tokenFile` is set.
    #[serde(default = "default_api_key_env_var")]
    #[schemars(length(max = 128), regex(pattern = "^([A-Za-z_][A-Za-z0-9_]*)?$"))]
    pub api_key_env_var: String,
    /// How the key is sent, where it is not `Authorization: Bearer <key>`, and a token that a file contains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<ModelAuth>,
    /// The habits of the server. `Learned` begins with a guess from the host of `baseUrl` and learns from what the
    /// server refuses; the other values begin with the habits of one server, and learn as well. See docs/models.md.
    #[serde(default, skip_serializing_if = "ModelDialect::is_learned")]
    pub dialect: ModelDialect,
    /// Sampling and output settings, sent unchanged.
    #[serde(default)]
    pub settings: ModelSettings,
    /// Time limits of a call.
    #[serde(default)]
    pub timeouts: ModelTimeouts,
    /// How failed calls are retried. A permanent error (4xx other than 408, 409 and 429) is never retried.
    #[serde(default)]
    pub retry: ModelRetry,
}

/// The HTTP API of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ModelApi {
    /// The OpenAI Responses API.
    #[default]
    Responses,
    /// The OpenAI Chat Completions API, which vLLM, Ollama, LiteLLM and many others offer.
    ChatCompletions,
}

/// The habits of a model server, where they differ from those of others with the same API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ModelDialect {
    /// A guess from the host, corrected by what the server refuses.
    #[default]
    Learned,
    /// OpenAI and Azure OpenAI: `max_completion_tokens` and `prompt_cache_key` in Chat Completions.
    OpenAI,
    /// DeepSeek, Kimi and others in thinking mode: `reasoning_content` in every message of the assistant.
    DeepSeek,
    /// Gemini's endpoint for OpenAI clients: a thought signature on the first call of each answer.
    Gemini,
    /// Mistral: call ids of nine letters and digits, an answer between the results of tools and a user's message.
    Mistral,
    /// Servers that render a chat template, such as vLLM, llama.cpp, SGLang and Ollama: a text in every message.
    ChatTemplate,
}

impl ModelDialect {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    fn is_learned(&self) -> bool {
        *self == Self::Learned
    }
}

/// How a model call is authenticated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelAuth {
    /// Name of the header of the key, for example `api-key` (Azure) or `x-api-key`.
    #[serde(default = "default_auth_header")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z][A-Za-z0-9-]*$"))]
    #[x_kube(validation = Rule::new("!self.matches('^(?i)(accept|connection|content-encoding|content-length|content-type|host|te|traceparent|trailer|transfer-encoding|upgrade)$')")
        .message("is a header that the worker itself sets"))]
    pub header: String,
    /// The word before the key in the header, for example `Bearer`; empty for none. When absent: `Bearer` in
    /// `Authorization`, none in another header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = "^([A-Za-z][A-Za-z0-9-]*)?$"))]
    pub scheme: Option<String>,
    /// File with the token, below `/var/run/secrets/`: workload identity. It is read for each call, so that a rotated
    /// token is used at once. `worker.podTemplate` mounts it. The token of the worker's own service account is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 512),
        regex(pattern = "^/var/run/secrets(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+$")
    )]
    #[x_kube(validation = Rule::new("!self.startsWith('/var/run/secrets/kubernetes.io/')")
        .message("is the worker's own identity in Kubernetes, which no model may get"))]
    pub token_file: Option<String>,
}

impl Default for ModelAuth {
    fn default() -> Self {
        Self {
            header: default_auth_header(),
            scheme: None,
            token_file: None,
        }
    }
}

impl ModelSpec {
    /// The file with the token, if there is one.
    #[must_use]
    pub fn token_file(&self) -> Option<&str> {
        self.auth.as_ref()?.token_file.as_deref()
    }
}

/// Settings of one model call. The provider decides about an absent setting.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelSettings {
    /// Sampling temperature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 2.0))]
    pub temperature: Option<f64>,
    /// Nucleus sampling: the considered share of the probability mass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub top_p: Option<f64>,
    /// The most output tokens of a call, with reasoning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = i32::MAX), extend("format" = "int32"))]
    pub max_output_tokens: Option<u32>,
    /// Effort and summary of a reasoning model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<ReasoningSettings>,
    /// `auto`, `required`, `none`, or the name of the tool that the model must call first; `auto` again after a tool
    /// call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub tool_choice: Option<String>,
    /// Whether the model may call several tools at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel_tool_calls: Option<bool>,
    /// What the provider does when the input is too long: `auto` or `disabled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncation: Option<Truncation>,
    /// Length of the answer: `low`, `medium` or `high`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verbosity: Option<Verbosity>,
    /// The provider's processing tier, for example `default`, `flex` or `priority`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub service_tier: Option<String>,
    /// Further members of the request body, for settings without a field here; they replace the members above.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "schema::any_object")]
    pub extra_body: Map<String, Value>,
    /// Members that are left out of the request body, for example `store`, or `reasoning.summary` for a member of a
    /// member.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        inner(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$"))
    )]
    pub omit: Vec<String>,
}

/// Settings of reasoning models.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReasoningSettings {
    /// The provider's reasoning effort: `minimal`, `low`, `medium`, `high` …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub effort: Option<String>,
    /// Kind of the streamed reasoning summary: `auto`, `concise` or `detailed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub summary: Option<String>,
}

/// What happens to an input that is too long for the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Truncation {
    /// The provider drops items from the middle.
    Auto,
    /// The call fails.
    Disabled,
}

/// The length of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verbosity {
    /// Short answers.
    Low,
    /// Answers of medium length.
    Medium,
    /// Long answers.
    High,
}

/// Time limits of a model call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelTimeouts {
    /// The longest time between two events of a stream, before the call is retried.
    #[serde(default = "default_idle_timeout")]
    pub idle: Duration,
    /// The longest time of one call, from the request to the last event.
    #[serde(default = "default_call_timeout")]
    pub call: Duration,
    /// How long after the last heartbeat of a worker its call is given to another worker.
    #[serde(default = "default_heartbeat_timeout")]
    pub heartbeat: Duration,
}

impl Default for ModelTimeouts {
    fn default() -> Self {
        Self {
            idle: default_idle_timeout(),
            call: default_call_timeout(),
            heartbeat: default_heartbeat_timeout(),
        }
    }
}

/// How a failed model call is retried. The provider's header Retry-After replaces the interval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.initialInterval) || !has(self.maximumInterval) || duration(self.initialInterval) <= duration(self.maximumInterval)")
    .message("initialInterval is at most maximumInterval"))]
#[serde(rename_all = "camelCase")]
pub struct ModelRetry {
    /// The most attempts, with the first one, before the turn fails.
    #[serde(default = "default_maximum_attempts")]
    #[schemars(range(min = 1, max = 1000), extend("format" = "int32"))]
    pub maximum_attempts: u32,
    /// Pause before the second attempt; each further pause is twice as long.
    #[serde(default = "default_initial_interval")]
    pub initial_interval: Duration,
    /// The longest pause between two attempts.
    #[serde(default = "default_maximum_interval")]
    pub maximum_interval: Duration,
}

impl Default for ModelRetry {
    fn default() -> Self {
        Self {
            maximum_attempts: default_maximum_attempts(),
            initial_interval: default_initial_interval(),
            maximum_interval: default_maximum_interval(),
        }
    }
}

fn default_base_url() -> String {
    "https://api.openai.com/v1".to_owned()
}

fn default_auth_header() -> String {
    "Authorization".to_owned()
}

fn default_api_key_env_var() -> String {
    "OPENAI_API_KEY".to_owned()
}

const fn default_idle_timeout() -> Duration {
    Duration::from_seconds(60)
}

const fn default_call_timeout() -> Duration {
    Duration::from_seconds(600)
}

const fn default_heartbeat_timeout() -> Duration {
    Duration::from_seconds(5)
}

const fn default_maximum_attempts() -> u32 {
    20
}

const fn default_initial_interval() -> Duration {
    Duration::from_seconds(1)
}

const fn default_maximum_interval() -> Duration {
    Duration::from_seconds(60)
}
