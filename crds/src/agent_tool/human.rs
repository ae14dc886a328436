//! Tools of kind `human`: the model asks a person and gets the answer.

use kube_derive::KubeSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::approval::{OnTimeout, default_decision_timeout};
use crate::{duration::Duration, schema};

/// A question to a person. The arguments of the call are shown with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HumanTool {
    /// What the person is asked, in plain text; the tool's description when absent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 4096))]
    pub prompt: String,
    /// JSON Schema of the answer; without one a person only approves or rejects.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "schema::any_object")]
    pub form: Map<String, Value>,
    /// How long an answer is waited for.
    #[serde(default = "default_decision_timeout")]
    pub timeout: Duration,
    /// What happens when nobody has answered by then.
    #[serde(default)]
    pub on_timeout: OnTimeout,
}
