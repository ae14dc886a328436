//! A turn that has gone to another agent while the workers of the first are away.

use anyhow::ensure;
use serde_json::json;
use steadfast_events::TurnStatus;
use steadfast_testkit::install;
use steadfast_testkit::scripted_model::{Gate, Reply, Text};
use steadfast_testkit::stack::{Line, PATIENCE};
use steadfast_testkit::wait;

use crate::namespace::{AGENT, Namespace, PODS_PATIENCE};
use crate::pods;

const SPECIALIST: &str = "specialist";
const ANSWER: &str = "The specialist answers.";

pub async fn the_first_agents_workers_may_all_be_away_in_the_turn_of_the_second(namespace: Namespace) {
    let gate = Gate::closed();
    let held = gate.clone();
    let specialists_model = namespace
        .model(move |_| Reply::text(Text::words(ANSWER).hold_after(1, &held)))
        .unwrap();
    let model = namespace
        .model(|_| Reply::call("transfer_to_specialist", &json!({})))
        .unwrap();
    namespace
        .apply_agent_named(SPECIALIST, &specialists_model, json!({}))
        .await
        .unwrap();
    let handoffs = json!({"handoffs": [{"agent": SPECIALIST}]});
    namespace.start_agent(&model, handoffs).await.unwrap();
    install::wait_for_agent(namespace.platform(), namespace.name(), SPECIALIST, PODS_PATIENCE)
        .await
        .unwrap();
    let client = namespace.talk().await.unwrap();
    let task = client.task(&namespace.public_name(AGENT)).await.unwrap();
    let viewer = task.watch().await.unwrap();
    task.send("Help.").await.unwrap();
    gate.reached(PATIENCE).await.unwrap();

    let replicas = |count: u32| json!({"worker": {"replicas": count}});
    namespace.patch_agent(AGENT, &replicas(0)).await.unwrap();
    wait::until("the first agent to have no pods", PODS_PATIENCE, async || {
        let pods = pods::of(&namespace).await?;
        ensure!(pods.is_empty(), "there are {pods:?}");
        Ok(())
    })
    .await
    .unwrap();
    // The second agent speaks to whoever listens; only the end of the turn waits.
    gate.open();
    viewer
        .until("the answer", |seen| seen.last_text() == ANSWER)
        .await
        .unwrap();

    namespace.patch_agent(AGENT, &replicas(1)).await.unwrap();
    assert_eq!(task.turn_ended(1).await.unwrap().status, TurnStatus::Completed);
    let expected = [
        Line::user("Help."),
        Line::agent(format!("Handoff from {AGENT} to {SPECIALIST}")),
        Line::agent(ANSWER),
    ];
    assert_eq!(task.lines().await.unwrap(), expected);
    // Nothing was paid for twice.
    assert_eq!((model.journal().len(), specialists_model.journal().len()), (1, 1));
}
