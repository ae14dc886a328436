//! What cannot be right gets a clear answer and starts nothing.

use serde_json::{Value, json};
use steadfast_testkit::scripted_model::Reply;
use steadfast_testkit::stack::{AgentSetup, Answer, Line};

use crate::shared::stack;

/// A 4xx with words in it, as REST and as JSON-RPC.
fn check_refusal(what: &str, answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    let words = answer.body["message"]
        .as_str()
        .or_else(|| answer.body["error"]["message"].as_str());
    assert!(
        words.is_some_and(|words| !words.is_empty()),
        "{what}: no words in {answer:?}"
    );
}

fn text(text: &str) -> Value {
    json!({"type": "text", "author": "user", "content": text})
}

#[tokio::test]
async fn bad_input_gets_a_clear_refusal_and_starts_nothing() {
    let stack = stack().await;
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

    // Nothing was started and nothing was lost: the task is as new, and works.
    assert_eq!(task.lines().await.unwrap(), []);
    assert_eq!(agent.model().journal().len(), 0);
    task.turn(1, "hello").await.unwrap();
    assert_eq!(task.lines().await.unwrap(), [Line::user("hello"), Line::agent("Yes.")]);
    let started = stack
        .temporal()
        .cli(&["workflow", "list", "--query", &format!("WorkflowId = '{unknown}'")])
        .await;
    assert!(!started.unwrap().contains(unknown));
}
