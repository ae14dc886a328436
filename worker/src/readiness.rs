//! Keeps the worker's readiness true to the state of what it depends on.

use std::time::Duration;

use steadfast_process::ReadinessGauge;
use temporalio_client::Client;
use temporalio_common::protos::temporal::api::workflowservice::v1::GetSystemInfoRequest;
use tokio_util::sync::CancellationToken;

const PERIOD: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks Temporal now and then whether it is there.
pub async fn watch_temporal(client: Client, ready: ReadinessGauge, stop: CancellationToken) {
    let mut ticker = tokio::time::interval(PERIOD);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticker.tick() => {}
        }
        let mut service = client.connection().workflow_service();
        let request = tonic_request(GetSystemInfoRequest::default());
        let answered = tokio::time::timeout(PATIENCE, service.get_system_info(request)).await;
        ready.set(matches!(answered, Ok(Ok(_))));
    }
}

fn tonic_request<T>(message: T) -> temporalio_client::tonic::Request<T> {
    temporalio_client::tonic::Request::new(message)
}
