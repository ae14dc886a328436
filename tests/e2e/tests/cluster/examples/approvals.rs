//! The example with approvals.

use serde_json::json;
use steadfast_e2e::backend::cluster::namespace::Namespace;
use steadfast_testkit::stack::Line;

use super::{RunningExample, tool_response};

pub(crate) async fn calls_that_need_approval_wait_for_a_decision(namespace: Namespace) {
    const ORDER: &str = "Order two kettles.";
    const CLOSE: &str = "Close the account at the stationery supplier.";
    let example = RunningExample::start(namespace, "human-in-the-loop").await.unwrap();
    let arguments = json!({"item": "kettle", "quantity": 2});

    // Both approvals are pending at the same time.
    let approved = example.task("purchasing").await.unwrap();
    let rejected = example.task("purchasing").await.unwrap();
    approved.send(ORDER).await.unwrap();
    rejected.send(ORDER).await.unwrap();
    let approval = approved.until_approval_pending().await.unwrap();
    assert_eq!(
        (&approval["tool"], &approval["arguments"]),
        (&json!("place_order"), &arguments)
    );
    approval.approve("").await.unwrap();
    let approval = rejected.until_approval_pending().await.unwrap();
    approval.reject("we have enough").await.unwrap();

    approved.turn_completed(1).await.unwrap();
    let lines = approved.lines().await.unwrap();
    let (order, _) = tool_response("place_order", &lines);
    assert!(
        order["order_id"].as_str().is_some_and(|id| id.starts_with("O-")),
        "{order}"
    );
    assert_eq!(
        lines,
        [
            Line::user(ORDER),
            Line::request("place_order", arguments.clone()),
            Line::response("place_order", order.clone()),
            Line::agent("Two kettles are ordered."),
        ]
    );

    rejected.turn_completed(1).await.unwrap();
    let lines = rejected.lines().await.unwrap();
    let (refusal, is_error) = tool_response("place_order", &lines);
    assert!(is_error && refusal.to_string().contains("we have enough"), "{refusal}");
    assert_eq!(
        lines.last(),
        Some(&Line::agent("I did not order them: it was refused."))
    );

    let task = example.task("purchasing").await.unwrap();
    task.send(CLOSE).await.unwrap();
    let approval = task.until_approval_pending().await.unwrap();
    assert_eq!(approval["prompt"], "The purchasing desk asks whether to go ahead.");
    approval.reject("not now").await.unwrap();
    task.turn_completed(1).await.unwrap();
    let lines = task.lines().await.unwrap();
    let (response, _) = tool_response("wait_for_confirmation", &lines);
    assert_eq!(
        (&response["decision"], &response["reason"]),
        (&json!("rejected"), &json!("not now"))
    );
    assert_eq!(lines.last(), Some(&Line::agent("Then the account stays open.")));
    // Only one of the three calls has run.
    let log = example.log("purchasing-tools").await;
    assert_eq!(log.matches("ordered").count(), 1, "{log}");
}
