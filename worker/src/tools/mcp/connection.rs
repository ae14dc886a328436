//! A connection to one server for one operation.

use std::time::Duration;

use rmcp::{
    Peer, RoleClient,
    model::ProtocolVersion,
    service::{ClientLifecycleMode, ClientServiceExt as _, RunningService},
    transport::streamable_http_client::{StreamableHttpClientTransport, StreamableHttpClientTransportConfig},
};

use super::{address::ServerAddress, elicitation::Elicitations, error::classify_initialize};
use crate::failure::CallFailure;

/// Limit for closing a session: the result is known and must not wait for it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// An open connection.
pub(super) struct Connection {
    service: RunningService<RoleClient, Elicitations>,
}

impl Connection {
    pub(super) async fn open(
        http: &reqwest::Client,
        address: &ServerAddress,
        elicitations: Elicitations,
    ) -> Result<Self, CallFailure> {
        let headers = address
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let config = StreamableHttpClientTransportConfig::with_uri(address.url.as_str())
            .custom_headers(headers)
            // A retry after an expired session would send the call twice.
            .reinit_on_expired_session(false);
        let lifecycle = ClientLifecycleMode::Auto {
            preferred_versions: vec![ProtocolVersion::V_2026_07_28],
            legacy_version: Some(ProtocolVersion::V_2025_11_25),
        };
        let transport = StreamableHttpClientTransport::with_client(http.clone(), config);
        // Boxed: the large future would be a part of the future of every activity.
        let service = Box::pin(elicitations.serve_with_lifecycle(transport, lifecycle))
            .await
            .map_err(|error| classify_initialize(address, &error))?;
        Ok(Self { service })
    }

    pub(super) fn peer(&self) -> &Peer<RoleClient> {
        self.service.peer()
    }

    /// Closes the connection, and the session of a server with sessions. A dropped connection closes in the background.
    pub(super) async fn close(mut self) {
        if let Err(error) = self.service.close_with_timeout(CLOSE_TIMEOUT).await {
            tracing::debug!(%error, "connection to an MCP server not closed");
        }
    }
}
