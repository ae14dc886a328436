//! A task whose name was used before: nothing of the earlier task is seen, and nothing of the new one is lost.

use axum::http::StatusCode;
use serde_json::{Value, json};
use steadfast_eventlog::{Batch, FirstBatch, LogRun, Numbered, Part};
use steadfast_events::{
    LogId, TaskStatus,
    testing::{event, text_done},
};
use steadfast_gateway::{Access, KubernetesAccess, SelfApproval};
use steadfast_testkit::{ControlPlane, ControlPlaneOptions, NewUser, Redis, Temporal, TemporalOptions, wait};

use super::{
    access::grant,
    support::{TIMEOUT, TestGateway, beside},
};

/// Waits until no task has this id.
async fn until_gone(gateway: &TestGateway, id: &str) {
    wait::until("the task to be gone", TIMEOUT, async || {
        let left = gateway.temporal.describe(id).await;
        anyhow::ensure!(left.is_err(), "{left:?}");
        Ok(())
    })
    .await
    .unwrap();
}

async fn create(gateway: &TestGateway) -> String {
    let created = gateway.rpc("task/create", json!({"name": "report"})).await;
    assert_eq!(created.status, StatusCode::OK, "{created:?}");
    created.body["result"]["id"].as_str().unwrap().to_owned()
}

async fn texts(gateway: &TestGateway, id: &str) -> Vec<Value> {
    let answer = gateway
        .get(&format!("/messages?task_id={id}&order_direction=asc"))
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let messages = answer.body.as_array().unwrap().iter();
    messages.map(|message| message["content"]["content"].clone()).collect()
}

#[tokio::test]
async fn a_name_used_again_shows_nothing_old_and_loses_nothing_new() {
    let temporal = Temporal::start(TemporalOptions::that_deletes_soon()).await.unwrap();
    let redis = Redis::start().await.unwrap();
    let gateway = beside(&temporal, &redis, Access::Anonymous, SelfApproval::Allowed);
    let id = create(&gateway).await;
    gateway
        .append(&id, 1, [text_done("a", "the secret of the first")])
        .await;
    assert_eq!(texts(&gateway, &id).await, ["the secret of the first"]);
    let old = gateway.log_id(&id).await;
    let last = gateway.log.tail(&old).await.unwrap().unwrap().to_string();

    temporal
        .cli(&["workflow", "delete", "--yes", "--workflow-id", &id])
        .await
        .unwrap();
    until_gone(&gateway, &id).await;
    assert_eq!(create(&gateway).await, id);
    assert_ne!(gateway.log_id(&id).await, old);

    // Before the new task has written anything.
    assert_eq!(texts(&gateway, &id).await, Vec::<Value>::new());
    let path = format!("/tasks/{id}/stream?format=events");
    let mut from_start = gateway.stream(&format!("{path}&after=0"), None).await;
    // A viewer of the first task that comes back.
    let mut resumed = gateway.stream(&path, Some(&last)).await;
    for frames in [&mut from_start, &mut resumed] {
        assert_eq!(frames.next().await.unwrap().data["type"], "connected");
    }
    let reset = resumed.next().await.unwrap().data;
    assert_eq!((&reset["type"], &reset["messages"]), (&json!("log_reset"), &json!([])));

    // A writer of the first task that still runs writes to the first task's log.
    let late = [Numbered {
        counter: 9,
        event: event(text_done("late", "another secret")),
    }];
    let batch = Batch {
        parts: &[Part {
            producer: "worker",
            events: &late,
        }],
        cursor: None,
        first_batch: FirstBatch::No,
        run: LogRun {
            id: &old.first_run_id,
            follows: "",
        },
        expiry: None,
    };
    gateway.log.append(&old, batch).await.unwrap();
    // The counters of the new task begin at 1 again.
    let completed = steadfast_events::EventKind::TaskUpdated {
        status: TaskStatus::Completed,
        reason: None,
    };
    gateway.append(&id, 1, [text_done("b", "the answer"), completed]).await;
    assert_eq!(texts(&gateway, &id).await, ["the answer"]);
    for mut frames in [from_start, resumed] {
        let mut seen = String::new();
        while let Some(frame) = frames.next().await {
            seen.push_str(&frame.data.to_string());
        }
        assert!(seen.contains("the answer") && !seen.contains("secret"), "{seen}");
    }
}

