//! Tasks against a real Temporal: what is started, sent, listed and found.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde_json::{Value, json};
use steadfast_events::{EventKind, id::user_message_id, testing::text_done};
use steadfast_gateway::{Access, SelfApproval};
use steadfast_testkit::{Redis, Temporal, TemporalOptions, wait};

use super::support::{TIMEOUT, TestGateway, beside, with_redis};

fn hello() -> Value {
    json!({"type": "text", "author": "user", "content": "Hello"})
}

async fn send(gateway: &TestGateway, task_id: &str) -> super::support::Answer {
    gateway
        .rpc("event/send", json!({"task_id": task_id, "content": hello()}))
        .await
}

#[tokio::test]
async fn a_task_is_created_once_per_name_and_per_key() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let params = json!({"name": "monday", "params": {"topic": "rain"}, "task_metadata": {"display_name": "Rain"}});
    let first = gateway.rpc("task/create", params.clone()).await;
    assert_eq!((first.status, &first.body["error"]), (StatusCode::OK, &Value::Null));
    let task = &first.body["result"];
    assert_eq!(
        (&task["status"], &task["name"], &task["params"]),
        (&json!("RUNNING"), &json!("monday"), &json!({"topic": "rain"}))
    );
    let again = gateway.rpc("task/create", params).await;
    assert_eq!(again.body["result"]["id"], task["id"]);

    let id = task["id"].as_str().unwrap();
    for path in [format!("/tasks/{id}"), "/tasks/name/monday".to_owned()] {
        let found = gateway.get(&path).await.body;
        assert_eq!(
            (&found["id"], &found["name"], &found["params"]),
            (&task["id"], &task["name"], &task["params"]),
            "{path}"
        );
        assert_eq!(found["task_metadata"], json!({"display_name": "Rain"}));
    }

    let keyed = async |key| gateway.keyed_rpc(key, "task/create", json!({})).await.body["result"]["id"].clone();
    assert_eq!(keyed("k1").await, keyed("k1").await);
    assert_ne!(keyed("k1").await, keyed("k2").await);
    assert_ne!(gateway.create_task().await, gateway.create_task().await);
}

#[tokio::test]
async fn an_unknown_task_is_not_found() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    for path in [
        "/tasks/t",
        "/tasks/name/t",
        "/messages?task_id=t",
        "/tasks/t/stream",
        "/tasks/%00",
    ] {
        assert_eq!(gateway.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    for path in ["/tasks/t/cancel", "/tasks/t/complete", "/tasks/t/interrupt"] {
        assert_eq!(gateway.post(path, "{}").await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(send(&gateway, "t").await.status, StatusCode::NOT_FOUND);
    // An id that was minted in 2020.
    let gone = gateway.get("/tasks/0170e1a0-0000-7000-8000-000000000000").await;
    assert_eq!(gone.status, StatusCode::GONE);
    assert!(gone.body["message"].as_str().unwrap().contains("day"), "{gone:?}");
}

#[tokio::test]
async fn a_task_of_one_agent_is_unknown_to_another() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let id = gateway.create_task().await;
    let body = json!({"method": "event/send", "params": {"task_id": id, "content": hello()}}).to_string();
    assert_eq!(
        gateway.post("/agents/name/poets.haiku/rpc", body).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_message_is_answered_when_the_task_acknowledges_it() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let id = gateway.create_task().await;
    let params = json!({"task_id": id, "content": hello()});
    let acknowledge = gateway.append(
        &id,
        1,
        [EventKind::MessageAccepted {
            message_id: user_message_id(&id, "", "m1"),
            idempotency_key: Some("m1".to_owned()),
        }],
    );
    let begun = Instant::now();
    let (answer, _) = tokio::join!(gateway.keyed_rpc("m1", "event/send", params.clone()), acknowledge);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let event = &answer.body["result"];
    assert_eq!(
        (answer.status, &event["id"], &event["sequence_id"]),
        (
            StatusCode::OK,
            &json!(format!("{id}.{}", user_message_id(&id, "", "m1"))),
            &json!(2)
        )
    );
    assert_eq!(event["idempotency_key"], "m1");
    assert_eq!(
        event["content"],
        json!({"author": "user", "style": "static", "type": "text", "content": "Hello", "format": "plain", "attachments": null})
    );

    // Sent again it is answered from the log.
    let begun = Instant::now();
    let answer = gateway.keyed_rpc("m1", "event/send", params).await;
    assert_eq!(
        (answer.status, &answer.body["result"]["sequence_id"]),
        (StatusCode::OK, &json!(2))
    );
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_rejected_message_is_an_error_that_says_why() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let id = gateway.create_task().await;
    gateway
        .append(
            &id,
            1,
            [EventKind::MessageRejected {
                message_id: user_message_id(&id, "", "m1"),
                idempotency_key: Some("m1".to_owned()),
                reason: "the queue is full".to_owned(),
            }],
        )
        .await;
    let answer = gateway
        .keyed_rpc("m1", "event/send", json!({"task_id": id, "content": hello()}))
        .await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        answer.body["message"],
        "the task rejected the message: the queue is full"
    );
}

#[tokio::test]
async fn a_message_is_taken_with_no_worker_and_no_redis() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let id = gateway.create_task().await;
    redis.kill().await.unwrap();
    let answer = send(&gateway, &id).await;
    assert_eq!(
        (answer.status, &answer.body["result"]["sequence_id"]),
        (StatusCode::OK, &json!(0))
    );
    let stream = gateway.get(&format!("/tasks/{id}/stream")).await;
    assert_eq!(
        (stream.status, &stream.body["data"]["missing"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("Redis"))
    );
}

#[tokio::test]
async fn fifty_clients_at_once_are_served() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let clients = (0..50).map(|_| async {
        let id = gateway.create_task().await;
        let answer = send(&gateway, &id).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    });
    futures::future::join_all(clients).await;
}

#[tokio::test]
async fn tasks_are_listed_by_agent_and_status() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let id = gateway.create_task().await;
    let listed = async |query: &str| {
        let answer = gateway.get(&format!("/tasks?limit=1000&{query}")).await;
        anyhow::ensure!(answer.status == StatusCode::OK, "{answer:?}");
        let tasks = answer.body.as_array().unwrap().clone();
        anyhow::ensure!(
            tasks.iter().any(|task| task["id"] == id.as_str()),
            "{} tasks",
            tasks.len()
        );
        Ok(tasks)
    };
    let tasks = wait::until("the task to be listed", TIMEOUT, || {
        listed("agent_name=haiku&status=RUNNING&relationships=agents")
    })
    .await
    .unwrap();
    let task = tasks.iter().find(|task| task["id"] == id.as_str()).unwrap();
    assert_eq!(
        (&task["agents"][0]["name"], task.get("params")),
        (&json!("haiku"), None)
    );
    assert!(listed("").await.is_ok());
    assert!(listed("agent_name=poets.haiku").await.is_err());
    assert!(listed("status=COMPLETED").await.is_err());
}

