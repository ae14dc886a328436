//! A gateway with the memory limit of the chart: large bodies of callers without rights, and a
//! thousand viewers of a task whose log is lost, while they watch and before they come.

use std::{
    fs,
    time::{Duration, Instant},
};

use axum::{Json, Router, http::StatusCode, routing::post};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures::future::{join_all, try_join_all};
use serde_json::{Value, json};
use steadfast_testkit::{
    RedisData,
    scripted_model::{ModelRequest, Reply},
    stack::{AgentSetup, Client, GatewayAccess, GatewayOptions, Stack, TIMEOUT, Task, Viewer},
    wait,
};

use crate::http_server::serve;

/// The chart's, as the next line verifies.
const MEMORY: u64 = 512 * 1024 * 1024;
const CHART: &str = include_str!("../../../../charts/steadfast/values.yaml");
const BODIES: usize = 64;
const BODY_BYTES: usize = 2 * 1024 * 1024;
const MESSAGES_WITH_ATTACHMENTS: usize = 16;
const VIEWERS: usize = 1000;
/// A request of somebody else under load; the machine runs all processes of the test too.
const SERVED_WITHIN: Duration = Duration::from_secs(10);

/// An API server for which each name is the token of its user. Alice, Bob and Carol may do
/// everything, others nothing.
async fn api_server() -> String {
    let token_review = async |Json(mut review): Json<Value>| {
        let token = review["spec"]["token"].as_str().unwrap_or_default().to_owned();
        let is_user = ["alice", "bob", "carol", "mallory"].contains(&token.as_str());
        review["status"] = json!({"authenticated": is_user, "user": {"username": token}});
        (StatusCode::CREATED, Json(review))
    };
    let access_review = async |Json(mut review): Json<Value>| {
        let allowed = ["alice", "bob", "carol"].contains(&review["spec"]["user"].as_str().unwrap_or_default());
        review["status"] = json!({"allowed": allowed});
        (StatusCode::CREATED, Json(review))
    };
    let router = Router::new()
        .route("/apis/authentication.k8s.io/v1/tokenreviews", post(token_review))
        .route(
            "/apis/authorization.k8s.io/v1/namespaces/{namespace}/localsubjectaccessreviews",
            post(access_review),
        );
    serve(router).await
}

fn kubeconfig(server: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": server}}],
        "users": [{"name": "test", "user": {}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    })
    .to_string()
}

fn answer(request: &ModelRequest) -> Reply {
    Reply::text(if request.user_texts().len() == 1 {
        "Well."
    } else {
        "Still here."
    })
}

