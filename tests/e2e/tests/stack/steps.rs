//! Tools with several steps: their order, idempotency and compensation.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    http::{StatusCode, Uri},
};
use serde_json::{Value, json};
use steadfast_e2e::{
    backend::stack::{TOOLS, shared_stack},
    history::first_run_id,
    scripts::call_then_repeat,
};
use steadfast_testkit::stack::{Agent, AgentSetup, Line, Task};

use crate::{http_server::serve, ledger::Ledger};

/// A tool that withdraws and then deposits. The step `withdraw` has a compensation.
pub(crate) fn move_money(withdrawals: &Ledger, deposits: &Ledger) -> Value {
    let effect = |ledger: &Ledger, what: &str, account: &str| {
        json!({
            "activity": {"name": "effect", "taskQueue": TOOLS},
            "arguments": {
                "ledger": ledger.url(),
                "what": what,
                "account": format!("{{{{ {account} }}}}"),
                "amount": "{{ amount }}",
            },
        })
    };
    let mut withdraw = effect(withdrawals, "withdraw", "from");
    withdraw["name"] = json!("withdraw");
    withdraw["compensate"] = effect(withdrawals, "give back", "from");
    let mut deposit = effect(deposits, "deposit", "to");
    deposit["name"] = json!("deposit");
    json!({
        "description": "Moves money.",
        "parameters": {
            "type": "object",
            "properties": {"from": {"type": "string"}, "to": {"type": "string"}, "amount": {"type": "integer"}},
            "required": ["from", "to", "amount"],
        },
        "steps": [withdraw, deposit],
        "retry": {"initialInterval": "200ms", "maximumAttempts": 2},
    })
}

/// An agent that moves 40 from account `a` to account `to`.
pub(crate) async fn bank(name: &str, tool: Value, to: &'static str) -> Agent {
    let script = call_then_repeat("move_money", json!({"from": "a", "to": to, "amount": 40}));
    let setup = AgentSetup::new(name, script).tool("move_money", tool);
    shared_stack().await.agent(setup).await.unwrap()
}

