//! Which task queues, activities and workflows a task may use, and which tasks a worker accepts.

use serde_json::json;
use steadfast_contract::{
    start::{StartTask, WORKFLOW_TYPE},
    state::DurableState,
};
use steadfast_crds::names::agent_task_queue;
use steadfast_e2e::backend::stack::shared_stack;
use steadfast_testkit::{
    scripted_model::Reply,
    stack::{AgentSetup, INSTALL, NAMESPACE, Stack},
};

/// A revision that the operator has not made: a worker does not rely on the operator alone.
#[tokio::test]
async fn a_tool_that_names_another_namespace_or_steadfast_itself_is_refused_when_it_is_called() {
    let tool = |kind: serde_json::Value| {
        let mut spec = json!({"description": "d", "parameters": {"type": "object", "properties": {}}});
        spec.as_object_mut().unwrap().extend(kind.as_object().unwrap().clone());
        spec
    };
    let foreign = format!("{INSTALL}/payments/agent/desk");
    let setup = AgentSetup::new("forbidden-targets", |request| match request.number {
        1 => Reply::stream()
            .and_call("foreign", &json!({}))
            .and_call("own_workflow", &json!({}))
            .and_call("own_activity", &json!({})),
        _ => Reply::text("I see."),
    })
    .tool(
        "foreign",
        tool(json!({"activity": {"name": "pay", "taskQueue": foreign}})),
    )
    .tool(
        "own_workflow",
        tool(json!({"workflow": {"type": "AgentTask", "taskQueue": "elsewhere"}})),
    )
    .tool("own_activity", tool(json!({"activity": {"name": "load_revision"}})));
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "Try.").await.unwrap();
    let calls = agent.model().journal();
    let outputs = calls[1].request.tool_outputs();
    for (output, reason) in outputs
        .iter()
        .zip(["belongs to this installation", "AgentTask", "load_revision"])
    {
        assert!(output.contains(reason), "{output:?} does not say {reason:?}");
    }
    assert_eq!(outputs.len(), 3);
}

/// Whoever reaches the task queue can start a workflow on it; the worker refuses what is not its own.
#[tokio::test]
async fn a_worker_refuses_tasks_of_other_agents_and_state_that_no_run_has_left() {
    let stack = shared_stack().await;
    let setup = AgentSetup::new("starts", |_| Reply::text("Yes."));
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "hello").await.unwrap();

    let mut with_state = StartTask::new("forged-state", NAMESPACE, "starts");
    with_state.state = Some(Box::new(DurableState::default()));
    for (start, reason) in [
        (
            StartTask::new("foreign-namespace", "payments", "starts"),
            "does not serve",
        ),
        (StartTask::new("foreign-agent", NAMESPACE, "desk"), "does not serve"),
        (with_state, "continues none"),
    ] {
        let id = &start.task_id;
        let failure = refused_start(stack, &agent_task_queue(INSTALL, NAMESPACE, "starts"), &start).await;
        assert!(
            failure.contains("StartRefused") && failure.contains(reason),
            "{id}: {failure}"
        );
    }
    task.complete_turn(2, "again").await.unwrap();
}

/// Starts a task on a queue and returns the last event of its history.
pub(crate) async fn refused_start(stack: &Stack, queue: &str, start: &StartTask) -> String {
    let (id, input) = (&start.task_id, json!(start).to_string());
    let arguments = [
        "workflow",
        "execute",
        "--type",
        WORKFLOW_TYPE,
        "--task-queue",
        queue,
        "--workflow-id",
        id,
        "--input",
        &input,
    ];
    // The command fails, because the workflow does.
    drop(stack.temporal().cli(&arguments).await);
    let history = stack.temporal().history(id, None).await.unwrap();
    history.last().unwrap().to_string()
}
