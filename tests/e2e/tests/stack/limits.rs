//! Limits of turns and tasks, and the compaction of the context window.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, routing::get};
use serde_json::{Value, json};
use steadfast_e2e::{
    backend::stack::{continue_as_new, nonce_tool, runs, shared_stack, signal_message, tools_worker},
    scripts::{call_then_repeat, hold},
};
use steadfast_events::TurnStatus;
use steadfast_testkit::{
    RedisData,
    scripted_model::{Gate, Reply, Text},
    stack::{AgentSetup, Line, Stack, TIMEOUT},
};

use crate::http_server::serve;

#[tokio::test]
async fn a_turn_ends_at_its_time_limit_and_the_task_continues() {
    let gate = Gate::closed();
    let held = gate.clone();
    let setup = AgentSetup::new("turn-timeout", move |request| match request.user_texts().len() {
        1 => Reply::stream().and_text("Well").and_hold(&held),
        _ => Reply::text("Quick."),
    })
    .configure(|spec| spec.limits.turn_timeout = Some("2s".parse().unwrap()));
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let error = task.fail_turn(1, "Slowly.").await.unwrap();
    assert_eq!(error.category, "turn_timeout");
    task.complete_turn(2, "Quickly.").await.unwrap();
    gate.open();
}

#[tokio::test]
async fn a_task_ends_at_its_time_limit() {
    let setup = AgentSetup::new("task-timeout", |_| Reply::text("Hello."))
        .configure(|spec| spec.limits.task_timeout = Some("2s".parse().unwrap()));
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "Hello.").await.unwrap();
    let viewer = task.watch().await.unwrap();
    assert_eq!(viewer.until_task_ended().await.unwrap(), "timed_out");
}

#[tokio::test]
async fn a_tool_attempt_ends_at_its_time_limit_and_the_model_gets_the_error() {
    let asked: Arc<AtomicUsize> = Arc::default();
    let counted = asked.clone();
    let never = async move || {
        counted.fetch_add(1, Ordering::Relaxed);
        std::future::pending::<()>().await;
    };
    let url = serve(Router::new().route("/", get(never))).await;
    let tool = json!({
        "description": "Never answers.",
        "parameters": {"type": "object", "properties": {}},
        "http": {"method": "GET", "url": url},
        "timeout": "1s",
        "retry": {"initialInterval": "100ms", "maximumAttempts": 2},
    });
    let setup = AgentSetup::new("slow-tool", call_then_repeat("never", json!({}))).tool("never", tool);
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "Go.").await.unwrap();
    let lines = task.lines().await.unwrap();
    assert!(
        matches!(lines.last(), Some(Line::Agent(text)) if text.contains("(timeout)")),
        "{lines:#?}"
    );
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_message_beyond_the_queue_limit_is_rejected_with_a_reason() {
    let gate = Gate::closed();
    let setup =
        AgentSetup::new("full-queue", hold("Well", &gate)).configure(|spec| spec.limits.max_queued_messages = 1);
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    task.send("one").await.unwrap();
    gate.reached(TIMEOUT).await.unwrap();
    task.send_with_key("the-second", "two").await.unwrap();
    // The gateway refuses it before the task gets it.
    let refused = task.try_send("refused", "three").await.unwrap();
    assert_eq!(refused.status, 429, "{refused:?}");
    let words = refused.body["message"].as_str().unwrap();
    assert!(words.contains("maxQueuedMessages"), "{words}");
    // A repeated message that was accepted is not a new one.
    task.send_with_key("the-second", "two").await.unwrap();
    // Whoever signals without the gateway is told by the log.
    signal_message(shared_stack().await, &task, "the-third", "three").await;
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
    task.turn_completed(2).await.unwrap();
}

#[tokio::test]
async fn a_rejected_message_stays_rejected_after_the_log_is_lost() {
    let stack = Stack::start().await.unwrap();
    let gate = Gate::closed();
    let setup = AgentSetup::new("rejected-message", {
        let gate = gate.clone();
        move |request| {
            let answer = format!("Answer to {}.", request.last_user_text());
            Reply::text(Text::words(answer).hold_after(1, &gate))
        }
    })
    .configure(|spec| spec.limits.max_queued_messages = 1);
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    task.send("one").await.unwrap();
    // The answer begins before the next message arrives, so that viewers see it first.
    viewer
        .until("the first word", |seen| seen.last_text().starts_with("Answer"))
        .await
        .unwrap();
    task.send("two").await.unwrap();
    signal_message(&stack, &task, "rejected", "three").await;
    viewer
        .until("the rejection", |seen| seen.count("message_rejected") == 1)
        .await
        .unwrap();
    gate.open();
    task.turn_completed(2).await.unwrap();
    task.complete_turn(3, "four").await.unwrap();

    let expected: Vec<Line> = ["one", "two", "four"]
        .into_iter()
        .flat_map(|text| [Line::user(text), Line::agent(format!("Answer to {text}."))])
        .collect();
    assert_eq!(task.lines().await.unwrap(), expected);

    // Without the log the gateway reads the messages from the workflow's history.
    stack.redis().restart(RedisData::Empty).await.unwrap();
    assert_eq!(task.lines().await.unwrap(), expected);
    let viewer = task.watch().await.unwrap();
    let messages = viewer
        .find("all messages", |seen| {
            let reset = seen.frames.iter().find(|frame| frame.kind == "log_reset")?;
            reset.data["messages"].as_array().cloned()
        })
        .await
        .unwrap();
    let turns: Vec<&Value> = messages.iter().map(|message| &message["turn"]).collect();
    assert_eq!(turns, [1, 1, 2, 2, 3, 3]);
}

