//! Tools of kind `human`: a question to a person; the answer is the result.

use kube_derive::KubeSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::approval::{OnTimeout, default_decision_timeout};
use crate::{duration::Duration, schema};

/// A question to a person, who also sees the arguments of the call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HumanTool {
    /// The question in plain text; the tool's description when absent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 4096))]
    pub prompt: String,
    /// JSON Schema of the answer. When absent, the person approves or rejects. At most 65536 bytes and 48 levels of
    /// nesting; a `$ref` is a path within the schema.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "schema::any_object")]
    pub form: Map<String, Value>,
    /// How long the call waits for an answer.
    #[serde(default = "default_decision_timeout")]
    pub timeout: Duration,
    /// What happens when nobody answers in time.
    #[serde(default)]
    pub on_timeout: OnTimeout,
}
