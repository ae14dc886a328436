//! The input of the model and its output: the context window of a long
//! conversation, the schema of the final answer, and the tools that end a turn.

use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::schema;

/// The part of a long conversation that the model receives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContextSettings {
    /// Size of the model's context window in tokens, with the answer.
    #[serde(default = "default_window_tokens")]
    #[schemars(range(min = 1_000), extend("format" = "int64"))]
    pub window_tokens: u64,
    /// What happens when a conversation nearly fills the context window.
    #[serde(default)]
    pub compaction: CompactionSettings,
}

impl Default for ContextSettings {
    fn default() -> Self {
        Self {
            window_tokens: default_window_tokens(),
            compaction: CompactionSettings::default(),
        }
    }
}

/// Compaction: the model summarizes the conversation and continues from the summary. People still see every message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CompactionSettings {
    /// Whether conversations are compacted; without compaction a turn fails when the conversation no longer fits.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// How full the context window may be, in percent, before the conversation is compacted.
    #[serde(default = "default_threshold_percent")]
    #[schemars(range(min = 10, max = 95), extend("format" = "int32"))]
    pub threshold_percent: u32,
    /// Further instructions for the summary, for example facts that it must keep.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 4096))]
    pub instructions: String,
}

impl Default for CompactionSettings {
    fn default() -> Self {
        Self {
            enabled: enabled(),
            threshold_percent: default_threshold_percent(),
            instructions: String::new(),
        }
    }
}

/// The schema of the final answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutputSettings {
    /// JSON Schema of the answer. An answer that does not match goes back to the model, at most twice.
    #[schemars(schema_with = "schema::any_object")]
    pub schema: Map<String, Value>,
    /// Whether the provider enforces the schema. The schema must then require every property and allow no others.
    #[serde(default = "enabled")]
    pub strict: bool,
}

/// What happens after a tool call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("(self.behavior == 'StopAtTools') == (has(self.tools) && self.tools.size() > 0)")
    .message("tools must be set for the behavior StopAtTools, and for no other"))]
#[serde(rename_all = "camelCase")]
pub struct ToolUse {
    /// Whether the model is called again after a tool call.
    #[serde(default)]
    pub behavior: ToolUseBehavior,
    /// Names of the tools that end the turn, as the model sees them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 64)))]
    pub tools: Vec<String>,
}

/// Whether the model is called again after a tool call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ToolUseBehavior {
    /// The model receives the results and continues.
    #[default]
    RunAgain,
    /// The result of the first tool call is the final answer.
    StopOnFirstTool,
    /// The result of one of `tools` is the final answer; after other tools the model continues.
    StopAtTools,
}

impl ToolUse {
    /// Whether the turn ends with the result of this tool.
    #[must_use]
    pub fn stops_after(&self, tool: &str) -> bool {
        match self.behavior {
            ToolUseBehavior::RunAgain => false,
            ToolUseBehavior::StopOnFirstTool => true,
            ToolUseBehavior::StopAtTools => self.tools.iter().any(|name| name == tool),
        }
    }
}

/// The context window of most current models.
const fn default_window_tokens() -> u64 {
    128_000
}

const fn default_threshold_percent() -> u32 {
    80
}

const fn enabled() -> bool {
    true
}