#[tokio::test]
async fn a_task_beyond_its_token_limit_makes_no_more_model_calls() {
    let setup = AgentSetup::new("token-limit", |_| Reply::text("Yes."))
        .configure(|spec| spec.limits.max_tokens_per_task = Some(10));
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "one").await.unwrap();
    let error = task.fail_turn(2, "two").await.unwrap();
    assert_eq!(error.category, "max_tokens_per_task");
    assert_eq!(agent.model().journal().len(), 1);
}

#[tokio::test]
async fn an_interrupt_does_not_wait_for_a_heartbeat() {
    let gate = Gate::closed();
    let setup = AgentSetup::new("quick-interrupt", hold("Well", &gate))
        .configure(|spec| spec.model.timeouts.heartbeat = "60s".parse().unwrap());
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    task.send("one").await.unwrap();
    viewer
        .until("the first word", |seen| seen.last_text() == "Well")
        .await
        .unwrap();
    task.interrupt().await.unwrap();
    // By heartbeats the interrupt would take half a minute at least.
    let ended = tokio::time::timeout(Duration::from_secs(10), task.turn_ended(1)).await;
    assert_eq!(ended.unwrap().unwrap().status, TurnStatus::Interrupted);
    assert_eq!(task.lines().await.unwrap(), [Line::user("one"), Line::agent("Well")]);
    gate.open();
}

#[tokio::test]
async fn a_compacted_conversation_shows_every_message_after_its_agent_and_its_log_are_gone() {
    let stack = Stack::start().await.unwrap();
    let _tools = tools_worker(&stack);
    // Each call reports 18 tokens: the window of 20 is full after every call.
    let setup = AgentSetup::new("compacted", |request| {
        if request.last_user_text().starts_with("Sum up the conversation") {
            return Reply::text(format!("Summary of {} items.", request.input().len()));
        }
        match request.tool_outputs_of_turn().len() {
            0 => Reply::call("nonce", &json!({"of": request.last_user_text()})),
            _ => Reply::text(format!("Answer to {}.", request.last_user_text())),
        }
    })
    .tool("nonce", nonce_tool())
    .configure(|spec| spec.context.window_tokens = 20);
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    for turn in 1..=5 {
        task.complete_turn(turn, &format!("Say {turn}.")).await.unwrap();
        if turn == 2 || turn == 4 {
            continue_as_new(&stack, &task, runs(&stack, &task).await.unwrap() + 1).await;
        }
    }
    assert_eq!(runs(&stack, &task).await.unwrap(), 3);
    let seen = viewer.until_turn_ended(5).await.unwrap();
    assert!(seen.count("context_compacted") >= 2, "{}", seen.summary());
    let last = agent.model().journal().last().unwrap().request.clone();
    assert!(last.input().len() <= 6, "{:?}", last.input());
    let before = task.messages().await.unwrap();

    agent.delete().await.unwrap();
    stack.redis().restart(RedisData::Empty).await.unwrap();
    let ids = |messages: &[Value]| -> Vec<(String, String)> {
        let line = |message: &Value| (message["id"].to_string(), message["content"].to_string());
        messages.iter().map(line).collect()
    };
    assert_eq!(ids(&task.messages().await.unwrap()), ids(&before));
    assert_eq!(agent.model().violations(), Vec::<String>::new());
}

#[tokio::test]
async fn fifty_clients_can_read_a_task_during_its_turn() {
    let gate = Gate::closed();
    let setup = AgentSetup::new("asked-about", hold("Well", &gate));
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.send("one").await.unwrap();
    gate.reached(TIMEOUT).await.unwrap();
    let answers = futures::future::join_all((0..50).map(|_| task.describe())).await;
    for answer in answers {
        assert_eq!(answer.unwrap()["status"], "RUNNING");
    }
    gate.open();
    task.turn_completed(1).await.unwrap();
}
