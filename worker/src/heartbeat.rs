//! Heartbeats while an activity waits for something slow: they tell the server
//! that this worker lives, and bring back the word to cancel.

use std::time::Duration;

use temporalio_sdk::activities::ActivityContext;
use tokio::task::JoinHandle;

/// Beats until it is dropped.
pub struct Heartbeat(JoinHandle<()>);

impl Heartbeat {
    /// Two beats and a bit within each heartbeat timeout.
    pub fn start(context: &ActivityContext) -> Self {
        let context = context.clone();
        let pause = context
            .info()
            .heartbeat_timeout
            .unwrap_or(Duration::from_secs(5))
            .mul_f64(0.4);
        Self(tokio::spawn(async move {
            let mut ticker = tokio::time::interval(pause);
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