/// The id of a message within its task.
fn own_id<'a>(task: &str, message: &'a Value) -> &'a str {
    let id = message["id"].as_str().unwrap();
    id.strip_prefix(task).and_then(|id| id.strip_prefix('.')).unwrap()
}

#[tokio::test]
async fn messages_come_newest_first_and_in_pages() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let id = gateway.create_task().await;
    gateway
        .append(
            &id,
            1,
            [text_done("a", "one"), text_done("b", "two"), text_done("c", "three")],
        )
        .await;
    let ids = async |query: &str| -> Vec<String> {
        let answer = gateway.get(&format!("/messages?task_id={id}{query}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer
            .body
            .as_array()
            .unwrap()
            .iter()
            .map(|message| own_id(&id, message).to_owned())
            .collect()
    };
    assert_eq!(ids("").await, ["c", "b", "a"]);
    assert_eq!(ids("&order_direction=asc").await, ["a", "b", "c"]);
    assert_eq!(ids("&limit=2&page_number=2").await, ["a"]);
    let one = gateway.get(&format!("/messages/b?task_id={id}")).await;
    assert_eq!(
        one.body,
        json!({
            "id": format!("{id}.b"), "task_id": id, "streaming_status": "DONE",
            "content": {"author": "agent", "style": "static", "type": "text", "content": "two", "format": "markdown", "attachments": null},
            "created_at": "1970-01-01T00:00:00Z", "updated_at": "1970-01-01T00:00:00Z",
        })
    );
    assert_eq!(
        gateway.get(&format!("/messages/z?task_id={id}")).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn messages_come_by_cursor_and_by_filters() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let id = gateway.create_task().await;
    let texts = ["a", "b", "c", "d", "e"];
    gateway.append(&id, 1, texts.map(|text| text_done(text, text))).await;
    let page = async |query: &str| {
        gateway
            .get(&format!("/messages/paginated?task_id={id}&{query}"))
            .await
            .body
    };
    let ids = |page: &Value| {
        let messages = page["data"].as_array().unwrap();
        messages.iter().map(|message| own_id(&id, message)).collect::<String>()
    };
    for (direction, expected) in [("older", ["ed", "cb", "a"]), ("newer", ["ab", "cd", "e"])] {
        let mut cursor = String::new();
        for (number, expected) in expected.into_iter().enumerate() {
            let page = page(&format!("limit=2&direction={direction}{cursor}")).await;
            assert_eq!((ids(&page).as_str(), &page["has_more"]), (expected, &json!(number < 2)));
            cursor = format!("&cursor={}", page["next_cursor"].as_str().unwrap_or_default());
        }
    }
    let filter = |content: &str| json!({"content": {"content": content}}).to_string().replace('"', "%22");
    let filtered = page(&format!("filters=[{},{}]", filter("b"), filter("d"))).await;
    assert_eq!(ids(&filtered), "db");
    let without = filter("b").replacen('{', "{%22exclude%22:true,", 1);
    let listed = gateway
        .get(&format!("/messages?task_id={id}&filters=[{without}]"))
        .await;
    assert_eq!(listed.body.as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn messages_are_rebuilt_from_history_when_the_log_is_gone() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let id = gateway.create_task().await;
    assert_eq!(
        gateway
            .keyed_rpc("m1", "event/send", json!({"task_id": id, "content": hello()}))
            .await
            .status,
        StatusCode::OK
    );
    let rebuilt = gateway.get(&format!("/messages?task_id={id}")).await;
    assert_eq!(
        (rebuilt.status, &rebuilt.body[0]["id"]),
        (
            StatusCode::OK,
            &json!(format!("{id}.{}", user_message_id(&id, "", "m1")))
        ),
        "{rebuilt:?}"
    );
    assert_eq!(rebuilt.body[0]["content"]["content"], "Hello");
    redis.kill().await.unwrap();
    assert_eq!(gateway.get(&format!("/messages?task_id={id}")).await.body, rebuilt.body);
}

#[tokio::test]
async fn a_log_that_was_away_at_the_end_of_a_task_is_completed_from_history() {
    let redis = Redis::start().await.unwrap();
    let temporal = Temporal::start(TemporalOptions::default()).await.unwrap();
    let gateway = beside(&temporal, &redis, Access::Anonymous, SelfApproval::Allowed);
    let id = gateway.create_task().await;
    gateway.append(&id, 1, [text_done("a", "one")]).await;
    let sent = gateway
        .keyed_rpc("m1", "event/send", json!({"task_id": id, "content": hello()}))
        .await;
    assert_eq!(sent.status, StatusCode::OK);
    let messages = async || gateway.get(&format!("/messages?task_id={id}")).await.body;
    let count = |messages: &Value| messages.as_array().map_or(0, Vec::len);
    assert_eq!(count(&messages().await), 1);
    temporal
        .cli(&["workflow", "terminate", "--workflow-id", &id])
        .await
        .unwrap();
    assert_eq!(count(&messages().await), 2);
}

#[tokio::test]
async fn a_task_without_a_worker_is_asked_to_end_and_told_as_it_is() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let id = gateway.create_task().await;
    let answer = gateway
        .post(&format!("/tasks/{id}/cancel"), r#"{"reason":"enough"}"#)
        .await;
    assert_eq!(
        (answer.status, &answer.body["status"]),
        (StatusCode::OK, &json!("RUNNING"))
    );
    let answer = gateway.post(&format!("/tasks/{id}/interrupt"), "").await;
    assert_eq!((answer.status, &answer.body["id"]), (StatusCode::OK, &json!(id)));
}

#[tokio::test]
async fn tasks_are_listed_newest_first_whether_they_have_ended_or_not() {
    let redis = Redis::start().await.unwrap();
    let temporal = Temporal::start(TemporalOptions::default()).await.unwrap();
    let gateway = beside(&temporal, &redis, Access::Anonymous, SelfApproval::Allowed);
    let mut created = Vec::new();
    for _ in 0..4 {
        created.insert(0, gateway.create_task().await);
    }
    // Temporal lists those that run first.
    for ended in [&created[0], &created[2]] {
        let end = ["workflow", "terminate", "--workflow-id", ended];
        temporal.cli(&end).await.unwrap();
    }
    let listed = async |path: &str| {
        let body = gateway.get(path).await.body;
        let tasks = body.as_array().cloned().unwrap_or_default();
        let entry = |task: &Value| (task["id"].clone(), task["status"].clone());
        tasks.iter().map(entry).collect::<Vec<_>>()
    };
    let states = ["TERMINATED", "RUNNING", "TERMINATED", "RUNNING"];
    let expected: Vec<_> = created
        .iter()
        .zip(states)
        .map(|(id, state)| (json!(id), json!(state)))
        .collect();
    wait::until("visibility has all tasks as they are", TIMEOUT, async || {
        let found = listed("/tasks").await;
        anyhow::ensure!(found == expected, "{found:?}");
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(listed("/tasks?limit=2&page_number=2").await, expected[2..]);
}
