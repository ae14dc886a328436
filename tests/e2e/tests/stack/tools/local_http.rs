//! HTTP tools with the execution `Local`: they run without an activity of their own.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Router, routing::post};
use serde_json::{Value, json};
use steadfast_contract::activity_kind::ActivityKind;
use steadfast_crds::{agent::HandoffInput, names::agent_task_queue};
use steadfast_e2e::{
    backend::stack::shared_stack,
    history::{attributes, first_run_id, plain_json, scheduled_activities},
    scripts::call_then_repeat,
};
use steadfast_events::TurnStatus;
use steadfast_testkit::{
    RedisData,
    scripted_model::{Gate, Reply},
    stack::{API_KEY, AgentSetup, INSTALL, Line, NAMESPACE, Stack, TIMEOUT},
};

use super::http::{OrderRequest, flaky_server, order_tool};
use crate::{agents::handoff_to, http_server::serve};

/// `order_tool` with the execution `Local`.
fn local_order_tool(url: &str) -> Value {
    let mut tool = order_tool(url);
    tool["http"]["execution"] = json!("Local");
    tool["timeout"] = json!("2s");
    tool
}

/// The ids of the local attempts of HTTP tools in a history.
fn local_attempts(history: &[Value]) -> Vec<Value> {
    attributes(history, "markerRecordedEventAttributes")
        .into_iter()
        .filter_map(|marker| plain_json(&marker["details"]["data"]["payloads"][0]))
        .filter(|local| local["activity_type"] == ActivityKind::CallHttpTool.type_name())
        .map(|local| local["activity_id"].clone())
        .collect()
}

#[tokio::test]
async fn a_local_http_tool_runs_without_an_activity_and_retries_with_the_same_key() {
    let stack = shared_stack().await;
    let received = Arc::new(Mutex::new(Vec::new()));
    let setup = AgentSetup::new("local-tool", |request| match request.tool_outputs_of_turn().len() {
        0 => Reply::call("order", &json!({"item": "tea"})),
        1 => Reply::call("order", &json!({"item": "milk"})),
        _ => Reply::text(request.tool_outputs().join(" and ")),
    })
    .tool("order", local_order_tool(&flaky_server(received.clone()).await));
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "Tea with milk.").await.unwrap();

    let expected = [
        Line::user("Tea with milk."),
        Line::request("order", json!({"item": "tea"})),
        Line::response("order", json!({"order": 17})),
        Line::request("order", json!({"item": "milk"})),
        Line::response("order", json!({"order": 17})),
        Line::agent(r#"{"order":17} and {"order":17}"#),
    ];
    assert_eq!(task.lines().await.unwrap(), expected);
    let history = stack.temporal().history(task.id(), None).await.unwrap();
    let first_run = first_run_id(&history).unwrap();
    let request = |call: &str, item: &str| OrderRequest {
        authorization: format!("Bearer {API_KEY}"),
        idempotency_key: format!("{first_run}/{call}"),
        body: json!({"item": item}),
    };
    let (tea, milk) = (request("t1.0.0", "tea"), request("t1.1.0", "milk"));
    assert_eq!(*received.lock().unwrap(), [tea.clone(), tea, milk]);

    let activities = scheduled_activities(&history, ActivityKind::CallHttpTool);
    assert_eq!(activities, Vec::<&Value>::new());
    assert_eq!(local_attempts(&history), ["t1.0.0", "t1.0.0", "t1.1.0"]);
    assert_eq!(agent.model().violations(), Vec::<String>::new());
}

#[tokio::test]
async fn results_of_local_tools_reach_other_workers_and_survive_the_loss_of_redis() {
    let stack = Stack::start().await.unwrap();
    let url = flaky_server(Arc::default()).await;
    let answer = r#"{"order":17}"#;
    let second = AgentSetup::new("local-second", move |request| {
        let ordered = request.tool_outputs().iter().filter(|output| *output == answer).count();
        match ordered {
            // The ids of calls are unique in a conversation, also with several models.
            1 => Reply::stream().and_call_with_id("call_of_second", "order", &json!({"item": "milk"})),
            _ => Reply::text(format!("{ordered} orders.")),
        }
    })
    .tool("order", local_order_tool(&url));
    let second = stack.agent(second).await.unwrap();
    let first = AgentSetup::new("local-first", |request| match request.last_tool_output() {
        None => Reply::call("order", &json!({"item": "tea"})),
        Some(_) => Reply::call("transfer_to_local_second", &json!({})),
    })
    .tool("order", local_order_tool(&url))
    .configure(|spec| spec.handoffs = vec![handoff_to("local-second", HandoffInput::All)]);
    let first = stack.agent(first).await.unwrap();
    let task = first.task().await.unwrap();
    task.complete_turn(1, "Tea with milk.").await.unwrap();
    let request = &second.model().journal()[0].request;
    assert_eq!(request.tool_outputs()[0], answer);
    let lines = task.lines().await.unwrap();
    assert_eq!(lines.last(), Some(&Line::agent("2 orders.")), "{lines:#?}");

    // The workflow runs on the first agent's workers, which lack the second agent's credentials.
    let history = stack.temporal().history(task.id(), None).await.unwrap();
    let queues: Vec<&Value> = scheduled_activities(&history, ActivityKind::CallHttpTool)
        .into_iter()
        .map(|scheduled| &scheduled["taskQueue"]["name"])
        .collect();
    assert_eq!(queues, [&json!(agent_task_queue(INSTALL, NAMESPACE, "local-second"))]);

    stack.redis().restart(RedisData::Empty).await.unwrap();
    task.until_lines(&lines).await.unwrap();
    assert_eq!(second.model().violations(), Vec::<String>::new());
}

#[tokio::test]
async fn an_interrupt_prevents_further_attempts_of_a_local_tool() {
    let gate = Gate::closed();
    let requests = Arc::new(AtomicUsize::new(0));
    let (held, counted) = (gate.clone(), requests.clone());
    let handler = async move || {
        counted.fetch_add(1, Ordering::Relaxed);
        held.pass().await;
    };
    let url = serve(Router::new().route("/", post(handler))).await;

    let script = call_then_repeat("order", json!({"item": "tea"}));
    let setup = AgentSetup::new("local-stopped", script).tool("order", local_order_tool(&url));
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.send("Order tea.").await.unwrap();
    gate.reached(TIMEOUT).await.unwrap();
    task.interrupt().await.unwrap();
    assert_eq!(task.turn_ended(1).await.unwrap().status, TurnStatus::Interrupted);
    assert_eq!(requests.load(Ordering::Relaxed), 1);
}
