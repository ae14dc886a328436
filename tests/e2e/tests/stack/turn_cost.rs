//! What a turn costs in Temporal: its events, its activities and its workflow tasks.

use serde_json::{Value, json};
use steadfast_contract::{
    activity_kind::ActivityKind,
    signals::{ReceiveEvent, SIGNAL_RECEIVE_EVENT},
    start::{StartTask, WORKFLOW_TYPE},
};
use steadfast_crds::names::agent_task_queue;
use steadfast_e2e::{
    backend::stack::{nonce_tool, shared_stack},
    history::first_run_id,
};
use steadfast_events::{Content, TextFormat};
use steadfast_testkit::{
    scripted_model::Reply,
    stack::{AgentSetup, INSTALL, NAMESPACE, Stack, TIMEOUT},
    temporal::count_events,
    wait,
};

/// A message, as a signal.
fn message(id: &str) -> String {
    let message = ReceiveEvent {
        message_id: id.to_owned(),
        idempotency_key: None,
        content: Content::text("Go.", TextFormat::Plain),
        sender: String::new(),
    };
    serde_json::to_string(&message).unwrap()
}

/// Starts a task and sends its first message in one call.
async fn signal_with_start(stack: &Stack, agent: &str, task_id: &str) {
    let start = serde_json::to_string(&StartTask::new(task_id, NAMESPACE, agent)).unwrap();
    let queue = agent_task_queue(INSTALL, NAMESPACE, agent);
    let arguments = [
        "workflow",
        "signal-with-start",
        "--workflow-id",
        task_id,
        "--type",
        WORKFLOW_TYPE,
        "--task-queue",
        &queue,
        "--input",
        &start,
        "--signal-name",
        SIGNAL_RECEIVE_EVENT,
        "--signal-input",
        &message("first"),
    ];
    stack.temporal().cli(&arguments).await.unwrap();
}

/// The history of a task whose log tells the end of a turn and which has nothing under way any more.
async fn history_after(stack: &Stack, task_id: &str, turn: usize) -> Vec<Value> {
    wait::until(format!("turn {turn} to be over"), TIMEOUT, async || {
        let events = stack.temporal().history(task_id, None).await?;
        let run_id = first_run_id(&events).unwrap_or_default();
        let key = format!("{INSTALL}:stream:{{{task_id}}}:{run_id}");
        let log = stack.redis().command(&format!("XRANGE {key} - +")).await?;
        let ended = log.matches(r#""type":"turn_ended""#).count();
        anyhow::ensure!(ended == turn, "{ended} turns have ended in the log");
        let open = count_events(&events, "ACTIVITY_TASK_SCHEDULED") - count_events(&events, "ACTIVITY_TASK_COMPLETED");
        let last = events.last().map(|event| event["eventType"].clone());
        anyhow::ensure!(
            open == 0 && last == Some(json!("EVENT_TYPE_WORKFLOW_TASK_COMPLETED")),
            "{open} activities are open, the last event is {last:?}"
        );
        Ok(events)
    })
    .await
    .unwrap()
}

/// What a turn of two model calls with one tool call between them may add to the history.
fn check_turn(events: &[Value], most_events: usize) {
    let kinds: Vec<&str> = events.iter().filter_map(|event| event["eventType"].as_str()).collect();
    let activities: Vec<&str> = events
        .iter()
        .filter_map(|event| event["activityTaskScheduledEventAttributes"]["activityType"]["name"].as_str())
        .collect();
    let model = ActivityKind::InvokeModel.type_name();
    assert_eq!(activities, [model, "nonce", model], "{kinds:#?}");
    assert_eq!(count_events(events, "WORKFLOW_TASK_SCHEDULED"), 4, "{kinds:#?}");
    assert_eq!(count_events(events, "TIMER_STARTED"), 0, "{kinds:#?}");
    assert!(events.len() <= most_events, "{} events: {kinds:#?}", events.len());
}

#[tokio::test]
async fn a_turn_of_two_model_calls_and_a_tool_is_three_activities_and_four_workflow_tasks() {
    let stack = shared_stack().await;
    let setup = AgentSetup::new("cheap", |request| match request.tool_outputs_of_turn().len() {
        0 => Reply::call("nonce", &json!({"of": "cost"})),
        _ => Reply::text("Done."),
    })
    .tool("nonce", nonce_tool());
    let agent = stack.agent(setup).await.unwrap();
    let task_id = "cheap-task";
    signal_with_start(stack, "cheap", task_id).await;
    let first = history_after(stack, task_id, 1).await;
    check_turn(&first, 25);

    // The revision has not changed.
    let again = message("second");
    let signaled = stack.temporal().signal(task_id, SIGNAL_RECEIVE_EVENT, Some(&again));
    signaled.await.unwrap();
    let second = history_after(stack, task_id, 2).await;
    check_turn(&second[first.len()..], 23);
    assert_eq!(agent.model().journal().len(), 4);
}
