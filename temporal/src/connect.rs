//! Opens connections. One policy for all programs: how long connecting may take,
//! how requests are retried, and no compression.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use secrecy::ExposeSecret as _;
use temporalio_client::{Connection, ConnectionOptions, GrpcCompression, RetryOptions};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{
    error::TemporalError,
    settings::{TemporalSettings, TlsSettings},
};

/// TCP and TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// TCP, TLS and the first answer of the frontend.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// A worker that gives up loses the result of an activity, and the activity is run again.
const WORKER_RETRY_LIMIT: Duration = Duration::from_secs(10);

/// Connects once. Does not retry; bounded to a few seconds.
///
/// `identity` names the program (and the pod) in Temporal's events.
/// `retry_limit` is the total time that requests on this connection are retried.
pub async fn connect(
    settings: &TemporalSettings,
    identity: &str,
    retry_limit: Duration,
) -> Result<Connection, TemporalError> {
    let options = ConnectionOptions::new(settings.target.clone())
        .identity(identity.to_owned())
        .maybe_api_key(settings.api_key.as_ref().map(|key| key.expose_secret().to_owned()))
        .maybe_tls_options(settings.tls.as_ref().map(TlsSettings::options))
        .maybe_metrics_meter(settings.meter.clone())
        .connect_timeout(CONNECT_TIMEOUT)
        // The SDK's default, gzip, made answers of 1 to 2 MB ten times slower and cost a fifth of a
        // worker's CPU. Large payloads are compressed by their codec already.
        .grpc_compression(GrpcCompression::None)
        .retry_options(retry_policy(retry_limit))
        .build();
    let connection = timeout(CONNECT_LIMIT, steadfast_temporal_grpc::connect(options)).await;
    Ok(connection.map_err(|_| TemporalError::TimedOut(CONNECT_LIMIT))??)
}

/// Connects, and tries again until it succeeds. `None` once `stop` is cancelled.
/// Logs every failed attempt. For a program that can do nothing without Temporal.
pub async fn connect_until_stopped(
    settings: &TemporalSettings,
    identity: &str,
    stop: &CancellationToken,
) -> Option<Connection> {
    let back_off = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(250))
        .with_max_delay(Duration::from_secs(10))
        .with_jitter()
        .without_max_times();
    let connecting = (|| connect(settings, identity, WORKER_RETRY_LIMIT))
        .retry(back_off)
        .notify(|error: &TemporalError, pause| {
            tracing::warn!(
                address = %settings.target,
                error = error as &dyn std::error::Error,
                retry_in_seconds = pause.as_secs_f32(),
                "cannot connect to Temporal; trying again"
            );
        });
    tokio::select! {
        () = stop.cancelled() => None,
        connected = connecting => connected.ok(),
    }
}

/// The one retry policy: 100 ms, growing by 1.7 to 5 s, with jitter, for `limit` altogether.
/// The client retries only what is worth it (see [`TemporalError::is_transient`]) and has a
/// policy of its own for the polls of a worker.
fn retry_policy(limit: Duration) -> RetryOptions {
    RetryOptions::builder()
        .initial_interval(Duration::from_millis(100))
        .multiplier(1.7)
        .max_interval(Duration::from_secs(5))
        .max_elapsed_time(Some(limit))
        // The time decides. Zero means no limit of attempts.
        .max_retries(0)
        .build()
}
