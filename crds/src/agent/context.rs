//! What the model is sent and what is wanted back: the window of a long
//! conversation, the form of the final answer, and when a turn ends after tools.

use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::schema;

/// How much of a long conversation the model is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContextSettings {
    /// Tokens that fit into the model's window, the answer included.
    #[serde(default = "default_window_tokens")]
    #[schemars(range(min = 1_000), extend("format" = "int64"))]
    pub window_tokens: u64,
    /// What happens when a conversation nears the window.
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

/// The model sums up the conversation, and goes on from the summary. People still see every message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CompactionSettings {
    /// Whether it happens; without it a turn fails when the conversation no longer fits.
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// How full the window may be, in percent, before the next model call sums up first.
    #[serde(default = "default_threshold_percent")]
    #[schemars(range(min = 10, max = 95), extend("format" = "int32"))]
    pub threshold_percent: u32,
    /// What a summary must keep, in addition to what every summary keeps.
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

/// The form of the final answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutputSettings {
    /// JSON Schema of the answer. An answer that does not fit goes back to the model, at most twice.
    #[schemars(schema_with = "schema::any_object")]
    pub schema: Map<String, Value>,
    /// Whether the provider is to enforce the schema. It must then list every property as required and allow no others.
    #[serde(default = "enabled")]
    pub strict: bool,
}

/// What happens after a tool was called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("(self.behavior == 'StopAtTools') == (has(self.tools) && self.tools.size() > 0)")
    .message("tools are named for the behavior StopAtTools, and only for it"))]
#[serde(rename_all = "camelCase")]
pub struct ToolUse {
    /// Whether the model is called again.
    #[serde(default)]
    pub behavior: ToolUseBehavior,
    /// Names, as the model sees them, of the tools that end the turn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 64)))]
    pub tools: Vec<String>,
}

/// Whether the model is called again after a tool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ToolUseBehavior {
    /// The model gets the results and goes on.
    #[default]
    RunAgain,
    /// The result of the first tool is the final answer.
    StopOnFirstTool,
    /// The result of one of `tools` is the final answer; after others the model goes on.
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

/// Fits what most models of today take.
const fn default_window_tokens() -> u64 {
    128_000
}

const fn default_threshold_percent() -> u32 {
    80
}

const fn enabled() -> bool {
    true
}
