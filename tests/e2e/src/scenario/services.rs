//! The loss and the restart of the services, whether they stand alone or belong to a platform.

use serde_json::json;
use steadfast_testkit::{FakeModel, Redis, RedisData, Temporal, stack::Client};

/// A killed Redis that restarts with its data keeps all acknowledged writes and its port.
pub async fn redis_keeps_acknowledged_writes(redis: &Redis) {
    let port = redis.port();
    assert_eq!(redis.command("SET key value").await.unwrap(), "+OK\r\n");
    redis.restart(RedisData::Keep).await.unwrap();
    assert_eq!(redis.command("GET key").await.unwrap(), "$5\r\nvalue\r\n");
    assert_eq!(redis.port(), port);
}

/// A Redis that restarts empty has lost all data.
pub async fn redis_restarts_empty(redis: &Redis) {
    redis.command("SET key value").await.unwrap();
    redis.restart(RedisData::Empty).await.unwrap();
    assert_eq!(redis.command("GET key").await.unwrap(), "$-1\r\n");
}

/// A killed Temporal with file storage keeps its workflows.
pub async fn temporal_keeps_its_workflows(temporal: &Temporal) {
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

/// A fake model with `fixtures/greeting.json` answers from it and keeps a journal.
pub async fn fake_model_answers_and_keeps_a_journal(model: &FakeModel) {
    let client = Client::new(model.url()).unwrap();
    let request = json!({"model": "gpt-5-mini", "input": "hello"});
    let response = client.post("/v1/responses", request.to_string()).await.unwrap();
    let response = response.success().unwrap().to_string();
    assert!(response.contains("Hello from the fake."), "{response}");

    let journal = model.journal().await.unwrap();
    let paths: Vec<_> = journal.iter().map(|entry| &entry["path"]).collect();
    assert_eq!(paths, ["/v1/responses"]);
    model.clear_journal().await.unwrap();
    assert_eq!(model.journal().await.unwrap().len(), 0);
}
