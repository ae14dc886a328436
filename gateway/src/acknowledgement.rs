//! Waiting for what a task says to a signal. A request is answered without it when Redis is
//! down or no worker runs: the signal itself is durable.

use std::time::Duration;

use futures::StreamExt as _;
use steadfast_eventlog::{LogItem, Subscription, reader::From};
use steadfast_events::LogId;
use tokio::time::timeout;

use crate::app::Gateway;

/// How long a request waits for the task.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(2);
/// How long a request waits for Redis before it signals without a subscription.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_millis(500);

/// Subscribes to the log before a signal is sent; `None` when Redis is slow or down.
pub(crate) async fn subscribe(gateway: &Gateway, log: &LogId) -> Option<Subscription> {
    timeout(SUBSCRIBE_TIMEOUT, gateway.reader.subscribe(log, From::Tail))
        .await
        .ok()?
        .ok()
}

/// The first answer that `find` finds in the log. Waits without a limit: the caller sets one.
pub(crate) async fn wait<T>(mut subscription: Subscription, find: impl Fn(&LogItem) -> Option<T>) -> Option<T> {
    while let Some(item) = subscription.next().await {
        let found = find(&item);
        if found.is_some() {
            return found;
        }
    }
    None
}
