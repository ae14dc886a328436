//! One tool, several steps: in order, once each, undone when it must be.

use serde_json::{Value, json};
use steadfast_events::TurnStatus;
use steadfast_testkit::scripted_model::Reply;
use steadfast_testkit::stack::{Agent, AgentSetup, Line};

use crate::{
    ledger::Ledger,
    shared::{TOOLS, stack},
};

fn move_money(ledger: &str) -> Value {
    let effect = |what: &str, account: &str| {
        json!({
            "activity": {"name": "effect", "taskQueue": TOOLS},
            "arguments": {
                "ledger": ledger, "what": what, "account": format!("{{{{ {account} }}}}"), "amount": "{{ amount }}",
            },
        })
    };
    let mut withdraw = effect("withdraw", "from");
    withdraw["name"] = json!("withdraw");
    withdraw["compensate"] = effect("give back", "from");
    let mut deposit = effect("deposit", "to");
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

async fn bank(name: &str, ledger: &Ledger, to: &'static str) -> Agent {
    let setup = AgentSetup::new(name, move |request| match request.last_tool_output() {
        None => Reply::call("move_money", &json!({"from": "a", "to": to, "amount": 40})),
        Some(output) => Reply::text(output),
    })
    .tool("move_money", move_money(&ledger.url()));
    stack().await.agent(setup).await.unwrap()
}

async fn result(task: &steadfast_testkit::stack::Task) -> (Value, bool) {
    let lines = task.lines().await.unwrap();
    let found = lines.iter().find_map(|line| match line {
        Line::ToolResponse { content, is_error, .. } => Some((content.clone(), *is_error)),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no result: {lines:#?}"))
}

#[tokio::test]
async fn steps_run_in_order_each_with_a_key_of_its_own() {
    let ledger = Ledger::start().await;
    let agent = bank("steps-order", &ledger, "b").await;
    let task = agent.task().await.unwrap();
    assert_eq!(task.turn(1, "Move it.").await.unwrap().status, TurnStatus::Completed);
    assert_eq!(ledger.effects().await, ["withdraw 40", "deposit 40"]);
    let place = format!("{}/t1.0.0", task.id());
    assert_eq!(
        ledger.keys().await,
        [format!("{place}/withdraw"), format!("{place}/deposit")]
    );
    let (content, is_error) = result(&task).await;
    assert_eq!((content["completed"].clone(), is_error), (json!(true), false));
    assert_eq!(content["steps"]["deposit"]["amount"], 40);
}

#[tokio::test]
async fn a_worker_killed_between_two_steps_doubles_neither() {
    let ledger = Ledger::held().await;
    let agent = bank("steps-kill", &ledger, "b").await;
    let task = agent.task().await.unwrap();
    task.send("Move it.").await.unwrap();
    // The withdrawal has its effect, and its answer is held until the worker is gone.
    ledger.until_recorded(1).await;
    agent.worker().kill().await.unwrap();
    ledger.release().await;
    agent.worker().launch().await.unwrap();
    assert_eq!(task.turn_ended(1).await.unwrap().status, TurnStatus::Completed);
    assert_eq!(ledger.effects().await, ["withdraw 40", "deposit 40"]);
}

#[tokio::test]
async fn a_step_that_fails_for_good_undoes_what_was_done_once_and_says_so() {
    let ledger = Ledger::start().await;
    let agent = bank("steps-undo", &ledger, "closed").await;
    let task = agent.task().await.unwrap();
    assert_eq!(task.turn(1, "Move it.").await.unwrap().status, TurnStatus::Completed);
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
