//! The readiness check of the Temporal connection.

use std::time::Duration;

use steadfast_process::ReadinessGauge;
use steadfast_temporal::send;
use temporalio_client::{Client, grpc::WorkflowService};
use temporalio_common::protos::temporal::api::workflowservice::v1::GetSystemInfoRequest;
use tokio_util::sync::CancellationToken;

/// Interval of the checks.
const INTERVAL: Duration = Duration::from_secs(5);
/// Limit for the answer of the server.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Checks whether the server answers, until the token is cancelled.
pub(crate) async fn watch_temporal(client: Client, ready: ReadinessGauge, stop: CancellationToken) {
    let mut ticker = tokio::time::interval(INTERVAL);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticker.tick() => {}
        }
        let asked = send(
            client.connection(),
            GetSystemInfoRequest::default(),
            <dyn WorkflowService>::get_system_info,
        );
        let answered = tokio::time::timeout(TIMEOUT, asked).await;
        ready.set(matches!(answered, Ok(Ok(_))));
    }
}
