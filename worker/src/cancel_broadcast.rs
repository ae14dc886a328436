//! Cancels the running calls of a turn at once, in every worker of the install.
//! An activity registers its call; a worker that interrupts a turn publishes on a
//! Redis channel, and every worker with calls of that turn cancels them. Without
//! Redis, the heartbeats of the activities bring the cancellation later.

mod running_calls;

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use futures::StreamExt as _;
use redis::{AsyncConnectionConfig, RedisError, aio::PubSub, cmd};
use steadfast_contract::activities::CancelRequest;
use steadfast_eventlog::RedisConnector;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

pub use self::running_calls::{RunningCall, RunningCalls};

/// Limit for each exchange with Redis.
const TIME_LIMIT: Duration = Duration::from_secs(2);
/// Interval of the pings that check the subscription.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const MINIMUM_DELAY: Duration = Duration::from_millis(100);
const MAXIMUM_DELAY: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum CancelBroadcastError {
    #[error("publish the cancellation of a turn")]
    Publish(#[source] RedisError),
    #[error("Redis did not answer within {} s", TIME_LIMIT.as_secs())]
    TimedOut,
}

/// Name of the channel of an install.
#[must_use]
pub fn channel_name(install: &str) -> String {
    if install.is_empty() {
        "control".to_owned()
    } else {
        format!("{install}:control")
    }
}

/// The channel between the workers of an install. Cheap to clone.
#[derive(Clone)]
pub struct CancelBroadcast {
    redis: RedisConnector,
    channel: String,
    calls: RunningCalls,
}

impl CancelBroadcast {
    /// Listens until `stop` is cancelled. Redis may be unavailable at any time, also at the start.
    pub fn start(redis: RedisConnector, channel: String, calls: RunningCalls, stop: CancellationToken) -> Self {
        let broadcast = Self { redis, channel, calls };
        let listener = broadcast.clone();
        tokio::spawn(async move { stop.run_until_cancelled_owned(listener.listen()).await });
        broadcast
    }

    /// Cancels the running calls of a turn: those of this process at once, those of other workers through Redis.
    pub async fn cancel(&self, task_id: &str, turn: u32) -> Result<(), CancelBroadcastError> {
        self.calls.cancel(task_id, turn);
        let request = CancelRequest {
            task_id: task_id.to_owned(),
            turn,
        };
        let message = serde_json::to_string(&request).unwrap_or_default();
        match timeout(TIME_LIMIT, self.publish(&message)).await {
            Ok(published) => published.map_err(CancelBroadcastError::Publish),
            Err(_) => Err(CancelBroadcastError::TimedOut),
        }
    }

    /// Uses a connection of its own: cancellations are rare.
    async fn publish(&self, message: &str) -> Result<(), RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(TIME_LIMIT))
            .set_response_timeout(Some(TIME_LIMIT));
        let client = self.redis.client().await?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        cmd("PUBLISH")
            .arg(&self.channel)
            .arg(message)
            .query_async(&mut connection)
            .await
    }

    async fn listen(self) {
        let backoff = ExponentialBuilder::default()
            .with_min_delay(MINIMUM_DELAY)
            .with_max_delay(MAXIMUM_DELAY)
            .with_jitter()
            .without_max_times();
        let mut delays = backoff.build();
        loop {
            match timeout(TIME_LIMIT, self.subscribe()).await {
                Ok(Ok(subscription)) => {
                    tracing::debug!(channel = self.channel, "subscribed to cancellations");
                    delays = backoff.build();
                    self.follow(subscription).await;
                    tracing::debug!(channel = self.channel, "subscription to cancellations lost");
                }
                Ok(Err(error)) => tracing::debug!(%error, "cannot subscribe to cancellations; retrying"),
                Err(_) => tracing::debug!("cannot subscribe to cancellations in time; retrying"),
            }
            sleep(delays.next().unwrap_or(MAXIMUM_DELAY)).await;
        }
    }

    async fn subscribe(&self) -> Result<PubSub, RedisError> {
        let mut subscription = self.redis.client().await?.get_async_pubsub().await?;
        subscription.subscribe(&self.channel).await?;
        Ok(subscription)
    }

    /// Reads messages until the subscription is lost. The pings detect a connection that is lost without a close.
    async fn follow(&self, subscription: PubSub) {
        let (mut sink, mut messages) = subscription.split();
        let mut pings = interval(PING_INTERVAL);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = messages.next() => match message {
                    Some(message) => self.apply(message.get_payload_bytes()),
                    None => return,
                },
                _ = pings.tick() => {
                    let answered = timeout(TIME_LIMIT, sink.ping::<redis::Value>()).await;
                    if !matches!(answered, Ok(Ok(_))) {
                        return;
                    }
                }
            }
        }
    }

    fn apply(&self, message: &[u8]) {
        // A message of another version that cannot be parsed is ignored.
        if let Ok(request) = serde_json::from_slice::<CancelRequest>(message) {
            self.calls.cancel(&request.task_id, request.turn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_install_has_its_own_channel() {
        assert_eq!(channel_name("prod"), "prod:control");
        assert_eq!(channel_name(""), "control");
    }
}
