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
    /// Environment variable of the API key; it must be one of `credentials`. When empty, no key is sent.
    #[serde(default = "default_api_key_env_var")]
    #[schemars(length(max = 128), regex(pattern = "^([A-Za-z_][A-Za-z0-9_]*)?$"))]
    pub api_key_env_var: String,
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