/// The content of the tool's response, and whether it is an error.
async fn result(task: &Task) -> (Value, bool) {
    let lines = task.lines().await.unwrap();
    let found = lines.iter().find_map(|line| match line {
        Line::ToolResponse { content, is_error, .. } => Some((content.clone(), *is_error)),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no result: {lines:#?}"))
}

#[tokio::test]
async fn steps_run_in_order_each_with_its_own_idempotency_key() {
    let ledger = Ledger::start().await;
    let agent = bank("steps-order", move_money(&ledger, &ledger), "b").await;
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "Move it.").await.unwrap();
    assert_eq!(ledger.effects().await, ["withdraw 40", "deposit 40"]);
    let history = shared_stack().await.temporal().history(task.id(), None).await.unwrap();
    let place = format!("{}/t1.0.0", first_run_id(&history).unwrap());
    assert_eq!(
        ledger.keys().await,
        [format!("{place}/withdraw"), format!("{place}/deposit")]
    );
    let (content, is_error) = result(&task).await;
    assert_eq!((content["completed"].clone(), is_error), (json!(true), false));
    assert_eq!(content["steps"]["deposit"]["amount"], 40);
}

#[tokio::test]
async fn a_worker_killed_between_two_steps_repeats_neither() {
    let ledger = Ledger::held().await;
    let agent = bank("steps-kill", move_money(&ledger, &ledger), "b").await;
    let task = agent.task().await.unwrap();
    task.send("Move it.").await.unwrap();
    // The withdrawal is recorded; its response is held until the worker is dead.
    ledger.until_recorded(1).await;
    agent.worker().kill().await.unwrap();
    ledger.release().await;
    agent.worker().launch().await.unwrap();
    task.turn_completed(1).await.unwrap();
    assert_eq!(ledger.effects().await, ["withdraw 40", "deposit 40"]);
}

#[tokio::test]
async fn a_failed_step_compensates_the_earlier_steps_once() {
    let ledger = Ledger::start().await;
    let agent = bank("steps-undo", move_money(&ledger, &ledger), "closed").await;
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "Move it.").await.unwrap();
    assert_eq!(ledger.effects().await, ["withdraw 40", "give back 40"]);
    let (content, is_error) = result(&task).await;
    assert!(is_error);
    assert_eq!(content["failed_step"], "deposit");
    assert_eq!(
        (&content["undone"], &content["not_undone"]),
        (&json!(["withdraw"]), &json!([]))
    );
    assert!(
        content["error"].as_str().unwrap().contains("the account is closed"),
        "{content}"
    );
    assert_eq!(agent.model().violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_step_that_times_out_has_an_unknown_outcome_and_earlier_steps_are_undone() {
    let withdrawals = Ledger::start().await;
    // Records the deposit, and never answers.
    let deposits = Ledger::held().await;
    let mut tool = move_money(&withdrawals, &deposits);
    tool["steps"][1]["timeout"] = json!("1s");
    tool["steps"][1]["retry"] = json!({"maximumAttempts": 1});
    let agent = bank("steps-unknown", tool, "b").await;
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "Move it.").await.unwrap();
    assert_eq!(withdrawals.effects().await, ["withdraw 40", "give back 40"]);
    assert_eq!(deposits.effects().await, ["deposit 40"]);

    let (content, is_error) = result(&task).await;
    assert!(is_error);
    assert_eq!(content["failed_step"], "deposit");
    assert_eq!(
        (&content["undone"], &content["not_undone"], &content["unknown_outcome"]),
        (&json!(["withdraw"]), &json!([]), &json!(["deposit"]))
    );
    // The model gets the same result.
    let output = agent.model().journal()[1].request.last_tool_output().unwrap();
    assert_eq!(serde_json::from_str::<Value>(&output).unwrap(), content);
    deposits.release().await;
    assert_eq!(agent.model().violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_step_of_unknown_outcome_is_undone_where_its_tool_says_that_this_is_safe() {
    let withdrawals = Ledger::start().await;
    // Records the deposit, and never answers.
    let deposits = Ledger::held().await;
    let mut tool = move_money(&withdrawals, &deposits);
    tool["steps"][1]["timeout"] = json!("1s");
    tool["steps"][1]["retry"] = json!({"maximumAttempts": 1});
    tool["steps"][1]["compensate"] = tool["steps"][0]["compensate"].clone();
    tool["steps"][1]["compensate"]["arguments"]["what"] = json!("take back");
    tool["steps"][1]["compensate"]["onUnknownOutcome"] = json!("Compensate");
    let agent = bank("steps-unknown-undone", tool, "b").await;
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "Move it.").await.unwrap();
    assert_eq!(
        withdrawals.effects().await,
        ["withdraw 40", "take back 40", "give back 40"]
    );
    let (content, is_error) = result(&task).await;
    assert!(is_error);
    assert_eq!(
        (&content["undone"], &content["not_undone"], &content["unknown_outcome"]),
        (&json!(["deposit", "withdraw"]), &json!([]), &json!([]))
    );
    deposits.release().await;
}

/// Withdraws, and then deposits with two attempts of one second, undone where the outcome is unknown.
fn two_attempts(withdrawals: &Ledger, deposits: &Ledger) -> Value {
    let mut tool = move_money(withdrawals, deposits);
    tool["steps"][1]["timeout"] = json!("1s");
    tool["steps"][1]["retry"] = json!({"initialInterval": "200ms", "maximumAttempts": 2});
    tool["steps"][1]["compensate"] = tool["steps"][0]["compensate"].clone();
    tool["steps"][1]["compensate"]["arguments"]["what"] = json!("take back");
    tool["steps"][1]["compensate"]["onUnknownOutcome"] = json!("Compensate");
    tool
}

#[tokio::test]
async fn an_activity_that_fails_after_an_attempt_that_timed_out_may_have_acted() {
    let withdrawals = Ledger::start().await;
    // Records the deposit of the first attempt, and never answers.
    let deposits = Ledger::held().await;
    let tool = two_attempts(&withdrawals, &deposits);
    let agent = bank("steps-second-attempt", tool, "closing").await;
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "Move it.").await.unwrap();
    assert_eq!(deposits.effects().await, ["deposit 40"]);
    let (content, is_error) = result(&task).await;
    assert!(is_error);
    assert!(
        content["error"].as_str().unwrap().contains("the account is closed"),
        "{content}"
    );
    assert_eq!(
        (&content["undone"], &content["unknown_outcome"]),
        (&json!(["deposit", "withdraw"]), &json!([]))
    );
    assert_eq!(
        withdrawals.effects().await,
        ["withdraw 40", "take back 40", "give back 40"]
    );
    deposits.release().await;
}

#[tokio::test]
async fn a_request_that_is_refused_after_an_attempt_without_an_answer_may_have_acted() {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = requests.clone();
    let answer = async move |uri: Uri| {
        let count = {
            let mut seen = seen.lock().unwrap();
            seen.push(uri.path().to_owned());
            seen.len()
        };
        match count {
            1 => std::future::pending().await,
            2 => StatusCode::CONFLICT,
            _ => StatusCode::OK,
        }
    };
    let url = serve(Router::new().fallback(answer)).await;
    let http = |path: &str| json!({"method": "POST", "url": format!("{url}{path}")});
    let tool = json!({
        "description": "Deposits money.",
        "parameters": {"type": "object"},
        "steps": [{
            "name": "deposit",
            "http": http("/deposit"),
            "timeout": "1s",
            "retry": {"initialInterval": "200ms", "maximumAttempts": 2},
            "compensate": {"http": http("/undo"), "onUnknownOutcome": "Compensate"},
        }],
    });
    let setup = AgentSetup::new("steps-refused-later", call_then_repeat("deposit", json!({}))).tool("deposit", tool);
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "Deposit it.").await.unwrap();
    assert_eq!(*requests.lock().unwrap(), ["/deposit", "/deposit", "/undo"]);
    let (content, is_error) = result(&task).await;
    assert!(is_error);
    assert_eq!(
        (&content["undone"], &content["unknown_outcome"]),
        (&json!(["deposit"]), &json!([]))
    );
    assert!(content["error"].as_str().unwrap().contains("409"), "{content}");
}
