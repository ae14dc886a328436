//! Waiting for a condition, never for a time.

use std::fmt::Display;
use std::time::Duration;

use anyhow::anyhow;
use tokio::time::Instant;

/// How often a condition is looked at again.
const PERIOD: Duration = Duration::from_millis(25);

/// Asks until `condition` gives a value. Its last error is part of the error
/// when `timeout` passes first.
pub async fn until<T, F, Answer>(what: impl Display, timeout: Duration, mut condition: F) -> anyhow::Result<T>
where
    F: FnMut() -> Answer,
    Answer: Future<Output = anyhow::Result<T>>,
{
    let deadline = Instant::now() + timeout;
    let mut last = None;
    loop {
        match tokio::time::timeout_at(deadline, condition()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(not_yet)) => last = Some(not_yet),
            Err(_elapsed) => {}
        }
        if Instant::now() >= deadline {
            let reason = last.unwrap_or_else(|| anyhow!("no answer at all"));
            return Err(reason.context(format!("gave up after {timeout:?} waiting for {what}")));
        }
        tokio::time::sleep(PERIOD).await;
    }
}
