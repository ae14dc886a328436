//! Records the histories that `replay.rs` replays. Run it by hand when the workflow does something
//! new, and never to repair a broken replay:
//! `cargo test -p steadfast-worker --profile ci --test record -- --ignored`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::path::PathBuf;

use anyhow::Context as _;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use steadfast_crds::{agent::HandoffInput, agent_revision::RevisionHandoff, names::agent_task_queue};
use steadfast_eventlog::{EventLog, LogSettings, RedisConnector};
use steadfast_events::LogId;
use steadfast_temporal::TemporalSettings;
use steadfast_testkit::{
    scripted_model::{Gate, ModelRequest, Reply},
    stack::{Agent, AgentSetup, INSTALL, NAMESPACE, Stack, TIMEOUT, Task, activity_tool, example},
    temporal::count_events,
    wait,
};
use temporalio_client::{Client, ClientOptions, WorkflowDescribeOptions, WorkflowFetchHistoryOptions};
use temporalio_common::UntypedWorkflow;

/// Where the activities of `tools.py` are served.
const TOOLS: &str = "test-tools";

async fn client(stack: &Stack) -> Client {
    let settings = TemporalSettings::insecure(&stack.temporal().url(), "default").unwrap();
    let connection = steadfast_temporal::connect(&settings, "record", TIMEOUT).await.unwrap();
    Client::new(connection, ClientOptions::new("default").build()).unwrap()
}

