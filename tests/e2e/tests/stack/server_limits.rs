//! What is large for a Temporal server with low limits: a task completes, compensates or refuses with words, and the
//! server never terminates it.

use std::time::Duration;

use serde_json::{Value, json};
use steadfast_e2e::{
    backend::stack::{TOOLS, python, runs, tools_worker},
    scripts::call_then_repeat,
};
use steadfast_testkit::{
    McpServer, TemporalOptions,
    scripted_model::Reply,
    stack::{Agent, AgentSetup, BinaryDir, GatewayResponse, Line, PythonWorker, Stack, TIMEOUT, Task, activity_tool},
    wait,
};
use tokio::sync::OnceCell;

use crate::{ledger::Ledger, noise::noise};

/// At 4 MiB of history and at payloads of 1.5 MiB the server terminates a workflow.
const LIMITS: [&str; 6] = [
    "limit.historySize.error=4194304",
    "limit.historySize.warn=2097152",
    "limit.historySize.suggestContinueAsNew=1048576",
    "limit.blobSize.error=1572864",
    "limit.blobSize.warn=1310720",
    "limit.memoSize.error=1572864",
];

struct Limited {
    stack: Stack,
    _tools: PythonWorker,
}

async fn start() -> Limited {
    let options = TemporalOptions {
        dynamic_config: LIMITS.map(str::to_owned).to_vec(),
        ..TemporalOptions::default()
    };
    let stack = Stack::start_with(options, BinaryDir::of_this_test().unwrap())
        .await
        .unwrap();
    let tools = tools_worker(&stack);
    Limited { stack, _tools: tools }
}

/// The stack that the tests of this file share.
async fn limited() -> &'static Stack {
    static LIMITED: OnceCell<Limited> = OnceCell::const_new();
    &LIMITED.get_or_init(start).await.stack
}

/// The task runs: no run of it was terminated, and none has failed.
async fn assert_runs(stack: &Stack, task: &Task) {
    let query = format!(
        "WorkflowId = '{}' AND ExecutionStatus IN ('Terminated', 'Failed', 'TimedOut')",
        task.id()
    );
    let arguments = ["workflow", "list", "--output", "json", "--query", &query];
    let ended: Vec<Value> = serde_json::from_str(&stack.temporal().cli(&arguments).await.unwrap()).unwrap();
    assert_eq!(ended, Vec::<Value>::new());
    assert_eq!(task.describe().await.unwrap()["status"], "RUNNING");
}

/// Sends a message, again while the run is ending.
async fn send(task: &Task, number: u64, text: &str) -> GatewayResponse {
    wait::until("the next run", TIMEOUT, async || {
        let answer = task.try_send(&format!("message-{number}"), text).await?;
        let is_ending = answer.status == 429 && answer.body.to_string().contains("is ending at this moment");
        anyhow::ensure!(!is_ending, "the run is ending");
        Ok(answer)
    })
    .await
    .unwrap()
}

fn asking() -> Value {
    json!({
        "description": "Asks.", "parameters": {"type": "object", "properties": {}},
        "human": {"prompt": "Go on?", "timeout": "1h"},
    })
}

/// An agent that asks a person in its first turn, and answers every message with its first word.
async fn patient(stack: &Stack, name: &str) -> Agent {
    let setup = AgentSetup::new(name, |request| {
        match (request.last_tool_output(), request.last_user_text().as_str()) {
            (None, "Ask.") => Reply::call("confirm", &json!({})),
            (Some(_), "Ask.") => Reply::text("Asked."),
            (_, text) => Reply::text(format!("Answer to {}.", text.split(' ').next().unwrap_or_default())),
        }
    })
    .tool("confirm", asking())
    .configure(|spec| spec.context.window_tokens = 100_000_000);
    stack.agent(setup).await.unwrap()
}

#[tokio::test]
async fn a_waiting_task_takes_or_refuses_messages_and_is_never_terminated() {
    let stack = limited().await;
    let agent = patient(stack, "flooded").await;
    let task = agent.task().await.unwrap();
    task.send("Ask.").await.unwrap();
    let approval = task.until_approval_pending().await.unwrap();

    // 80 messages are more than the server allows a history; the first 40 are what a busy channel may send.
    let mut accepted = Vec::new();
    let mut refusals = Vec::new();
    for number in 0..80 {
        let text = format!("{number} {}", noise(number, 64 * 1024));
        let answer = send(&task, number, &text).await;
        match answer.status {
            200 => accepted.push(number),
            429 => refusals.push(answer.body["message"].as_str().unwrap().to_owned()),
            other => panic!("{other}: {:.300}", answer.body.to_string()),
        }
    }
    assert!(accepted.len() >= 16, "{accepted:?}");
    assert!(!refusals.is_empty(), "everything was accepted");
    assert!(
        refusals
            .iter()
            .all(|words| words.contains("history of its run is nearly full")),
        "{refusals:?}"
    );
    assert!(
        runs(stack, &task).await.unwrap() > 1,
        "the wait has not continued as new"
    );
    assert_runs(stack, &task).await;

    // What was accepted is answered, and nothing else.
    approval.approve("").await.unwrap();
    let turns = u32::try_from(accepted.len()).unwrap() + 1;
    task.turn_completed(turns).await.unwrap();
    let answers: Vec<String> = task
        .lines()
        .await
        .unwrap()
        .into_iter()
        .filter_map(|line| match line {
            Line::Agent(text) if text.starts_with("Answer") => Some(text),
            _ => None,
        })
        .collect();
    let expected: Vec<String> = accepted.iter().map(|number| format!("Answer to {number}.")).collect();
    assert_eq!(answers, expected);
    assert_runs(stack, &task).await;
    assert_eq!(agent.model().violations(), Vec::<String>::new());
}

