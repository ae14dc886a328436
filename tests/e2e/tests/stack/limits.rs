//! Bounds of turns and tasks, and what happens at the edge of the window.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use serde_json::json;
use steadfast_events::TurnStatus;
use steadfast_testkit::RedisData;
use steadfast_testkit::scripted_model::{Gate, Reply};
use steadfast_testkit::stack::{AgentSetup, Line, PATIENCE, Stack, activity_tool};
use tokio::net::TcpListener;

use crate::shared::{TOOLS, checkpoint, runs, stack, tools};

#[tokio::test]
async fn a_turn_ends_at_its_time_limit_and_the_task_goes_on() {
    let gate = Gate::closed();
    let held = gate.clone();
    let setup = AgentSetup::new("turn-timeout", move |request| match request.user_texts().len() {
        1 => Reply::stream().and_text("Well").and_hold(&held),
        _ => Reply::text("Quick."),
    })
    .configure(|spec| spec.limits.turn_timeout = Some("2s".parse().unwrap()));
    let agent = stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let end = task.turn(1, "Slowly.").await.unwrap();
    assert_eq!(
        (end.status, end.error.unwrap().category.as_str()),
        (TurnStatus::Failed, "turn_timeout")
    );
    assert_eq!(task.turn(2, "Quickly.").await.unwrap().status, TurnStatus::Completed);
    gate.open();
}

#[tokio::test]
async fn a_task_ends_at_its_time_limit() {
    let setup = AgentSetup::new("task-timeout", |_| Reply::text("Hello."))
        .configure(|spec| spec.limits.task_timeout = Some("2s".parse().unwrap()));
    let agent = stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    assert_eq!(task.turn(1, "Hello.").await.unwrap().status, TurnStatus::Completed);
    let viewer = task.watch().await.unwrap();
    let status = viewer
        .find("the end of the task", |seen| {
            let last = seen.frames.iter().rev().find(|frame| frame.kind == "task_updated")?;
            (last.data["status"] != "running").then(|| last.data["status"].clone())
        })
        .await
        .unwrap();
    assert_eq!(status, "timed_out");
}

