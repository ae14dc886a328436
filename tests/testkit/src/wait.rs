//! Waits for conditions, never for a length of time.

use std::{fmt::Display, time::Duration};

use anyhow::anyhow;
use tokio::time::Instant;

/// Between two checks of a condition.
const POLL_INTERVAL: Duration = Duration::from_millis(25);

/// Polls `condition` until it returns a value. When `timeout` passes first, the
/// error contains the condition's last error and `what`, as in "waiting for {what}".
pub async fn until<T, F, Answer>(what: impl Display, timeout: Duration, mut condition: F) -> anyhow::Result<T>
where
    F: FnMut() -> Answer,
    Answer: Future<Output = anyhow::Result<T>>,
{
    let deadline = Instant::now() + timeout;
    let mut last_error = None;
    loop {
        match tokio::time::timeout_at(deadline, condition()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => last_error = Some(error),
            Err(_elapsed) => {}
        }
        if Instant::now() >= deadline {
            let reason = last_error.unwrap_or_else(|| anyhow!("the condition was not evaluated in time"));
            return Err(reason.context(format!("gave up after {timeout:?} waiting for {what}")));
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
