//! The search attributes of tasks in Temporal.

use anyhow::ensure;
use serde_json::{Value, json};
use steadfast_e2e::backend::stack::{continue_as_new, shared_stack};
use steadfast_testkit::{
    scripted_model::{Gate, Reply},
    stack::{AgentSetup, INSTALL, NAMESPACE, TIMEOUT, Task},
    wait,
};

async fn until_phase(task: &Task, agent: &str, phase: &str) {
    let query = format!(
        "SteadfastAgent = '{INSTALL}/{NAMESPACE}/agent/{agent}' AND SteadfastPhase = '{phase}' AND \
         ExecutionStatus = 'Running'"
    );
    let arguments = ["workflow", "list", "--output", "json", "--query", &query];
    wait::until(format!("the task to be found as {phase}"), TIMEOUT, async || {
        let listed: Vec<Value> = serde_json::from_str(&shared_stack().await.temporal().cli(&arguments).await?)?;
        let ids: Vec<&str> = listed
            .iter()
            .filter_map(|workflow| workflow["execution"]["workflowId"].as_str())
            .collect();
        ensure!(ids == [task.id()], "found are {ids:?}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn tasks_are_found_by_agent_and_phase_also_after_continue_as_new() {
    let gate = Gate::closed();
    let held = gate.clone();
    let tool = json!({
        "description": "Asks.", "parameters": {"type": "object", "properties": {}},
        "human": {"prompt": "Go on?", "timeout": "1h"},
    });
    let setup = AgentSetup::new("visible", move |request| match request.last_tool_output() {
        None => Reply::stream().and_hold(&held).and_call("confirm", &json!({})),
        Some(_) => Reply::text("Done."),
    })
    .tool("confirm", tool);
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    until_phase(&task, "visible", "Idle").await;
    task.send("Go.").await.unwrap();
    gate.reached(TIMEOUT).await.unwrap();
    // Running is shown of turns that last for a minute.
    until_phase(&task, "visible", "Idle").await;
    gate.open();
    let approval = task.until_approval_pending().await.unwrap();
    until_phase(&task, "visible", "WaitingForPeople").await;
    continue_as_new(shared_stack().await, &task, 2).await;
    until_phase(&task, "visible", "WaitingForPeople").await;
    approval.approve("").await.unwrap();
    task.turn_completed(1).await.unwrap();
    until_phase(&task, "visible", "Idle").await;
}
