//! Invalid requests.

use serde_json::{Value, json};
use steadfast_e2e::backend::stack::shared_stack;
use steadfast_testkit::{
    scripted_model::Reply,
    stack::{AgentSetup, GatewayResponse, Line},
};

/// Checks the status, and that the body has a message, as REST or as JSON-RPC.
fn check_refusal(what: &str, response: &GatewayResponse, status: u16) {
    assert_eq!(response.status, status, "{what}: {response:?}");
    let message = response.body["message"]
        .as_str()
        .or_else(|| response.body["error"]["message"].as_str());
    assert!(
        message.is_some_and(|message| !message.is_empty()),
        "{what}: no message in {response:?}"
    );
}

fn text(text: &str) -> Value {
    json!({"type": "text", "author": "user", "content": text})
}

#[tokio::test]
async fn invalid_requests_are_refused_with_a_message_and_start_no_turn() {
    let stack = shared_stack().await;
    let agent = stack
        .agent(AgentSetup::new("bad-input", |_| Reply::text("Yes.")))
        .await
        .unwrap();
    let client = agent.client();
    let task = agent.task().await.unwrap();
    let unknown = "00000000-0000-4000-8000-000000000000";

    let answer = client
        .rpc(
            "bad-input",
            "event/send",
            json!({"task_id": unknown, "content": text("hi")}),
            None,
        )
        .await;
    check_refusal("message to an unknown task", &answer.unwrap(), 404);
    for path in [
        format!("/tasks/{unknown}"),
        format!("/messages?task_id={unknown}"),
        format!("/tasks/{unknown}/stream"),
        "/agents/name/nobody".to_owned(),
        format!("/agents/{unknown}"),
    ] {
        check_refusal(&path, &client.get(&path).await.unwrap(), 404);
    }
    let answer = client.rpc("nobody", "task/create", json!({}), None).await;
    check_refusal("unknown agent", &answer.unwrap(), 404);

    let rpc = "/agents/name/bad-input/rpc";
    for body in [
        "",
        "{",
        "[]",
        "7",
        "{}",
        r#"{"method": 1}"#,
        r#"{"method": "task/create", "params": []}"#,
    ] {
        check_refusal(&format!("body {body:?}"), &client.post(rpc, body).await.unwrap(), 400);
    }
    check_refusal(
        "no such method",
        &client.rpc("bad-input", "task/eat", json!({}), None).await.unwrap(),
        400,
    );
    for content in [
        Value::Null,
        json!("hi"),
        text(""),
        text(" \n"),
        json!({"type": "tool_request"}),
    ] {
        let answer = task.rpc("event/send", json!({"content": content}), None).await.unwrap();
        check_refusal(&format!("content {content}"), &answer, 400);
    }

    let ten_megabytes =
        json!({"method": "event/send", "params": {"task_id": task.id(), "content": text(&"x".repeat(10 << 20))}});
    check_refusal(
        "10 MB",
        &client.post(rpc, ten_megabytes.to_string()).await.unwrap(),
        413,
    );
    let above_a_megabyte = text(&"x".repeat((1 << 20) + 1));
    let answer = task
        .rpc("event/send", json!({"content": above_a_megabyte}), None)
        .await
        .unwrap();
    check_refusal("above 1 MiB", &answer, 413);

    // No turn was started, and the task still works.
    assert_eq!(task.lines().await.unwrap(), []);
    assert_eq!(agent.model().journal().len(), 0);
    task.complete_turn(1, "hello").await.unwrap();
    assert_eq!(task.lines().await.unwrap(), [Line::user("hello"), Line::agent("Yes.")]);
    let started = stack
        .temporal()
        .cli(&["workflow", "list", "--query", &format!("WorkflowId = '{unknown}'")])
        .await;
    assert!(!started.unwrap().contains(unknown));
}
