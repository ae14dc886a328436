//! The control channel over a real Redis.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use steadfast_eventlog::RedisConnector;
use steadfast_testkit::Redis;
use steadfast_worker::control::{Control, RunningCalls, channel};
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(30);

/// Publishes until the other worker has been told: it may not be listening yet.
async fn publish_until(control: &Control, stopped: &CancellationToken) {
    let mut ticks = interval(Duration::from_millis(50));
    let told = async {
        while !stopped.is_cancelled() {
            ticks.tick().await;
            drop(control.publish("task", 1).await);
        }
    };
    timeout(PATIENCE, told).await.unwrap();
}

#[tokio::test]
async fn a_turn_is_stopped_in_every_worker_of_the_install_also_after_redis_was_away() {
    let redis = Redis::start().await.unwrap();
    let stop = CancellationToken::new();
    let start = |install: &str, calls: &RunningCalls| {
        Control::start(
            RedisConnector::from_url(&redis.url()).unwrap(),
            channel(install),
            calls.clone(),
            stop.clone(),
        )
    };
    let (here, there, elsewhere) = (
        RunningCalls::default(),
        RunningCalls::default(),
        RunningCalls::default(),
    );
    let control = start("a", &here);
    let _there = start("a", &there);
    let _elsewhere = start("b", &elsewhere);

    let own = here.register("task", 1);
    let (first, later_turn, other_install) = (
        there.register("task", 1),
        there.register("task", 2),
        elsewhere.register("task", 1),
    );
    publish_until(&control, first.token()).await;
    assert!(own.token().is_cancelled());

    redis.kill().await.unwrap();
    let second = there.register("task", 1);
    let mine = here.register("task", 1);
    assert!(control.publish("task", 1).await.is_err());
    assert!(mine.token().is_cancelled(), "what runs here needs no Redis");
    redis.restart(steadfast_testkit::RedisData::Empty).await.unwrap();
    publish_until(&control, second.token()).await;

    assert!(!later_turn.token().is_cancelled() && !other_install.token().is_cancelled());
    stop.cancel();
}
