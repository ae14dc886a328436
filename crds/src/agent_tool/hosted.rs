//! Tools of kind `hosted`: the model's provider runs them.

use kube_derive::KubeSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::schema;

/// A tool of the provider, such as `web_search`, `file_search`, `code_interpreter`, `image_generation` or
/// `mcp`. Approval, timeout and retry are not ours to enforce: the provider runs it inside the model call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostedTool {
    /// The provider's name for the tool.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 64))]
    pub tool_type: String,
    /// Its other members, sent as they are; texts may name `${env.NAME}`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "schema::any_object")]
    pub settings: Map<String, Value>,
}
