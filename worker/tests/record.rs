//! Records the histories that `replay.rs` replays. Run by hand when the workflow
//! does something new, never to mend a broken replay:
//! `cargo test -p steadfast-worker --test record -- --ignored`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::path::PathBuf;

use serde_json::json;
use steadfast_log::{EventLog, LogSettings};
use steadfast_platform::{
    scripted_model::{Gate, ModelRequest, Reply},
    stack::{Agent, AgentSetup, INSTALL, PATIENCE, Stack, Task, activity_tool, example},
};
use temporalio_client::{Client, ClientOptions, Connection, ConnectionOptions, WorkflowFetchHistoryOptions};
use temporalio_common::UntypedWorkflow;

async fn client(stack: &Stack) -> Client {
    let options = ConnectionOptions::new(stack.temporal().url().parse::<url::Url>().unwrap()).build();
    Client::new(
        Connection::connect(options).await.unwrap(),
        ClientOptions::new("default").build(),
    )
    .unwrap()
}

/// Writes the history, and what a person saw of it.
async fn record(stack: &Stack, client: &Client, task: &Task, name: &str) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/histories");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join(format!("{name}.json"));
    assert!(
        !file.exists(),
        "{} stands already; a recorded history is never changed",
        file.display()
    );
    let handle = client.get_workflow_handle::<UntypedWorkflow>(task.id());
    let history = handle
        .fetch_history(WorkflowFetchHistoryOptions::default())
        .to_json()
        .await
        .unwrap();
    std::fs::write(&file, history).unwrap();
    let log = EventLog::new(&stack.redis().url(), LogSettings::for_install(INSTALL)).unwrap();
    let messages = log.snapshot(task.id()).await.unwrap().messages;
    let lines: Vec<String> = messages
        .iter()
        .map(|message| format!("{} {}\n", message.id, serde_json::to_string(&message.content).unwrap()))
        .collect();
    std::fs::write(file.with_extension("messages"), lines.concat()).unwrap();
}

fn weather(request: &ModelRequest) -> Reply {
    match request.tool_outputs_of_turn().len() {
        0 => Reply::call("get_weather", &json!({"city": "Oslo"})).and_raw_call("get_weather", "{\"city\": 3}"),
        _ => Reply::text("It is cold."),
    }
}

async fn agent(stack: &Stack, name: &str, script: impl Fn(&ModelRequest) -> Reply + Send + Sync + 'static) -> Agent {
    let tool = activity_tool("get_weather", "weather-tools", &json!({"city": {"type": "string"}}));
    stack
        .agent(AgentSetup::new(name, script).tool("get_weather", tool))
        .await
        .unwrap()
}

#[tokio::test]
#[ignore = "writes tests/histories"]
async fn record_histories() {
    let stack = Stack::start().await.unwrap();
    let client = client(&stack).await;
    let _tools = stack.python_worker(&example("weather/worker/worker.py"), &[]).unwrap();

    let talkative = agent(&stack, "talkative", |_| Reply::text("Hello there.")).await;
    let task = talkative.task().await.unwrap();
    for turn in 1..=3 {
        task.turn(turn, "Hello").await.unwrap();
    }
    record(&stack, &client, &task, "three-turns").await;

    let tools = agent(&stack, "tools", weather).await;
    let task = tools.task().await.unwrap();
    task.turn(1, "How is the weather?").await.unwrap();
    task.rpc("task/complete", json!({}), None).await.ok();
    record(&stack, &client, &task, "tool-and-refused-call").await;

    let failing = agent(&stack, "failing", |request| match request.user_texts().len() {
        1 => Reply::error(400, "invalid_request", "no"),
        _ => Reply::text("Fine again."),
    })
    .await;
    let task = failing.task().await.unwrap();
    task.turn(1, "Fail").await.unwrap();
    task.turn(2, "And now?").await.unwrap();
    record(&stack, &client, &task, "failed-turn").await;

    let gate = Gate::closed();
    let held = gate.clone();
    let slow = agent(&stack, "slow", move |request| match request.user_texts().len() {
        1 => Reply::stream().and_text("Well").and_hold(&held).and_text(" then"),
        _ => Reply::text("Next."),
    })
    .await;
    let task = slow.task().await.unwrap();
    task.send("Think").await.unwrap();
    gate.reached(PATIENCE).await.unwrap();
    task.send("Second").await.unwrap();
    task.rpc("task/interrupt", json!({}), None).await.unwrap();
    task.turn_ended(2).await.unwrap();
    record(&stack, &client, &task, "interrupted-with-a-message-queued").await;
    gate.open();
}