/// The most memory that the gateway has had so far.
fn peak_bytes(stack: &Stack) -> u64 {
    let id = stack.gateway().service().process().unwrap().id();
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[expect(clippy::print_stdout, reason = "a measurement for the log of the run")]
fn report(stack: &Stack, after: &str) {
    println!("peak RSS of the gateway after {after}: {} MiB", peak_bytes(stack) >> 20);
}

/// A request whose body is a list of lists, which is large when it is parsed.
fn large_body() -> String {
    let begin = r#"{"method":"event/send","params":{"content":{"type":"data","data":{"x":["#;
    let end = "[]]}}}}";
    let lists = "[],".repeat((BODY_BYTES - begin.len() - end.len()) / 3);
    format!("{begin}{lists}{end}")
}

/// A message with about as many bytes of attachments as a body has room for in base64.
fn message_with_attachments(task: &Task) -> String {
    let file = |bytes: usize| json!({"name": "a.txt", "data": BASE64_STANDARD.encode(vec![b'x'; bytes])});
    let files = [file(8 * 1024 * 1024), file(3 * 1024 * 1024)];
    let content = json!({"type": "text", "author": "user", "content": "See:", "attachments": files});
    json!({"method": "event/send", "params": {"task_id": task.id(), "content": content}}).to_string()
}

/// Sends the bodies at the same time, and tells the statuses.
async fn flood(url: &str, token: &str, bodies: Vec<String>) -> Vec<u16> {
    let client = Client::with_token(url.to_owned(), token).unwrap();
    let requests = bodies
        .into_iter()
        .map(|body| client.post("/agents/name/under-load/rpc", body));
    join_all(requests)
        .await
        .into_iter()
        .map(|answer| answer.unwrap().status)
        .collect()
}

/// Somebody else's requests while the flood lasts: each is served.
async fn flooded_by(stack: &Stack, token: &str, bodies: Vec<String>) -> Vec<u16> {
    let (url, other) = (stack.url(), Client::with_token(stack.url(), "bob").unwrap());
    let token = token.to_owned();
    let flood = tokio::spawn(async move { flood(&url, &token, bodies).await });
    while !flood.is_finished() {
        let begin = Instant::now();
        other.get("/agents/name/under-load").await.unwrap().success().unwrap();
        assert!(begin.elapsed() < SERVED_WITHIN, "{:?}", begin.elapsed());
    }
    flood.await.unwrap()
}

async fn histories_read(stack: &Stack) -> u64 {
    let metrics = stack.gateway().admin("metrics").await.unwrap();
    let name = "steadfast_gateway_temporal_call_seconds_count{call=\"get_workflow_execution_history\"";
    let counts = metrics.lines().filter(|line| line.starts_with(name));
    counts
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum()
}

async fn thousand_viewers(task: &Task) -> Vec<Viewer> {
    let mut viewers = Vec::new();
    for _ in 0..VIEWERS / 100 {
        viewers.extend(try_join_all((0..100).map(|_| task.watch())).await.unwrap());
    }
    try_join_all(viewers.iter().map(|viewer| viewer.until_turn_ended(1)))
        .await
        .unwrap();
    viewers
}

/// Comes again as often as it is refused for asking too often. [`Task::watch`] itself waits for Redis.
async fn come(task: &Task) -> anyhow::Result<Viewer> {
    wait::until("a place", TIMEOUT, async || {
        let came = task.watch().await;
        if let Err(error) = &came {
            let refusal = format!("{error:#}");
            assert!(refusal.contains("you have sent too many requests"), "{refusal}");
        }
        came
    })
    .await
}

/// All are cut off, the log is lost, and all come at the same time, half of them to go on and half of them anew: each
/// gets the whole conversation.
async fn all_come_after_a_flush(stack: &Stack, task: &Task, viewers: Vec<Viewer>) {
    let whole = task.lines().await.unwrap();
    let (old, gone) = viewers.split_at(VIEWERS / 2);
    let resets: Vec<usize> = old.iter().map(|viewer| viewer.state().count("log_reset")).collect();
    for viewer in old.iter().chain(gone) {
        viewer.disconnect();
    }
    let before = histories_read(stack).await;
    stack.redis().restart(RedisData::Empty).await.unwrap();
    let going_on = try_join_all(old.iter().zip(resets).map(async |(viewer, resets)| {
        viewer.resume().await?;
        viewer
            .until("the messages again", |seen| seen.count("log_reset") > resets)
            .await
    }));
    let anew = try_join_all(
        gone.iter()
            .map(async |_| come(task).await?.until_text("Still here.").await),
    );
    let (going_on, anew) = tokio::try_join!(going_on, anew).unwrap();
    report(stack, &format!("the log was lost and {VIEWERS} viewers came at once"));
    for seen in going_on.iter().chain(&anew) {
        assert_eq!(seen.lines(), whole);
    }
    let histories = histories_read(stack).await - before;
    assert!(histories <= 5, "{histories} histories were read for {VIEWERS} viewers");
}

#[tokio::test]
async fn large_bodies_and_a_thousand_viewers_stay_within_the_memory_of_the_chart() {
    assert!(
        CHART.contains("memory: 512Mi"),
        "the gateway's limit in the chart has changed"
    );
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("kubeconfig");
    fs::write(&file, kubeconfig(&api_server().await)).unwrap();
    let stack = Stack::start_with_gateway(GatewayOptions {
        access: Some(GatewayAccess {
            kubeconfig: file,
            token: "alice".to_owned(),
        }),
        memory_bytes: Some(MEMORY),
        ..GatewayOptions::default()
    })
    .await
    .unwrap();
    let agent = stack.agent(AgentSetup::new("under-load", answer)).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "Hello.").await.unwrap();
    let gateway = stack.gateway().service().process().unwrap();
    report(&stack, "a turn");

    // Mallory has a token and no rights, others have no token, and alice may send such bodies.
    for (token, allowed) in [
        ("mallory", &[404][..]),
        ("forged", &[401, 429]),
        ("alice", &[400, 429, 503]),
    ] {
        let statuses = flooded_by(&stack, token, vec![large_body(); BODIES]).await;
        assert!(
            statuses.iter().all(|status| allowed.contains(status)),
            "{token}: {statuses:?}"
        );
        report(&stack, &format!("{BODIES} bodies of 2 MiB of {token}"));
    }

    let other = agent.task().await.unwrap();
    let messages = vec![message_with_attachments(&other); MESSAGES_WITH_ATTACHMENTS];
    let statuses = flooded_by(&stack, "carol", messages).await;
    let allowed = [200, 429, 503];
    assert!(statuses.iter().all(|status| allowed.contains(status)), "{statuses:?}");
    assert!(statuses.contains(&200), "{statuses:?}");
    report(
        &stack,
        &format!("{MESSAGES_WITH_ATTACHMENTS} messages with 11 MiB of attachments"),
    );

    let viewers = thousand_viewers(&task).await;
    report(&stack, &format!("{VIEWERS} viewers came"));
    let before = histories_read(&stack).await;
    stack.redis().restart(RedisData::Empty).await.unwrap();
    try_join_all(
        viewers
            .iter()
            .map(|viewer| viewer.until("the messages", |seen| seen.count("log_reset") > 0)),
    )
    .await
    .unwrap();
    report(&stack, "the log was lost");
    let histories = histories_read(&stack).await - before;
    println!("histories read for {VIEWERS} viewers: {histories}");
    assert!(histories <= 5, "{histories} histories were read for {VIEWERS} viewers");
    for viewer in &viewers {
        assert_eq!(viewer.state().last_text(), "Well.");
    }

    // Nothing was restarted, and the conversation goes on for all of them.
    task.send("Still there?").await.unwrap();
    try_join_all(viewers.iter().map(|viewer| viewer.until_text("Still here.")))
        .await
        .unwrap();
    report(&stack, "the next turn");
    all_come_after_a_flush(&stack, &task, viewers).await;
    assert_eq!(stack.gateway().service().process(), Some(gateway));
    assert!(stack.gateway().service().is_alive());
    assert!(peak_bytes(&stack) < MEMORY);
}
