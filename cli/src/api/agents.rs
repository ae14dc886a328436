//! Lists agents.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::GatewayClient;

/// Agents per page of the list.
const PAGE_SIZE: usize = 200;

/// An agent as the gateway shows it. A member that this client does not know is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ListedAgent {
    /// `name`, or `namespace.name` outside of the gateway's default namespace.
    pub(crate) name: String,
    /// `Ready`, `Unhealthy` or `Unknown`.
    pub(crate) status: String,
    pub(crate) description: String,
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

impl GatewayClient {
    /// All agents that the caller may see.
    pub(crate) async fn list_agents(&self) -> anyhow::Result<Vec<ListedAgent>> {
        self.list_pages("agents", &[], PAGE_SIZE, usize::MAX).await
    }
}
