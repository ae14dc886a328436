//! The connection to Temporal.

use std::time::Duration;

use steadfast_process::ReadinessGauge;
use temporalio_client::{
    Client, ClientOptions, Connection, ConnectionOptions, GrpcCompression, errors::ClientConnectError,
};
use tokio_util::sync::CancellationToken;
use url::Url;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum TemporalError {
    #[error("the Temporal address {address:?} is no HOST:PORT and no URL: {source}")]
    Address { address: String, source: url::ParseError },
    #[error("make a client for the Temporal namespace {namespace:?}: {message}")]
    Client { namespace: String, message: String },
    #[error("stopped before Temporal could be reached")]
    Stopped,
}

/// Connects, trying until it succeeds or the token is cancelled.
pub async fn connect(
    address: &str,
    namespace: &str,
    identity: &str,
    ready: &ReadinessGauge,
    stop: &CancellationToken,
) -> Result<Client, TemporalError> {
    let url = if address.contains("://") {
        Url::parse(address)
    } else {
        Url::parse(&format!("http://{address}"))
    }
    .map_err(|source| TemporalError::Address {
        address: address.to_owned(),
        source,
    })?;
    let mut pause = FIRST_PAUSE;
    let connection = loop {
        match open(url.clone(), identity).await {
            Ok(connection) => break connection,
            Err(error) => tracing::warn!(%address, %error, "Temporal cannot be reached; trying again"),
        }
        tokio::select! {
            () = stop.cancelled() => return Err(TemporalError::Stopped),
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
        }
    };
    ready.set(true);
    Client::new(connection, ClientOptions::new(namespace).build()).map_err(|error| TemporalError::Client {
        namespace: namespace.to_owned(),
        message: error.to_string(),
    })
}

async fn open(url: Url, identity: &str) -> Result<Connection, ClientConnectError> {
    let options = ConnectionOptions::new(url)
        .identity(identity.to_owned())
        .connect_timeout(CONNECT_TIMEOUT)
        // Compression makes large payloads slower by an order of magnitude on a local network.
        .grpc_compression(GrpcCompression::None)
        .build();
    Connection::connect(options).await
}
