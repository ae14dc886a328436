//! What a worker says that it has to do: the operator scales to zero by it.

use anyhow::ensure;
use serde_json::{Value, json};
use steadfast_e2e::backend::stack::{guarded_nonce_tool, shared_stack};
use steadfast_testkit::{
    scripted_model::Reply,
    stack::{Agent, AgentSetup, TIMEOUT, activity_tool},
    wait,
};

/// Waits until the worker says that so many activities run and so many turns are under way.
async fn until_work(agent: &Agent, activities: u32, turns: u32) {
    wait::until(
        format!("{activities} activities and {turns} turns"),
        TIMEOUT,
        async || {
            let work: Value = serde_json::from_str(&agent.worker().admin("work").await?)?;
            ensure!(
                work["activities"] == activities && work["turns"] == turns,
                "it says {work}"
            );
            Ok(())
        },
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn a_turn_that_waits_for_another_worker_counts_and_one_that_waits_for_a_person_does_not() {
    // Nobody polls this queue.
    let elsewhere = activity_tool("elsewhere", "nobody", &json!({}));
    let setup = AgentSetup::new("work", |request| {
        match request.user_texts().last().map(String::as_str) {
            Some("ask") if request.tool_outputs().is_empty() => Reply::call("nonce", &json!({"of": "x"})),
            Some("wait") => Reply::call("elsewhere", &json!({})),
            _ => Reply::text("Done."),
        }
    })
    .tool("nonce", guarded_nonce_tool())
    .tool("elsewhere", elsewhere);
    let agent = shared_stack().await.agent(setup).await.unwrap();
    until_work(&agent, 0, 0).await;

    let asks = agent.task().await.unwrap();
    asks.send("ask").await.unwrap();
    let approval = asks.until_approval_pending().await.unwrap();
    until_work(&agent, 0, 0).await;
    approval.approve("").await.unwrap();
    asks.turn_completed(1).await.unwrap();
    until_work(&agent, 0, 0).await;

    let waits = agent.task().await.unwrap();
    waits.send("wait").await.unwrap();
    until_work(&agent, 0, 1).await;
    waits.interrupt().await.unwrap();
    waits.turn_ended(1).await.unwrap();
    until_work(&agent, 0, 0).await;
}
