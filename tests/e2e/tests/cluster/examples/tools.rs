//! Examples with tools: HTTP, steps, a tool in Rust.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use steadfast_e2e::backend::cluster::namespace::Namespace;
use steadfast_testkit::stack::Line;

use super::{RunningExample, tool_response};

pub(crate) async fn http_tool_refunds_once(namespace: Namespace) {
    const REFUND: &str = "Two cups arrived broken, please refund order 1003.";
    let example = RunningExample::start(namespace, "http-tool").await.unwrap();
    let order = json!({"order_id": "1002", "item": "kettle", "price_eur": 55, "status": "in transit"});
    assert_eq!(
        example.ask("order-desk", "Where is my order 1002?").await,
        [
            Line::user("Where is my order 1002?"),
            Line::request("find_order", json!({"order_id": "1002"})),
            Line::response("find_order", order),
            Line::agent("Order 1002 is a kettle for 55 €, and it is in transit."),
        ]
    );
    // The service's first answer is lost; the second attempt carries the same key.
    let lines = example.ask("order-desk", REFUND).await;
    let (refund, is_error) = tool_response("refund_order", &lines);
    assert_eq!((&refund["refund_id"], is_error), (&json!("R-1"), false));
    let log = example.log("orders").await;
    let refunds: Vec<&str> = log.lines().filter(|line| line.starts_with("refund R-1 ")).collect();
    assert!(refunds.len() == 2 && refunds[1].ends_with(" repeated"), "{log}");
}

pub(crate) async fn money_is_moved_or_the_withdrawal_is_undone_and_the_ledger_has_each_effect_once(
    namespace: Namespace,
) {
    const MOVE: &str = "Move 50 from checking to savings.";
    const MOVE_TO_CLOSED: &str = "Move 20 from checking to the account closed.";
    let example = RunningExample::start(namespace, "move-money").await.unwrap();

    let lines = example.ask("bank", MOVE).await;
    let (content, is_error) = tool_response("move_money", &lines);
    assert!(!is_error && content["completed"] == true, "{content}");
    assert_eq!(content["steps"]["deposit"]["account"], "savings");
    let asked = |to: &str, amount: u32| json!({"from_account": "checking", "to_account": to, "amount": amount});
    assert_eq!(
        lines,
        [
            Line::user(MOVE),
            Line::request("move_money", asked("savings", 50)),
            Line::response("move_money", content.clone()),
            Line::agent("Done: 50 € went from checking to savings."),
        ]
    );

    let lines = example.ask("bank", MOVE_TO_CLOSED).await;
    let (content, _) = tool_response("move_money", &lines);
    assert_eq!(
        (
            &content["completed"],
            &content["failed_step"],
            &content["undone"],
            &content["not_undone"]
        ),
        (&json!(false), &json!("deposit"), &json!(["withdraw"]), &json!([]))
    );
    assert_eq!(
        lines,
        [
            Line::user(MOVE_TO_CLOSED),
            Line::request("move_money", asked("closed", 20)),
            failed("move_money", content),
            Line::agent("That did not work: the account is closed. The 20 € are back in your checking account."),
        ]
    );

    // What happened is what the ledger says, not what anyone tells of it.
    let log = example.log("ledger").await;
    let effects: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let moved: Vec<Value> = effects
        .iter()
        .map(|effect| json!([effect["kind"], effect["account"], effect["amount"]]))
        .collect();
    assert_eq!(
        moved,
        [
            json!(["withdraw", "checking", 50]),
            json!(["deposit", "savings", 50]),
            json!(["withdraw", "checking", 20]),
            json!(["deposit", "checking", 20]),
        ]
    );
    let keys: BTreeSet<&str> = effects.iter().filter_map(|effect| effect["key"].as_str()).collect();
    assert!(keys.len() == 4 && !keys.contains(""), "{effects:?}");
}

pub(crate) async fn a_tool_in_rust_runs_in_the_agents_own_worker(namespace: Namespace) {
    let example = RunningExample::start(namespace, "rust-tool").await.unwrap();
    let lines = example.ask("dice", "Roll two dice.").await;
    let (roll, is_error) = tool_response("roll_dice", &lines);
    let shown: Vec<u64> = serde_json::from_value(roll["dice"].clone()).unwrap();
    assert!(!is_error && shown.len() == 2, "{roll}");
    assert_eq!(roll["sum"], shown.iter().sum::<u64>());
    assert_eq!(lines[1], Line::request("roll_dice", json!({"count": 2, "sides": 6})));
}

fn failed(name: &str, content: &Value) -> Line {
    Line::ToolResponse {
        name: name.to_owned(),
        content: content.clone(),
        is_error: true,
    }
}
