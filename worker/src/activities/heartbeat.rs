//! Heartbeats of an activity: they tell the server that this worker is alive, and
//! their responses tell the activity that it is cancelled.

use std::time::Duration;

use temporalio_sdk::activities::ActivityContext;
use tokio::task::JoinHandle;

/// The heartbeat timeout of an activity that has none.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
/// The interval as a share of the heartbeat timeout: one lost heartbeat is no timeout.
const INTERVAL_SHARE: f64 = 0.4;

/// Sends heartbeats until it is dropped.
pub(crate) struct Heartbeat(JoinHandle<()>);

impl Heartbeat {
    pub(crate) fn start(context: &ActivityContext) -> Self {
        let context = context.clone();
        let timeout = context.info().heartbeat_timeout.unwrap_or(DEFAULT_TIMEOUT);
        Self(tokio::spawn(async move {
            let mut ticker = tokio::time::interval(timeout.mul_f64(INTERVAL_SHARE));
            loop {
                ticker.tick().await;
                if let Err(error) = context.record_heartbeat(()).await {
                    tracing::warn!(%error, "heartbeat not recorded");
                }
            }
        }))
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.0.abort();
    }
}
