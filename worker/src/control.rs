//! Stops running calls at once. An activity registers what it runs; whoever
//! stops a turn says so on a Redis channel, and every worker of the install that
//! runs something of that turn cancels it. Without Redis the heartbeats of the
//! activities bring the same word, only later.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::StreamExt as _;
use redis::{AsyncConnectionConfig, RedisError, aio::PubSub, cmd};
use steadfast_contract::activities::StopRequest;
use steadfast_eventlog::RedisConnector;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How long any one exchange with Redis may take.
const TIME_LIMIT: Duration = Duration::from_secs(2);
/// How often it is made sure that the subscription still stands.
const PING_EVERY: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("tell the other workers to stop the turn")]
    Publish(#[source] RedisError),
    #[error("Redis did not answer within {} s", TIME_LIMIT.as_secs())]
    TimedOut,
}

/// The channel of an install, beside its other keys in Redis.
#[must_use]
pub fn channel(install: &str) -> String {
    if install.is_empty() {
        "control".to_owned()
    } else {
        format!("{install}:control")
    }
}

/// The calls this process runs. Cheap to clone.
#[derive(Clone, Default)]
pub struct RunningCalls {
    inner: Arc<Mutex<Running>>,
}

#[derive(Default)]
struct Running {
    next: u64,
    calls: BTreeMap<(String, u32), BTreeMap<u64, CancellationToken>>,
}

/// A call that can be stopped for as long as this is held.
pub struct RunningCall {
    calls: RunningCalls,
    place: (String, u32),
    number: u64,
    token: CancellationToken,
}

impl RunningCall {
    /// Cancelled when the turn is stopped.
    #[must_use]
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }
}

impl Drop for RunningCall {
    fn drop(&mut self) {
        let mut running = self.calls.lock();
        if let Some(calls) = running.calls.get_mut(&self.place) {
            calls.remove(&self.number);
            if calls.is_empty() {
                running.calls.remove(&self.place);
            }
        }
    }
}

impl RunningCalls {
    /// Makes a call of a turn known.
    #[must_use]
    pub fn register(&self, task_id: &str, turn: u32) -> RunningCall {
        let place = (task_id.to_owned(), turn);
        let token = CancellationToken::new();
        let mut running = self.lock();
        running.next += 1;
        let number = running.next;
        running
            .calls
            .entry(place.clone())
            .or_default()
            .insert(number, token.clone());
        drop(running);
        RunningCall {
            calls: self.clone(),
            place,
            number,
            token,
        }
    }

    /// Cancels what this process runs of a turn; how many calls that were.
    pub fn stop(&self, task_id: &str, turn: u32) -> usize {
        let running = self.lock();
        let Some(calls) = running.calls.get(&(task_id.to_owned(), turn)) else {
            return 0;
        };
        calls.values().for_each(CancellationToken::cancel);
        calls.len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Running> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connection between the workers of an install. Cheap to clone.
#[derive(Clone)]
pub struct Control {
    redis: RedisConnector,
    channel: String,
    calls: RunningCalls,
}

impl Control {
    /// Listens until `stop`; Redis may be away at any time, from the start on.
    pub fn start(redis: RedisConnector, channel: String, calls: RunningCalls, stop: CancellationToken) -> Self {
        let control = Self { redis, channel, calls };
        let listener = control.clone();
        tokio::spawn(async move { stop.run_until_cancelled_owned(listener.listen()).await });
        control
    }

    /// Stops what runs of a turn: here at once, elsewhere as soon as they are told.
    pub async fn publish(&self, task_id: &str, turn: u32) -> Result<(), ControlError> {
        self.calls.stop(task_id, turn);
        let request = StopRequest {
            task_id: task_id.to_owned(),
            turn,
        };
        let message = serde_json::to_string(&request).unwrap_or_default();
        match timeout(TIME_LIMIT, self.send(&message)).await {
            Ok(sent) => sent.map_err(ControlError::Publish),
            Err(_) => Err(ControlError::TimedOut),
        }
    }

    /// A connection of its own: somebody stops a turn seldom.
    async fn send(&self, message: &str) -> Result<(), RedisError> {
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
        let mut pause = FIRST_PAUSE;
        loop {
            match timeout(TIME_LIMIT, self.subscribe()).await {
                Ok(Ok(subscription)) => {
                    tracing::debug!("the control channel stands");
                    pause = FIRST_PAUSE;
                    self.follow(subscription).await;
                    tracing::debug!("the control channel is gone");
                }
                Ok(Err(error)) => tracing::debug!(%error, "the control channel cannot be opened"),
                Err(_) => tracing::debug!("Redis does not open the control channel in time"),
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn subscribe(&self) -> Result<PubSub, RedisError> {
        let mut subscription = self.redis.client().await?.get_async_pubsub().await?;
        subscription.subscribe(&self.channel).await?;
        Ok(subscription)
    }

    /// Until the subscription is lost; a peer that vanished without a word is found out by the ping.
    async fn follow(&self, subscription: PubSub) {
        let (mut sink, mut messages) = subscription.split();
        let mut pings = interval(PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = messages.next() => match message {
                    Some(message) => self.obey(message.get_payload_bytes()),
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

    fn obey(&self, message: &[u8]) {
        // Another version may say more than this one understands.
        if let Ok(request) = serde_json::from_slice::<StopRequest>(message) {
            self.calls.stop(&request.task_id, request.turn);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_calls_of_the_turn_are_stopped() {
        let calls = RunningCalls::default();
        let (first, second) = (calls.register("a", 1), calls.register("a", 1));
        let (other_turn, other_task) = (calls.register("a", 2), calls.register("b", 1));
        assert_eq!(calls.stop("a", 1), 2);
        assert!(first.token().is_cancelled() && second.token().is_cancelled());
        assert!(!other_turn.token().is_cancelled() && !other_task.token().is_cancelled());
        assert_eq!(calls.stop("c", 1), 0);
    }

    #[test]
    fn a_call_that_has_ended_is_forgotten() {
        let calls = RunningCalls::default();
        drop(calls.register("a", 1));
        assert_eq!(calls.stop("a", 1), 0);
        assert!(calls.lock().calls.is_empty());
    }

    #[test]
    fn installs_have_channels_of_their_own() {
        assert_eq!(channel("prod"), "prod:control");
        assert_eq!(channel(""), "control");
    }
}
