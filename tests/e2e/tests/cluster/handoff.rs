//! A handoff during which the first agent has no workers.

use anyhow::ensure;
use serde_json::json;
use steadfast_e2e::backend::cluster::{
    namespace::{AGENT, Namespace, PODS_TIMEOUT},
    pods,
};
use steadfast_testkit::{
    install,
    scripted_model::{Gate, Reply, Text},
    stack::{Line, TIMEOUT},
    wait,
};

const SPECIALIST: &str = "specialist";
const ANSWER: &str = "The specialist answers.";

pub(crate) async fn a_handed_off_turn_continues_without_workers_of_the_first_agent(namespace: Namespace) {
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
    namespace.start_ready_agent(&model, handoffs).await.unwrap();
    install::wait_for_agent(namespace.platform(), namespace.name(), SPECIALIST, PODS_TIMEOUT)
        .await
        .unwrap();
    let client = namespace.user_client().await.unwrap();
    let task = client.task(&namespace.public_name(AGENT)).await.unwrap();
    let viewer = task.watch().await.unwrap();
    task.send("Help.").await.unwrap();
    gate.reached(TIMEOUT).await.unwrap();

    let replicas = |count: u32| json!({"worker": {"replicas": count}});
    namespace.patch_agent(AGENT, &replicas(0)).await.unwrap();
    wait::until("the first agent to have no pods", PODS_TIMEOUT, async || {
        let pods = pods::of(&namespace).await?;
        ensure!(pods.is_empty(), "there are {pods:?}");
        Ok(())
    })
    .await
    .unwrap();
    // The second agent's answer reaches viewers. Only the end of the turn needs the first agent.
    gate.open();
    viewer.until_text(ANSWER).await.unwrap();

    namespace.patch_agent(AGENT, &replicas(1)).await.unwrap();
    task.turn_completed(1).await.unwrap();
    let expected = [
        Line::user("Help."),
        Line::agent(format!("Handoff from {AGENT} to {SPECIALIST}")),
        Line::agent(ANSWER),
    ];
    assert_eq!(task.lines().await.unwrap(), expected);
    // No model call was repeated.
    assert_eq!((model.journal().len(), specialists_model.journal().len()), (1, 1));
}
