//! Tools of kind `hosted`, which the model's provider runs.

use kube_derive::KubeSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::schema;

/// A tool of the provider, for example `web_search`, `file_search`, `code_interpreter`, `image_generation` or `mcp`.
/// The provider runs it inside the model call: approval, timeout and retry of the tool do not apply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostedTool {
    /// The provider's type of the tool.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 64))]
    pub tool_type: String,
    /// Further members of the tool, sent unchanged; texts may contain `${env.NAME}`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "schema::any_object")]
    pub settings: Map<String, Value>,
}