/// Writes the history of a task, and the messages that a person saw of it.
async fn record(stack: &Stack, client: &Client, task: &Task, name: &str) {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/histories");
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join(format!("{name}.json"));
    assert!(
        !file.exists(),
        "{} exists already; a recorded history is never changed",
        file.display()
    );
    // The log can tell the end of a turn before the history does.
    wait::until("the task to settle", TIMEOUT, async || {
        let events = stack.temporal().history(task.id(), None).await?;
        let count = |kind: &str| count_events(&events, kind);
        let open = count("ACTIVITY_TASK_SCHEDULED") - count("ACTIVITY_TASK_COMPLETED");
        let decided = count("WORKFLOW_TASK_COMPLETED") + count("WORKFLOW_TASK_FAILED");
        anyhow::ensure!(count("WORKFLOW_TASK_SCHEDULED") == decided, "a workflow task is open");
        let ended = count("ACTIVITY_TASK_FAILED") + count("ACTIVITY_TASK_CANCELED");
        anyhow::ensure!(open == ended, "{open} activities are open, {ended} have failed");
        Ok(())
    })
    .await
    .unwrap();
    let handle = client.get_workflow_handle::<UntypedWorkflow>(task.id());
    let history = handle
        .fetch_history(WorkflowFetchHistoryOptions::default())
        .to_json()
        .await
        .unwrap();
    std::fs::write(&file, history).unwrap();
    let log = EventLog::new(
        RedisConnector::from_url(&stack.redis().url()).unwrap(),
        LogSettings::for_install(INSTALL),
    );
    let described = handle.describe(WorkflowDescribeOptions::default()).await.unwrap();
    let first_run_id = described.raw_description.workflow_execution_info.unwrap().first_run_id;
    let id = LogId::new(task.id(), first_run_id);
    let messages = log.snapshot(&id).await.unwrap().messages;
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
async fn record_turns_tools_failures_and_interrupts() {
    let stack = Stack::start().await.unwrap();
    let client = client(&stack).await;
    let _tools = stack.python_worker(&example("weather/worker/worker.py"), &[]).unwrap();

    let talkative = agent(&stack, "talkative", |_| Reply::text("Hello there.")).await;
    let task = talkative.task().await.unwrap();
    for turn in 1..=3 {
        task.complete_turn(turn, "Hello").await.unwrap();
    }
    record(&stack, &client, &task, "three-turns").await;

    let tools = agent(&stack, "tools", weather).await;
    let task = tools.task().await.unwrap();
    task.complete_turn(1, "How is the weather?").await.unwrap();
    task.complete().await.unwrap();
    record(&stack, &client, &task, "tool-and-invalid-call").await;

    let failing = agent(&stack, "failing", |request| match request.user_texts().len() {
        1 => Reply::error(400, "invalid_request", "no"),
        _ => Reply::text("Fine again."),
    })
    .await;
    let task = failing.task().await.unwrap();
    task.fail_turn(1, "Fail").await.unwrap();
    task.complete_turn(2, "And now?").await.unwrap();
    record(&stack, &client, &task, "failed-turn").await;

    let gate = Gate::closed();
    let held = gate.clone();
    let slow = agent(&stack, "slow", move |request| match request.user_texts().len() {
        1 => Reply::stream().and_text("Well").and_hold(&held).and_text(" then"),
        _ => Reply::text("Next."),
    })
    .await;
    let task = slow.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    task.send("Think").await.unwrap();
    // Viewers see the two messages in the order in which they reach the log.
    viewer
        .until("the first word", |seen| seen.last_text() == "Well")
        .await
        .unwrap();
    task.send("Second").await.unwrap();
    task.interrupt().await.unwrap();
    task.turn_ended(2).await.unwrap();
    record(&stack, &client, &task, "interrupted-with-a-message-queued").await;
    gate.open();
}

#[tokio::test]
#[ignore = "writes tests/histories"]
async fn record_an_image_and_a_file() {
    let stack = Stack::start().await.unwrap();
    let client = client(&stack).await;
    let seeing = agent(&stack, "seeing", |_| Reply::text("I see.")).await;
    let task = seeing.task().await.unwrap();
    let attachments = json!([
        {"name": "tea.txt", "type": "text/plain", "data": BASE64_STANDARD.encode("tea")},
        {"type": "image/*", "url": "https://example.com/tea.png"},
    ]);
    let content = json!({"type": "text", "author": "user", "content": "See:", "attachments": attachments});
    let sent = task.rpc("event/send", json!({ "content": content }), None).await;
    sent.unwrap().rpc_result().unwrap();
    task.turn_completed(1).await.unwrap();
    task.complete_turn(2, "And now?").await.unwrap();
    task.complete().await.unwrap();
    record(&stack, &client, &task, "image-and-file").await;
}

/// A tool of one step that is done and one that fails, so that the first is undone.
fn undone() -> Value {
    json!({
        "description": "Does one thing and then another.",
        "parameters": {"type": "object", "properties": {"of": {"type": "string"}}, "required": ["of"]},
        "steps": [
            {
                "name": "first",
                "activity": {"name": "nonce", "taskQueue": TOOLS},
                "arguments": {"of": "{{ of }}"},
                "compensate": {"activity": {"name": "nonce", "taskQueue": TOOLS}, "arguments": {"of": "undo"}},
            },
            {"name": "second", "activity": {"name": "fail", "taskQueue": TOOLS}, "arguments": {"what": "{{ of }}"}},
        ],
    })
}

fn confirm() -> Value {
    json!({
        "description": "Asks.", "parameters": {"type": "object", "properties": {}},
        "human": {"prompt": "Go on?", "timeout": "1h"},
    })
}

async fn approve(agent: &Agent, task: &Task) {
    let path = format!("/approvals?task_id={}", task.id());
    let asked = wait::until("an approval", TIMEOUT, async || {
        let waiting = agent.client().get(&path).await?.success()?;
        waiting.get(0).cloned().context("nothing waits")
    })
    .await
    .unwrap();
    let path = format!("/approvals/{}/approve", asked["id"].as_str().unwrap());
    agent.client().post(&path, "{}").await.unwrap();
}

#[tokio::test]
#[ignore = "writes tests/histories"]
#[expect(clippy::too_many_lines, reason = "one conversation, from its first turn to its last")]
async fn record_approvals_steps_handoffs_guardrails_and_compaction() {
    let stack = Stack::start().await.unwrap();
    let client = client(&stack).await;
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/e2e/python/tools.py");
    let _tools = stack.python_worker(&script, &[("TASK_QUEUE", TOOLS)]).unwrap();

    let setup = AgentSetup::new("deciding", |request| match request.tool_outputs_of_turn().len() {
        0 => Reply::call("confirm", &json!({})).and_call("guarded", &json!({"of": "tea"})),
        2 => Reply::call("undone", &json!({"of": "x"})).and_raw_call("guarded", "{\"of\": 3}"),
        _ => Reply::text("Done."),
    })
    .tool("confirm", confirm())
    .tool("undone", undone())
    .tool("guarded", {
        let mut tool = activity_tool("nonce", TOOLS, &json!({"of": {"type": "string"}}));
        tool["approval"] = json!({"required": true, "timeout": "2s"});
        tool
    });
    let deciding = stack.agent(setup).await.unwrap();
    let task = deciding.task().await.unwrap();
    task.send("Go.").await.unwrap();
    // The question is answered; nobody decides about the guarded call in time.
    wait::until("only one approval to wait", TIMEOUT, async || {
        let waiting = deciding
            .client()
            .get(&format!("/approvals?task_id={}", task.id()))
            .await?
            .success()?;
        anyhow::ensure!(waiting.as_array().is_some_and(|list| list.len() == 1), "{waiting}");
        Ok(())
    })
    .await
    .unwrap();
    approve(&deciding, &task).await;
    task.turn_ended(1).await.unwrap();
    record(&stack, &client, &task, "approved-expired-and-compensated").await;

    let second = AgentSetup::new("second", |_| Reply::text("I take over."));
    let second = stack.agent(second).await.unwrap();
    let first = AgentSetup::new("first", |_| Reply::call("transfer_to_second", &json!({}))).configure(|spec| {
        spec.welcome = "Welcome.".to_owned();
        spec.handoffs = vec![RevisionHandoff {
            name: "transfer_to_second".to_owned(),
            agent: "second".to_owned(),
            namespace: None,
            description: "Hands over.".to_owned(),
            task_queue: agent_task_queue(INSTALL, NAMESPACE, "second"),
            input: HandoffInput::All,
        }];
        let input = json!([{"name": "length", "cel": "size(text) > 1000"}]);
        spec.guardrails.input = serde_json::from_value(input).unwrap();
        let hook = json!({"events": ["AgentStarted"], "activity": {"name": "hook", "taskQueue": TOOLS}});
        spec.hooks = vec![serde_json::from_value(hook).unwrap()];
    });
    let first = stack.agent(first).await.unwrap();
    let task = first.task().await.unwrap();
    task.complete_turn(1, "Go.").await.unwrap();
    task.complete_turn(2, "And on.").await.unwrap();
    record(&stack, &client, &task, "guardrails-hooks-and-handoff").await;
    drop(second);

    // Each call claims 18 tokens: the window of 20 is full after every one.
    let setup = AgentSetup::new("summed-up", |request| {
        if request.last_user_text().starts_with("Sum up the conversation") {
            return Reply::text("A summary.");
        }
        match request.tool_outputs_of_turn().len() {
            0 => Reply::call("nonce", &json!({"of": request.last_user_text()})),
            _ => Reply::text("An answer."),
        }
    })
    .tool(
        "nonce",
        activity_tool("nonce", TOOLS, &json!({"of": {"type": "string"}})),
    )
    .configure(|spec| spec.context.window_tokens = 20);
    let summed_up = stack.agent(setup).await.unwrap();
    let task = summed_up.task().await.unwrap();
    task.complete_turn(1, "one").await.unwrap();
    let signal = ["workflow", "signal", "--workflow-id", task.id(), "--name", "checkpoint"];
    stack.temporal().cli(&signal).await.unwrap();
    task.complete_turn(2, "two").await.unwrap();
    task.complete_turn(3, "three").await.unwrap();
    record(&stack, &client, &task, "compacted-in-a-second-run").await;

    let gate = Gate::closed();
    let held = gate.clone();
    let slow = agent(&stack, "stopped", move |request| match request.user_texts().len() {
        1 => Reply::stream().and_text("Well").and_hold(&held).and_text(" then"),
        _ => Reply::text("Next."),
    })
    .await;
    let task = slow.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    task.send("Think").await.unwrap();
    viewer
        .until("the first word", |seen| seen.last_text() == "Well")
        .await
        .unwrap();
    task.interrupt().await.unwrap();
    task.turn_ended(1).await.unwrap();
    task.complete_turn(2, "Go on").await.unwrap();
    record(&stack, &client, &task, "interrupted-in-mid-answer").await;
    gate.open();
}
