//! The services on their own: each can be killed and restarted.

use std::{path::Path, process::Stdio, time::Duration};

use steadfast_e2e::scenario::services;
use steadfast_testkit::{
    FakeModel, Redis, Temporal, TemporalOptions, TemporalStorage, TemporalUi, process::ProcessId, wait,
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::TcpStream,
};

#[tokio::test]
async fn redis_keeps_acknowledged_writes_when_killed_and_restarted_with_its_data() {
    services::redis_keeps_acknowledged_writes(&Redis::start().await.unwrap()).await;
}

#[tokio::test]
async fn redis_restarted_empty_has_lost_all_data() {
    services::redis_restarts_empty(&Redis::start().await.unwrap()).await;
}

#[tokio::test]
async fn a_killed_redis_refuses_connections_and_a_frozen_one_answers_after_the_thaw() {
    let redis = Redis::start().await.unwrap();
    redis.freeze().unwrap();
    let answer = redis.command("PING");
    tokio::pin!(answer);
    let while_frozen = tokio::time::timeout(Duration::from_millis(200), &mut answer).await;
    assert!(while_frozen.is_err(), "a frozen Redis answered {while_frozen:?}");
    redis.thaw().unwrap();
    assert_eq!(answer.await.unwrap(), "+PONG\r\n");

    redis.kill().await.unwrap();
    assert!(redis.command("PING").await.is_err());
}

#[tokio::test]
async fn a_dropped_service_leaves_no_process_and_no_directory() {
    let redis = Redis::start().await.unwrap();
    let process = redis.service().process().unwrap();
    let log = redis.service().log().to_path_buf();
    assert_eq!((process.is_alive(), log.is_file()), (true, true));
    drop(redis);
    assert_eq!((process.is_alive(), log.exists()), (false, false));
}

#[tokio::test]
async fn temporal_serves_its_ui_and_its_search_attributes_and_is_healthy() {
    let temporal = Temporal::start(TemporalOptions {
        ui: TemporalUi::Served,
        search_attributes: [("SteadfastAgent".to_owned(), "Keyword".to_owned())].into(),
        ..TemporalOptions::default()
    })
    .await
    .unwrap();

    assert_eq!(
        temporal.cli(&["operator", "cluster", "health"]).await.unwrap().trim(),
        "SERVING"
    );
    let attributes = temporal.cli(&["operator", "search-attribute", "list"]).await.unwrap();
    assert!(attributes.contains("SteadfastAgent"), "{attributes}");

    let ui = temporal.ui_url().unwrap();
    let authority = ui.trim_start_matches("http://").to_owned();
    wait::until("the Web UI", Duration::from_secs(10), async || {
        Ok(TcpStream::connect(&authority).await.map(drop)?)
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn temporal_with_a_file_keeps_its_workflows_when_killed() {
    let temporal = Temporal::start(TemporalOptions {
        storage: TemporalStorage::File,
        ..TemporalOptions::default()
    })
    .await
    .unwrap();
    services::temporal_keeps_its_workflows(&temporal).await;
}

#[tokio::test]
async fn the_fake_model_answers_from_its_fixtures_and_keeps_a_journal() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/greeting.json");
    let model = FakeModel::start(fixtures).await.unwrap();
    services::fake_model_answers_and_keeps_a_journal(&model).await;
}

/// Not a test: `a_killed_process_takes_its_services_along` runs and kills it.
#[tokio::test]
#[ignore = "started by another test"]
async fn start_redis_and_wait_to_be_killed() {
    let redis = Redis::start().await.unwrap();
    println!("started {}", redis.service().process().unwrap());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_killed_process_takes_its_services_along() {
    let mut process = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "--nocapture",
            "start_redis_and_wait_to_be_killed",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let redis: ProcessId = loop {
        let line = lines
            .next_line()
            .await
            .unwrap()
            .expect("the process prints what it started");
        if let Some((_, started)) = line.split_once("started ") {
            break started.parse().unwrap();
        }
    };
    assert!(redis.is_alive());
    process.kill().await.unwrap();
    wait::until("Redis to die too", Duration::from_secs(10), async || {
        anyhow::ensure!(!redis.is_alive(), "it is alive");
        Ok(())
    })
    .await
    .unwrap();
}