/// Two steps with results that nothing compresses, then one that is given the first result, which is too large.
fn heavy_steps(ledger: &Ledger) -> Value {
    let noise = |name: &str| {
        json!({
            "name": name,
            "activity": {"name": "noise", "taskQueue": TOOLS},
            "arguments": {"bytes": 1_200_000},
            "compensate": {
                "activity": {"name": "effect", "taskQueue": TOOLS},
                "arguments": {
                    "ledger": ledger.url(), "what": format!("undo {name}"), "account": "a",
                    "amount": format!("{{{{ steps.{name}.text | length }}}}"),
                },
            },
        })
    };
    json!({
        "description": "Moves much.",
        "parameters": {"type": "object", "properties": {}},
        "steps": [
            noise("first"),
            noise("second"),
            {
                "name": "third",
                "activity": {"name": "nonce", "taskQueue": TOOLS},
                "arguments": {"of": "{{ steps.first.text }}{{ steps.second.text }}"},
            },
        ],
        "maxResultBytes": 100_000,
    })
}

#[tokio::test]
async fn steps_with_large_results_are_compensated_when_a_later_step_fails() {
    let stack = limited().await;
    let ledger = Ledger::start().await;
    let setup = AgentSetup::new("heavy-steps", call_then_repeat("move", json!({}))).tool("move", heavy_steps(&ledger));
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "Go.").await.unwrap();
    assert_eq!(ledger.effects().await, ["undo second 1200000", "undo first 1200000"]);
    let output = agent.model().journal()[1].request.last_tool_output().unwrap();
    let output: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(
        (&output["failed_step"], &output["undone"], &output["not_undone"]),
        (&json!("third"), &json!(["second", "first"]), &json!([]))
    );
    let error = output["error"].as_str().unwrap();
    assert!(error.contains("give the step less"), "{error}");
    assert_runs(stack, &task).await;
}

#[tokio::test]
async fn a_result_that_the_server_does_not_take_is_an_error_in_words() {
    let stack = limited().await;
    let setup = AgentSetup::new("too-much", call_then_repeat("noise", json!({"bytes": 1_700_000}))).tool(
        "noise",
        activity_tool("noise", TOOLS, &json!({"bytes": {"type": "integer"}})),
    );
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "Go.").await.unwrap();
    let output = agent.model().journal()[1].request.last_tool_output().unwrap();
    assert!(output.contains("size"), "{output}");
    assert_runs(stack, &task).await;
}

#[tokio::test]
async fn a_form_of_a_megabyte_is_refused_with_words() {
    let stack = limited().await;
    let server = McpServer::python(&python("mcp_server.py")).await.unwrap();
    let tool = json!({"description": "Asks.", "mcp": {"url": server.url()}});
    let setup =
        AgentSetup::new("long-form", call_then_repeat("ask_much", json!({"question": "Sure?"}))).tool("asking", tool);
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "Ask.").await.unwrap();
    let output = agent.model().journal()[1].request.last_tool_output().unwrap();
    assert!(output.contains("a form") && output.contains("65536"), "{output}");
    assert_runs(stack, &task).await;
}

#[tokio::test]
async fn an_answer_with_images_is_kept_whole_and_carried_on() {
    let stack = limited().await;
    let setup = AgentSetup::new("pictures", |request| {
        if request.last_user_text() == "Paint." {
            Reply::text(noise(7, 2_500_000))
        } else {
            Reply::text(format!("{} messages.", request.user_texts().len()))
        }
    })
    .configure(|spec| spec.context.window_tokens = 100_000_000);
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "Paint.").await.unwrap();
    task.complete_turn(2, "And now?").await.unwrap();
    // The answer was paid for once, and the next call was given it.
    assert_eq!(agent.model().journal().len(), 2);
    let input = serde_json::to_string(agent.model().journal()[1].request.input()).unwrap();
    assert!(input.contains(&noise(7, 2_500_000)), "{} bytes", input.len());
    assert_runs(stack, &task).await;
}

#[tokio::test]
async fn a_task_takes_messages_and_runs_steps_while_redis_is_away() {
    let limited = start().await;
    let stack = &limited.stack;
    let ledger = Ledger::start().await;
    let agent = patient(stack, "without-redis").await;
    let setup =
        AgentSetup::new("steps-without-redis", call_then_repeat("move", json!({}))).tool("move", heavy_steps(&ledger));
    let mover = stack.agent(setup).await.unwrap();
    stack.redis().kill().await.unwrap();

    let moving = mover.task().await.unwrap();
    moving.send("Go.").await.unwrap();
    let task = agent.task().await.unwrap();
    task.send("Ask.").await.unwrap();
    let approval = task.until_approval_pending().await.unwrap();
    let mut accepted = 0;
    for number in 0..40 {
        let text = format!("{number} {}", noise(number, 64 * 1024));
        let answer = send(&task, number, &text).await;
        match answer.status {
            200 => accepted += 1,
            429 => break,
            other => panic!("{other}: {:.300}", answer.body.to_string()),
        }
    }
    assert!(accepted >= 16, "{accepted}");
    approval.approve("").await.unwrap();
    ledger.until_recorded(2).await;
    assert_eq!(ledger.effects().await, ["undo second 1200000", "undo first 1200000"]);
    let last = Line::agent(format!("Answer to {}.", accepted - 1));
    wait::until("the last answer", Duration::from_mins(3), async || {
        let lines = task.lines().await?;
        anyhow::ensure!(lines.last() == Some(&last), "there are {} lines", lines.len());
        Ok(())
    })
    .await
    .unwrap();
    assert_runs(stack, &task).await;
    assert_runs(stack, &moving).await;
}
