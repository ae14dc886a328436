//! The broadcast of cancellations over a real Redis.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use steadfast_eventlog::RedisConnector;
use steadfast_testkit::{Redis, RedisData};
use steadfast_worker::test_api::{CancelBroadcast, RunningCalls, channel_name};
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Cancels until the call of the other worker is cancelled: that worker may not have subscribed yet.
async fn cancel_until(broadcast: &CancelBroadcast, cancelled: &CancellationToken) {
    let mut ticks = interval(Duration::from_millis(50));
    let cancelling = async {
        while !cancelled.is_cancelled() {
            ticks.tick().await;
            drop(broadcast.cancel("task", 1).await);
        }
    };
    timeout(TIMEOUT, cancelling).await.unwrap();
}

#[tokio::test]
async fn a_turn_is_cancelled_in_every_worker_of_the_install_also_after_redis_was_unavailable() {
    let redis = Redis::start().await.unwrap();
    let stop = CancellationToken::new();
    let start = |install: &str, calls: &RunningCalls| {
        let redis = RedisConnector::from_url(&redis.url()).unwrap();
        CancelBroadcast::start(redis, channel_name(install), calls.clone(), stop.clone())
    };
    let (own, other, other_install) = (
        RunningCalls::default(),
        RunningCalls::default(),
        RunningCalls::default(),
    );
    let broadcast = start("a", &own);
    let _other = start("a", &other);
    let _other_install = start("b", &other_install);

    let own_call = own.register("task", 1);
    let (first, later_turn, foreign) = (
        other.register("task", 1),
        other.register("task", 2),
        other_install.register("task", 1),
    );
    cancel_until(&broadcast, first.token()).await;
    assert!(own_call.token().is_cancelled());

    redis.kill().await.unwrap();
    let second = other.register("task", 1);
    let own_call = own.register("task", 1);
    assert!(broadcast.cancel("task", 1).await.is_err());
    assert!(own_call.token().is_cancelled(), "the own calls need no Redis");
    redis.restart(RedisData::Empty).await.unwrap();
    cancel_until(&broadcast, second.token()).await;

    assert!(!later_turn.token().is_cancelled() && !foreign.token().is_cancelled());
    stop.cancel();
}
