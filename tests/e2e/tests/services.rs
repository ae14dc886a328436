//! The services that stand alone: each can be lost and brought back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use steadfast_testkit::process::ProcessId;
use steadfast_testkit::{FakeModel, Redis, RedisData, Temporal, TemporalOptions, TemporalStorage, TemporalUi, wait};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// Sends one inline command and gives the first bytes of the answer.
async fn ask(redis: &Redis, command: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", redis.port())).await?;
    stream.write_all(format!("{command}\r\n").as_bytes()).await?;
    let mut answer = [0; 256];
    let length = stream.read(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}

#[tokio::test]
async fn redis_keeps_what_it_acknowledged_when_killed_and_restarted_with_its_data() {
    let redis = Redis::start().await.unwrap();
    let port = redis.port();
    assert_eq!(ask(&redis, "SET key value").await.unwrap(), "+OK\r\n");
    redis.restart(RedisData::Keep).await.unwrap();
    assert_eq!(ask(&redis, "GET key").await.unwrap(), "$5\r\nvalue\r\n");
    assert_eq!(redis.port(), port);
}

#[tokio::test]
async fn redis_restarted_empty_has_forgotten_everything() {
    let redis = Redis::start().await.unwrap();
    ask(&redis, "SET key value").await.unwrap();
    redis.restart(RedisData::Empty).await.unwrap();
    assert_eq!(ask(&redis, "GET key").await.unwrap(), "$-1\r\n");
}

#[tokio::test]
async fn a_killed_redis_refuses_connections_and_a_frozen_one_answers_after_the_thaw() {
    let redis = Redis::start().await.unwrap();
    redis.freeze().unwrap();
    let answer = ask(&redis, "PING");
    tokio::pin!(answer);
    let while_frozen = tokio::time::timeout(Duration::from_millis(200), &mut answer).await;
    assert!(while_frozen.is_err(), "a frozen Redis answered {while_frozen:?}");
    redis.thaw().unwrap();
    assert_eq!(answer.await.unwrap(), "+PONG\r\n");

    redis.kill().await.unwrap();
    assert!(ask(&redis, "PING").await.is_err());
}

#[tokio::test]
async fn a_dropped_service_leaves_no_process_and_no_folder() {
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
    let start = [
        "workflow",
        "start",
        "--type",
        "T",
        "--task-queue",
        "q",
        "--workflow-id",
        "kept",
    ];
    temporal.cli(&start).await.unwrap();
    temporal.restart().await.unwrap();
    let described = temporal
        .cli(&["workflow", "describe", "--workflow-id", "kept"])
        .await
        .unwrap();
    assert!(described.contains("kept"), "{described}");
}

#[tokio::test]
async fn the_fake_model_answers_from_its_fixtures_and_keeps_a_journal() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/greeting.json");
    let model = FakeModel::start(fixtures).await.unwrap();
    let body = r#"{"model":"gpt-5-mini","input":"hello"}"#;
    let request = format!(
        "POST /v1/responses HTTP/1.1\r\nhost: fake\r\ncontent-type: application/json\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let authority = model.url().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&authority).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("Hello from the fake."), "{answer}");

    let paths: Vec<_> = model
        .journal()
        .await
        .unwrap()
        .iter()
        .map(|entry| entry["path"].clone())
        .collect();
    assert_eq!(paths, ["/v1/responses"]);
    model.clear_journal().await.unwrap();
    assert_eq!(model.journal().await.unwrap().len(), 0);
}

/// Not a test: what `a_killed_process_takes_its_services_along` runs and kills.
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
            .expect("the process to say what it started");
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