#[tokio::test]
async fn an_attempt_of_a_tool_ends_at_its_time_limit_and_the_model_is_told() {
    let asked: Arc<AtomicUsize> = Arc::default();
    let counted = asked.clone();
    let never = async move || {
        counted.fetch_add(1, Ordering::Relaxed);
        std::future::pending::<()>().await;
    };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", get(never))).await });
    let tool = json!({
        "description": "Never answers.",
        "parameters": {"type": "object", "properties": {}},
        "http": {"method": "GET", "url": url},
        "timeout": "1s",
        "retry": {"initialInterval": "100ms", "maximumAttempts": 2},
    });
    let setup = AgentSetup::new("slow-tool", |request| match request.last_tool_output() {
        None => Reply::call("never", &json!({})),
        Some(output) => Reply::text(output),
    })
    .tool("never", tool);
    let agent = stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    assert_eq!(task.turn(1, "Go.").await.unwrap().status, TurnStatus::Completed);
    let lines = task.lines().await.unwrap();
    assert!(
        matches!(lines.last(), Some(Line::Agent(text)) if text.contains("(timeout)")),
        "{lines:#?}"
    );
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_message_beyond_the_queue_is_rejected_and_its_sender_told() {
    let gate = Gate::closed();
    let held = gate.clone();
    let setup = AgentSetup::new("full-queue", move |_| Reply::stream().and_text("Well").and_hold(&held))
        .configure(|spec| spec.limits.max_queued_messages = 1);
    let agent = stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    task.send("one").await.unwrap();
    gate.reached(PATIENCE).await.unwrap();
    task.send("two").await.unwrap();
    // Whether the answer says it or the log does: nobody is left in the dark.
    let _ = task.send_with_key("the-third", "three").await.unwrap();
    let rejected = viewer
        .find("the rejection", |seen| {
            let rejected = seen.frames.iter().find(|frame| frame.kind == "message_rejected")?;
            Some(rejected.data.clone())
        })
        .await
        .unwrap();
    assert_eq!(rejected["message_id"], "the-third");
    assert!(
        rejected["reason"].as_str().unwrap().contains("maxQueuedMessages"),
        "{rejected}"
    );
    gate.open();
    assert_eq!(task.turn_ended(2).await.unwrap().status, TurnStatus::Completed);
}

#[tokio::test]
async fn a_task_that_has_used_its_tokens_makes_no_more_calls() {
    let setup = AgentSetup::new("token-limit", |_| Reply::text("Yes."))
        .configure(|spec| spec.limits.max_tokens_per_task = Some(10));
    let agent = stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    assert_eq!(task.turn(1, "one").await.unwrap().status, TurnStatus::Completed);
    let end = task.turn(2, "two").await.unwrap();
    assert_eq!(
        (end.status, end.error.unwrap().category.as_str()),
        (TurnStatus::Failed, "max_tokens_per_task")
    );
    assert_eq!(agent.model().journal().len(), 1);
}

#[tokio::test]
async fn an_interrupt_does_not_wait_for_a_heartbeat() {
    let gate = Gate::closed();
    let held = gate.clone();
    let setup = AgentSetup::new("quick-interrupt", move |_| {
        Reply::stream().and_text("Well").and_hold(&held)
    })
    .configure(|spec| spec.model.timeouts.heartbeat = "60s".parse().unwrap());
    let agent = stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    task.send("one").await.unwrap();
    viewer
        .until("the first word", |seen| seen.last_text() == "Well")
        .await
        .unwrap();
    task.rpc("task/interrupt", json!({}), None)
        .await
        .unwrap()
        .result()
        .unwrap();
    // Heartbeats would bring the word after half a minute at the earliest.
    let ended = tokio::time::timeout(Duration::from_secs(10), task.turn_ended(1)).await;
    assert_eq!(ended.unwrap().unwrap().status, TurnStatus::Interrupted);
    assert_eq!(task.lines().await.unwrap(), [Line::user("one"), Line::agent("Well")]);
    gate.open();
}

#[tokio::test]
async fn a_summed_up_conversation_shows_every_message_when_its_agent_is_deleted_and_redis_emptied() {
    let stack = Stack::start().await.unwrap();
    let _tools = tools(&stack);
    // Each call claims 18 tokens: the window of 20 is full after every one.
    let setup = AgentSetup::new("compacted", |request| {
        if request.last_user_text().starts_with("Sum up the conversation") {
            return Reply::text(format!("Summary of {} items.", request.input().len()));
        }
        match request.tool_outputs_of_turn().len() {
            0 => Reply::call("nonce", &json!({"of": request.last_user_text()})),
            _ => Reply::text(format!("Answer to {}.", request.last_user_text())),
        }
    })
    .tool(
        "nonce",
        activity_tool("nonce", TOOLS, &json!({"of": {"type": "string"}})),
    )
    .configure(|spec| spec.context.window_tokens = 20);
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    for turn in 1..=5 {
        let end = task.turn(turn, &format!("Say {turn}.")).await.unwrap();
        assert_eq!(end.status, TurnStatus::Completed, "{end:?}");
        if turn == 2 || turn == 4 {
            checkpoint(&stack, &task, runs(&stack, &task).await.unwrap() + 1).await;
        }
    }
    assert_eq!(runs(&stack, &task).await.unwrap(), 3);
    let seen = viewer
        .until("the last turn", |seen| seen.of_turn("turn_ended", 5).is_some())
        .await
        .unwrap();
    assert!(seen.count("context_compacted") >= 2, "{}", seen.summary());
    let last = agent.model().journal().last().unwrap().request.clone();
    assert!(last.input().len() <= 6, "{:?}", last.input());
    let before = task.messages().await.unwrap();

    agent.delete().await.unwrap();
    stack.redis().restart(RedisData::Empty).await.unwrap();
    let ids = |messages: &[serde_json::Value]| -> Vec<(String, String)> {
        let line = |message: &serde_json::Value| (message["id"].to_string(), message["content"].to_string());
        messages.iter().map(line).collect()
    };
    assert_eq!(ids(&task.messages().await.unwrap()), ids(&before));
    assert_eq!(agent.model().violations(), Vec::<String>::new());
}

#[tokio::test]
async fn fifty_clients_may_ask_about_a_task_in_the_middle_of_its_turn() {
    let gate = Gate::closed();
    let held = gate.clone();
    let setup = AgentSetup::new("asked-about", move |_| Reply::stream().and_text("Well").and_hold(&held));
    let agent = stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.send("one").await.unwrap();
    gate.reached(PATIENCE).await.unwrap();
    let answers = futures::future::join_all((0..50).map(|_| task.describe())).await;
    for answer in answers {
        assert_eq!(answer.unwrap()["status"], "RUNNING");
    }
    gate.open();
    assert_eq!(task.turn_ended(1).await.unwrap().status, TurnStatus::Completed);
}
