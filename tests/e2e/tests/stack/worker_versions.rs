//! Workers of two versions of a Temporal Worker Deployment: which tasks run where, and how tasks move.

use anyhow::{Context as _, ensure};
use serde_json::Value;
use steadfast_e2e::{
    backend::stack::{continue_as_new, guarded_nonce_tool, shared_stack},
    scripts::call_nonce_then_repeat,
};
use steadfast_testkit::{
    stack::{AgentSetup, Line, Stack, TIMEOUT, Task},
    wait,
};

const DEPLOYMENT: &str = "e2e/default/agent/versioned";
const NAME: &str = "TEMPORAL_DEPLOYMENT_NAME";
const BUILD_ID: &str = "TEMPORAL_WORKER_BUILD_ID";

/// Makes a version the current one, as soon as Temporal knows it.
async fn set_current(stack: &Stack, build_id: &str) {
    wait::until(format!("version {build_id} to be current"), TIMEOUT, async || {
        let set = ["worker", "deployment", "set-current-version", "--yes"];
        let version = ["--deployment-name", DEPLOYMENT, "--build-id", build_id];
        stack.temporal().cli(&[&set[..], &version].concat()).await.map(drop)
    })
    .await
    .unwrap();
}

/// Waits until the newest run of a task is pinned to a version.
async fn on_version(stack: &Stack, task: &Task, build_id: &str) {
    wait::until(format!("{} on version {build_id}", task.id()), TIMEOUT, async || {
        let describe = ["workflow", "describe", "--workflow-id", task.id(), "--output", "json"];
        let described: Value = serde_json::from_str(&stack.temporal().cli(&describe).await?)?;
        let versioning = &described["workflowExecutionInfo"]["versioningInfo"];
        let version = versioning["deploymentVersion"]["buildId"]
            .as_str()
            .with_context(|| described.to_string())?;
        ensure!(version == build_id, "{versioning}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_task_stays_on_its_version_until_it_continues_as_new_and_a_waiting_approval_goes_along() {
    let stack = shared_stack().await;
    let setup = AgentSetup::new("versioned", call_nonce_then_repeat)
        .tool("nonce", guarded_nonce_tool())
        .variable(NAME, DEPLOYMENT)
        .variable(BUILD_ID, "one");
    let agent = stack.agent(setup).await.unwrap();
    set_current(stack, "one").await;
    let [idle, waiting] = [agent.task().await.unwrap(), agent.task().await.unwrap()];
    let approved = async |task: &Task, turn: u32, text: &str| {
        task.send(text).await.unwrap();
        task.until_approval_pending()
            .await
            .unwrap()
            .approve("fine")
            .await
            .unwrap();
        task.turn_completed(turn).await.unwrap();
    };
    approved(&idle, 1, "tea").await;
    waiting.send("milk").await.unwrap();
    let approval = waiting.until_approval_pending().await.unwrap();

    let newer = agent
        .worker_with(stack, &[(NAME, DEPLOYMENT), (BUILD_ID, "two")])
        .unwrap();
    newer.launch().await.unwrap();
    // A version that polls and is not current takes no task.
    let before = agent.task().await.unwrap();
    approved(&before, 1, "salt").await;
    on_version(stack, &before, "one").await;

    set_current(stack, "two").await;
    let after = agent.task().await.unwrap();
    approved(&after, 1, "rice").await;
    on_version(stack, &after, "two").await;
    // What has begun goes on where it began.
    approved(&idle, 2, "cake").await;
    for task in [&idle, &waiting, &before] {
        on_version(stack, task, "one").await;
    }

    for task in [&idle, &waiting, &before] {
        continue_as_new(stack, task, 2).await;
        on_version(stack, task, "two").await;
    }
    agent.worker().stop().await.unwrap();
    approval.approve("fine").await.unwrap();
    waiting.turn_completed(1).await.unwrap();
    approved(&idle, 3, "plum").await;
    approved(&before, 2, "lime").await;
    let lines = waiting.lines().await.unwrap();
    assert!(matches!(lines.last(), Some(Line::Agent(_))), "{lines:#?}");
    assert_eq!(agent.model().violations(), Vec::<String>::new());
}
