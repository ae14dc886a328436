//! A connection to one server, for one operation.

use std::time::Duration;

use reqwest::header::HeaderMap;
use rmcp::{
    Peer, RoleClient,
    model::ProtocolVersion,
    service::{ClientLifecycleMode, ClientServiceExt as _, RunningService},
    transport::streamable_http_client::{StreamableHttpClientTransport, StreamableHttpClientTransportConfig},
};
use url::Url;

use super::{
    elicitation::Elicitations,
    failure::{self, McpError},
};
use crate::target;

/// How long the end of a session may take; what happens after the result must not hold it up.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Where a server is, with the credentials put in. Has no `Debug`: both parts may hold secrets.
pub(super) struct ServerAddress {
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    /// What may be told of it.
    pub(super) host: String,
}

impl ServerAddress {
    pub(super) fn new(url: Url, headers: HeaderMap) -> Self {
        let host = target::host(&url);
        Self { url, headers, host }
    }
}

pub(super) struct Connection {
    service: RunningService<RoleClient, Elicitations>,
}

impl Connection {
    pub(super) async fn open(
        http: &reqwest::Client,
        address: &ServerAddress,
        elicitations: Elicitations,
    ) -> Result<Self, McpError> {
        let headers = address
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let config = StreamableHttpClientTransportConfig::with_uri(address.url.as_str())
            .custom_headers(headers)
            // It would send a call again whose session has ended in the middle.
            .reinit_on_expired_session(false);
        let lifecycle = ClientLifecycleMode::Auto {
            preferred_versions: vec![ProtocolVersion::V_2026_07_28],
            legacy_version: Some(ProtocolVersion::V_2025_11_25),
        };
        let transport = StreamableHttpClientTransport::with_client(http.clone(), config);
        // Boxed: the future is large, and it would be part of every activity's.
        let service = Box::pin(elicitations.serve_with_lifecycle(transport, lifecycle))
            .await
            .map_err(|error| failure::of_start(address, &error))?;
        Ok(Self { service })
    }

    pub(super) fn peer(&self) -> &Peer<RoleClient> {
        self.service.peer()
    }

    /// Ends the session of an older server. A connection that is dropped instead is closed in the background.
    pub(super) async fn close(mut self) {
        if let Err(error) = self.service.close_with_timeout(CLOSE_TIMEOUT).await {
            tracing::debug!(%error, "a connection to an MCP server did not close well");
        }
    }
}
