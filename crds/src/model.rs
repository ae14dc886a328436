//! Which model an Agent calls and how: the part of an Agent that workers take
//! over unchanged.

use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{duration::Duration, schema};

/// A model behind an HTTP API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelSpec {
    /// Name of the model as its provider spells it, for example `gpt-5-mini`.
    #[schemars(length(min = 1, max = 256))]
    pub name: String,
    /// Which of the provider's APIs to call.
    #[serde(default)]
    pub api: ModelApi,
    /// Base URL up to and without the path of the API; may name `${env.NAME}`.
    #[serde(default = "default_base_url")]
    #[schemars(length(max = 2048), regex(pattern = r"^(https?://|\$\{env\.)"))]
    pub base_url: String,
    /// Environment variable that holds the API key; one of `credentials`. Empty: no key is sent.
    #[serde(default = "default_api_key_env_var")]
    #[schemars(length(max = 128), regex(pattern = "^([A-Za-z_][A-Za-z0-9_]*)?$"))]
    pub api_key_env_var: String,
    /// Sampling and output settings, sent as they are.
    #[serde(default)]
    pub settings: ModelSettings,
    /// How long a call may take.
    #[serde(default)]
    pub timeouts: ModelTimeouts,
    /// How failed calls are repeated. Errors that cannot heal (4xx other than 408, 409 and 429) never are.
    #[serde(default)]
    pub retry: ModelRetry,
}

/// The HTTP API a model is called through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ModelApi {
    /// The OpenAI Responses API.
    #[default]
    Responses,
    /// The OpenAI Chat Completions API, which vLLM, Ollama, LiteLLM and many others speak.
    ChatCompletions,
}

/// Settings of one model call. What is absent is left to the provider.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelSettings {
    /// Sampling temperature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 2.0))]
    pub temperature: Option<f64>,
    /// Nucleus sampling: the share of probability mass that is considered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub top_p: Option<f64>,
    /// Upper bound of generated tokens per call, reasoning included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1), extend("format" = "int32"))]
    pub max_output_tokens: Option<u32>,
    /// How much a reasoning model thinks and what it shows of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<ReasoningSettings>,
    /// `auto`, `required`, `none`, or the name of the one tool to call first; back to `auto` after a tool was called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub tool_choice: Option<String>,
    /// Whether the model may ask for several tools at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel_tool_calls: Option<bool>,
    /// What the provider does when the input is too long: `auto` or `disabled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncation: Option<Truncation>,
    /// How wordy the answer is: `low`, `medium` or `high`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verbosity: Option<Verbosity>,
    /// The provider's processing tier, for example `default`, `flex` or `priority`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub service_tier: Option<String>,
    /// Further members of the request body, for what this API does not name; they win over the ones above.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "schema::any_object")]
    pub extra_body: Map<String, Value>,
}

/// Settings of reasoning models.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReasoningSettings {
    /// How much the model thinks, in the provider's words: `minimal`, `low`, `medium`, `high` …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub effort: Option<String>,
    /// Which summary of its reasoning is streamed: `auto`, `concise` or `detailed`.
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

/// How wordy an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verbosity {
    /// Short answers.
    Low,
    /// The provider's middle way.
    Medium,
    /// Long answers.
    High,
}

/// Time limits of a model call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelTimeouts {
    /// Longest silence between two events of a stream, before the call is tried again.
    #[serde(default = "default_idle_timeout")]
    pub idle: Duration,
    /// Longest time one call may take, from request to last event.
    #[serde(default = "default_call_timeout")]
    pub call: Duration,
    /// How long after a worker's last sign of life its call is given to another one.
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

/// How a failed model call is repeated; a Retry-After of the provider wins over the intervals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelRetry {
    /// Calls in all, the first one included, before the turn fails.
    #[serde(default = "default_maximum_attempts")]
    #[schemars(range(min = 1, max = 1000), extend("format" = "int32"))]
    pub maximum_attempts: u32,
    /// Pause before the second attempt; each further pause is twice the last.
    #[serde(default = "default_initial_interval")]
    pub initial_interval: Duration,
    /// Longest pause between two attempts.
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
