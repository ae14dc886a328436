//! Lists agents.

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{GatewayClient, require_success};

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
        let mut agents = Vec::new();
        for page in 1_usize.. {
            let mut url = self.url(&["agents"])?;
            url.query_pairs_mut()
                .append_pair("limit", &PAGE_SIZE.to_string())
                .append_pair("page_number", &page.to_string());
            let response = self
                .send_with_retries(|| self.authorize(self.http.get(url.clone())))
                .await?;
            let listed: Vec<ListedAgent> = require_success(&self.server, response)
                .await?
                .json()
                .await
                .context("read the list of agents")?;
            let is_last = listed.len() < PAGE_SIZE;
            agents.extend(listed);
            if is_last {
                break;
            }
        }
        Ok(agents)
    }
}