#[tokio::test]
async fn a_viewer_of_a_deleted_task_is_not_shown_the_next_one() {
    let temporal = Temporal::start(TemporalOptions::that_deletes_soon()).await.unwrap();
    let redis = Redis::start().await.unwrap();
    let gateway = beside(&temporal, &redis, Access::Anonymous, SelfApproval::Allowed);
    let id = create(&gateway).await;
    let old: LogId = gateway.log_id(&id).await;
    gateway.append(&id, 1, [text_done("a", "first")]).await;
    let path = format!("/tasks/{id}/stream?format=events&after=0");
    let mut frames = gateway.stream(&path, None).await;
    temporal
        .cli(&["workflow", "delete", "--yes", "--workflow-id", &id])
        .await
        .unwrap();
    until_gone(&gateway, &id).await;
    create(&gateway).await;
    assert_ne!(gateway.log_id(&id).await, old);
    gateway.append(&id, 1, [text_done("b", "second")]).await;
    let mut seen = String::new();
    while let Some(frame) = frames.next().await {
        seen.push_str(&frame.data.to_string());
    }
    assert!(seen.contains("first") && !seen.contains("second"), "{seen}");
}

/// The users of a cluster, and a gateway for them.
struct Users {
    cluster: ControlPlane,
    gateway: TestGateway,
}

impl Users {
    async fn start(temporal: &Temporal, redis: &Redis) -> Self {
        steadfast_process::crypto::install();
        let users = vec![
            NewUser::new("alice", &["writers"]),
            NewUser::new("bob", &["writers", "erasers"]),
            NewUser::new("dora", &["writers", "auditors"]),
        ];
        let cluster = ControlPlane::start_with(ControlPlaneOptions { users }).await.unwrap();
        grant(&cluster, "writers", &["agents", "agents/tasks"]).await;
        grant(&cluster, "auditors", &["agents/alltasks"]).await;
        grant(&cluster, "erasers", &["agents/tasks"]).await;
        let access = Access::Kubernetes(Box::new(KubernetesAccess::new(cluster.client(), Vec::new())));
        let gateway = beside(temporal, redis, access, SelfApproval::Allowed);
        Self { cluster, gateway }
    }

    async fn token(&self, user: &str) -> String {
        self.cluster.user(user).await.unwrap().token
    }

    async fn create_report(&self, token: &str) -> String {
        let created = self
            .gateway
            .rpc_as(token, "haiku", "task/create", json!({"name": "report"}))
            .await;
        assert_eq!(created.status, StatusCode::OK, "{created:?}");
        created.body["result"]["id"].as_str().unwrap().to_owned()
    }

    async fn send(&self, token: &str, task_id: &str, text: &str) -> Value {
        let content = json!({"type": "text", "author": "user", "content": text});
        let params = json!({"task_id": task_id, "content": content});
        let answer = self.gateway.keyed_rpc_as(token, "1", "event/send", params).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.body["result"].clone()
    }
}

#[tokio::test]
async fn two_users_of_one_name_have_a_task_each() {
    let temporal = Temporal::start(TemporalOptions::that_deletes_soon()).await.unwrap();
    let redis = Redis::start().await.unwrap();
    let users = Users::start(&temporal, &redis).await;
    let (alice, bob, dora) = (
        users.token("alice").await,
        users.token("bob").await,
        users.token("dora").await,
    );
    let of_alice = users.create_report(&alice).await;
    let of_bob = users.create_report(&bob).await;
    assert_ne!(of_alice, of_bob);
    for (token, own, other) in [(&alice, &of_alice, &of_bob), (&bob, &of_bob, &of_alice)] {
        assert_eq!(&users.create_report(token).await, own);
        let found = users.gateway.get_as(token, "/tasks/name/report").await;
        assert_eq!(
            (&found.body["id"], &found.body["name"]),
            (&json!(own), &json!("report"))
        );
        let hidden = users.gateway.get_as(token, &format!("/tasks/{other}")).await;
        assert_eq!(hidden.status, StatusCode::NOT_FOUND);
    }
    // Two users of one task under the same key: both messages reach the task, once each.
    let first = users.send(&alice, &of_alice, "from alice").await;
    let again = users.send(&alice, &of_alice, "from alice").await;
    let second = users.send(&dora, &of_alice, "from dora").await;
    assert_eq!(first["id"], again["id"]);
    assert_ne!(first["id"], second["id"]);
    assert_eq!(
        (&first["idempotency_key"], &second["idempotency_key"]),
        (&json!("1"), &json!("1"))
    );

    // A name that a deleted task had is free for everybody.
    let task = format!("/tasks/{of_bob}");
    assert_eq!(
        users.gateway.delete_as(&alice, &task).await.status,
        StatusCode::NOT_FOUND
    );
    // Alice may not delete even her own.
    let own = format!("/tasks/{of_alice}");
    assert_eq!(
        users.gateway.delete_as(&alice, &own).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(users.gateway.delete_as(&bob, &own).await.status, StatusCode::NOT_FOUND);
    let erased = users.gateway.delete_as(&bob, &task).await;
    assert_eq!((erased.status, &erased.body["id"]), (StatusCode::OK, &json!(of_bob)));
    until_gone(&users.gateway, &of_bob).await;
    assert_eq!(users.gateway.get_as(&bob, &task).await.status, StatusCode::NOT_FOUND);
    assert_eq!(users.gateway.get_as(&alice, &own).await.status, StatusCode::OK);
}
