//! Tools: activities of another language, HTTP, and calls that cannot run.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::post;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};
use steadfast_crds::agent::HandoffInput;
use steadfast_crds::names::agent_task_queue;
use steadfast_events::TurnStatus;
use steadfast_testkit::RedisData;
use steadfast_testkit::scripted_model::{Gate, ModelRequest, Reply};
use steadfast_testkit::stack::{AgentSetup, INSTALL, Line, NAMESPACE, PATIENCE, Stack, activity_tool};

use crate::agents::handoff_to;
use crate::shared::{TOOLS, stack};

/// Calls one tool once, and then repeats what it answered.
fn calling(name: &'static str, arguments: Value) -> impl Fn(&ModelRequest) -> Reply + Send + Sync + 'static {
    move |request| match request.last_tool_output() {
        None => Reply::call(name, &arguments),
        Some(output) => Reply::text(format!("Got {output}")),
    }
}

/// The attributes of all events of a kind.
fn events<'a>(history: &'a [Value], attributes: &str) -> Vec<&'a Value> {
    history.iter().filter_map(|event| event.get(attributes)).collect()
}

/// The content of a payload that any language and the Temporal UI can read.
fn plain_json(payload: &Value) -> Option<Value> {
    let base64 = |value: &Value| BASE64_STANDARD.decode(value.as_str()?).ok();
    let encoding = base64(&payload["metadata"]["encoding"])?;
    if encoding != b"json/plain" {
        return None;
    }
    serde_json::from_slice(&base64(&payload["data"])?).ok()
}

#[tokio::test]
async fn arguments_and_results_of_300_kb_pass_as_plain_json_and_history_is_readable() {
    let stack = stack().await;
    let text: String = "The quick brown fox. ".chars().cycle().take(300_000).collect();
    let reversed: String = text.chars().rev().collect();
    let sent = text.clone();
    let setup = AgentSetup::new("large", move |request| match request.last_tool_output() {
        None => Reply::call("reverse", &json!({"text": sent})),
        Some(output) => Reply::text(format!("{} bytes", output.len())),
    })
    .tool("reverse", {
        let mut spec = activity_tool("reverse", TOOLS, &json!({"text": {"type": "string"}}));
        spec["maxResultBytes"] = 1_000_000.into();
        spec
    });
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    assert_eq!(task.turn(1, "Reverse it.").await.unwrap().status, TurnStatus::Completed);

    let result = json!({"text": reversed});
    let expected = [
        Line::user("Reverse it."),
        Line::request("reverse", json!({"text": text})),
        Line::response("reverse", result.clone()),
        Line::agent(format!("{} bytes", result.to_string().len())),
    ];
    let lines = task.lines().await.unwrap();
    // Not assert_eq: a failure would print a megabyte.
    assert!(lines == expected, "the messages differ from what was sent");

    let history = stack.temporal().history(task.id(), None).await.unwrap();
    let scheduled = events(&history, "activityTaskScheduledEventAttributes");
    let names: Vec<&Value> = scheduled.iter().map(|event| &event["activityType"]["name"]).collect();
    let call = names
        .iter()
        .position(|name| **name == "reverse")
        .expect("the tool is in the history");
    assert!(
        plain_json(&scheduled[call]["input"]["payloads"][0]) == Some(json!({"text": text})),
        "the argument is not plain JSON"
    );
    let completed = events(&history, "activityTaskCompletedEventAttributes");
    assert!(
        completed
            .iter()
            .any(|event| plain_json(&event["result"]["payloads"][0]).as_ref() == Some(&result)),
        "the result is not plain JSON"
    );

    let summaries: Vec<Option<Value>> = history
        .iter()
        .filter(|event| event.get("activityTaskScheduledEventAttributes").is_some())
        .map(|event| plain_json(&event["userMetadata"]["summary"]))
        .collect();
    assert!(summaries.contains(&Some(json!("large: reverse"))), "{summaries:?}");
    assert!(summaries.contains(&Some(json!("large: scripted"))), "{summaries:?}");
}

#[tokio::test]
async fn a_foreign_activity_is_told_of_its_task_and_of_an_idempotency_key() {
    let setup = AgentSetup::new("headers", calling("context", json!({})))
        .tool("context", activity_tool("context", TOOLS, &json!({})));
    let agent = stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    assert_eq!(task.turn(1, "Where am I?").await.unwrap().status, TurnStatus::Completed);

    let lines = task.lines().await.unwrap();
    let Line::ToolResponse { content: headers, .. } = &lines[2] else {
        panic!("{lines:#?}")
    };
    assert_eq!(
        (&headers["context-task-id"], &headers["context-trace-id"]),
        (&json!(task.id()), &json!(task.id()))
    );
    assert!(
        headers["context-parent-span-id"]
            .as_str()
            .is_some_and(|id| !id.is_empty()),
        "{headers}"
    );
    let key = headers["idempotency-key"].as_str().unwrap_or_default();
    assert!(key.starts_with(task.id()), "{headers}");
}

#[tokio::test]
async fn calls_in_parallel_are_all_answered_before_the_model_is_asked_again() {
    let setup = AgentSetup::new("parallel", |request| match request.tool_outputs_of_turn().len() {
        0 => Reply::stream()
            .and_call("nonce", &json!({"of": "a"}))
            .and_call("nonce", &json!({"of": "b"})),
        count => Reply::text(format!("{count} answers")),
    })
    .tool(
        "nonce",
        activity_tool("nonce", TOOLS, &json!({"of": {"type": "string"}})),
    );
    let agent = stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    assert_eq!(task.turn(1, "Two nonces.").await.unwrap().status, TurnStatus::Completed);
    let lines = task.lines().await.unwrap();
    assert_eq!(lines.last(), Some(&Line::agent("2 answers")));
    assert_eq!((lines.len(), agent.model().journal().len()), (6, 2));
    assert_eq!(agent.model().violations(), Vec::<String>::new());
}

#[tokio::test]
async fn calls_that_cannot_run_go_back_to_the_model() {
    let setup = AgentSetup::new("refused-calls", |request| match request.number {
        1 => Reply::call("no_such_tool", &json!({})),
        2 => Reply::call("nonce", &json!({"of": 7})),
        3 => Reply::stream().and_raw_call("nonce", "{\"of\": \"unfini"),
        _ => Reply::text("I give up."),
    })
    .tool(
        "nonce",
        activity_tool("nonce", TOOLS, &json!({"of": {"type": "string"}})),
    );
    let agent = stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    assert_eq!(task.turn(1, "Try.").await.unwrap().status, TurnStatus::Completed);

    let calls = agent.model().journal();
    let outputs = calls[3].request.tool_outputs();
    for (output, reason) in outputs.iter().zip(["no_such_tool", "schema", "not JSON"]) {
        assert!(output.contains(reason), "{output:?} does not say {reason:?}");
    }
    let lines = task.lines().await.unwrap();
    let errors = lines
        .iter()
        .filter(|line| matches!(line, Line::ToolResponse { is_error: true, .. }))
        .count();
    assert_eq!(
        (calls.len(), outputs.len(), errors, lines.len()),
        (4, 3, 3, 8),
        "{lines:#?}"
    );
    assert_eq!(lines.last(), Some(&Line::agent("I give up.")));
    assert_eq!(agent.model().violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_tool_that_fails_for_good_tells_the_model_why() {
    let setup = AgentSetup::new("failing-tool", calling("fail", json!({"what": "unicorn"}))).tool(
        "fail",
        activity_tool("fail", TOOLS, &json!({"what": {"type": "string"}})),
    );
    let agent = stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    assert_eq!(task.turn(1, "Find it.").await.unwrap().status, TurnStatus::Completed);
    let lines = task.lines().await.unwrap();
    let Some(Line::ToolResponse {
        content,
        is_error: true,
        ..
    }) = lines.get(2)
    else {
        panic!("{lines:#?}")
    };
    assert!(content.to_string().contains("no such thing: unicorn"), "{content}");
}

#[tokio::test]
async fn a_turn_ends_at_its_limit_of_model_calls() {
    let setup = AgentSetup::new("endless", |_| Reply::call("nonce", &json!({"of": "more"})))
        .tool(
            "nonce",
            activity_tool("nonce", TOOLS, &json!({"of": {"type": "string"}})),
        )
        .configure(|spec| spec.limits.max_model_calls_per_turn = 2);
    let agent = stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let end = task.turn(1, "Go on and on.").await.unwrap();
    assert_eq!(
        (end.status, end.error.unwrap().category.as_str()),
        (TurnStatus::Failed, "max_model_calls")
    );
    assert_eq!(agent.model().journal().len(), 2);
}

/// What a tool's HTTP server saw of one request.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    authorization: String,
    idempotency_key: String,
    body: Value,
}

/// Fails the first request with 503, as a server does that is being deployed.
async fn flaky_server(seen: Arc<Mutex<Vec<Seen>>>) -> String {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/orders", listener.local_addr().unwrap());
    let handler = async move |headers: HeaderMap, body: String| {
        let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        let mut seen = seen.lock().unwrap();
        seen.push(Seen {
            authorization: header("authorization"),
            idempotency_key: header("idempotency-key"),
            body: serde_json::from_str(&body).unwrap(),
        });
        if seen.len() == 1 {
            return (StatusCode::SERVICE_UNAVAILABLE, "try later".into_response());
        }
        (StatusCode::OK, axum::Json(json!({"order": 17})).into_response())
    };
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().route("/orders", post(handler))).await });
    url
}

fn order_tool(url: &str) -> Value {
    json!({
        "description": "Orders something.",
        "parameters": {"type": "object", "properties": {"item": {"type": "string"}}, "required": ["item"]},
        "http": {
            "method": "POST", "url": url,
            "headers": [{"name": "Authorization", "value": "Bearer ${env.OPENAI_API_KEY}"}],
        },
        "retry": {"initialInterval": "100ms"},
    })
}

/// The same, without an activity of its own.
fn local_order_tool(url: &str) -> Value {
    let mut tool = order_tool(url);
    tool["http"]["execution"] = json!("Local");
    tool["timeout"] = json!("2s");
    tool
}

#[tokio::test]
async fn an_http_tool_sends_its_credential_and_one_idempotency_key_over_all_attempts() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let tool = order_tool(&flaky_server(seen.clone()).await);
    let setup = AgentSetup::new("http-tool", calling("order", json!({"item": "tea"}))).tool("order", tool);
    let agent = stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    assert_eq!(task.turn(1, "Order tea.").await.unwrap().status, TurnStatus::Completed);

    let expected = [
        Line::user("Order tea."),
        Line::request("order", json!({"item": "tea"})),
        Line::response("order", json!({"order": 17})),
        Line::agent(r#"Got {"order":17}"#),
    ];
    assert_eq!(task.lines().await.unwrap(), expected);
    let seen = seen.lock().unwrap().clone();
    let request = Seen {
        authorization: format!("Bearer {}", steadfast_testkit::stack::API_KEY),
        idempotency_key: seen[0].idempotency_key.clone(),
        body: json!({"item": "tea"}),
    };
    assert!(request.idempotency_key.starts_with(task.id()), "{request:?}");
    assert_eq!(seen, [request.clone(), request]);
}

/// What stands in a history of the calls of http tools that were activities.
fn http_activities(history: &[Value]) -> Vec<&Value> {
    events(history, "activityTaskScheduledEventAttributes")
        .into_iter()
        .filter(|scheduled| scheduled["activityType"]["name"] == "call_http_tool")
        .collect()
}

/// Ids of the attempts that were local.
fn local_attempts(history: &[Value]) -> Vec<Value> {
    events(history, "markerRecordedEventAttributes")
        .into_iter()
        .filter_map(|marker| plain_json(&marker["details"]["data"]["payloads"][0]))
        .filter(|local| local["activity_type"] == "call_http_tool")
        .map(|local| local["activity_id"].clone())
        .collect()
}

#[tokio::test]
async fn a_local_http_tool_is_called_without_an_activity_and_again_with_the_same_key() {
    let stack = stack().await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let setup = AgentSetup::new("local-tool", |request| match request.tool_outputs_of_turn().len() {
        0 => Reply::call("order", &json!({"item": "tea"})),
        1 => Reply::call("order", &json!({"item": "milk"})),
        _ => Reply::text(request.tool_outputs().join(" and ")),
    })
    .tool("order", local_order_tool(&flaky_server(seen.clone()).await));
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    assert_eq!(
        task.turn(1, "Tea with milk.").await.unwrap().status,
        TurnStatus::Completed
    );

    let expected = [
        Line::user("Tea with milk."),
        Line::request("order", json!({"item": "tea"})),
        Line::response("order", json!({"order": 17})),
        Line::request("order", json!({"item": "milk"})),
        Line::response("order", json!({"order": 17})),
        Line::agent(r#"{"order":17} and {"order":17}"#),
    ];
    assert_eq!(task.lines().await.unwrap(), expected);
    let request = |call: &str, item: &str| Seen {
        authorization: format!("Bearer {}", steadfast_testkit::stack::API_KEY),
        idempotency_key: format!("{}/{call}", task.id()),
        body: json!({"item": item}),
    };
    let (tea, milk) = (request("t1.0.0", "tea"), request("t1.1.0", "milk"));
    assert_eq!(*seen.lock().unwrap(), [tea.clone(), tea, milk]);

    let history = stack.temporal().history(task.id(), None).await.unwrap();
    assert_eq!(http_activities(&history), Vec::<&Value>::new());
    assert_eq!(local_attempts(&history), ["t1.0.0", "t1.0.0", "t1.1.0"]);
    assert_eq!(agent.model().violations(), Vec::<String>::new());
}

#[tokio::test]
async fn what_a_local_tool_answered_is_known_to_other_workers_and_without_redis() {
    let stack = Stack::start().await.unwrap();
    let url = flaky_server(Arc::default()).await;
    let answer = r#"{"order":17}"#;
    let second = AgentSetup::new("local-second", move |request| {
        let ordered = request.tool_outputs().iter().filter(|output| *output == answer).count();
        match ordered {
            // Ids of calls are unique in a conversation, whichever model makes them.
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
    assert_eq!(
        task.turn(1, "Tea with milk.").await.unwrap().status,
        TurnStatus::Completed
    );
    let heard = &second.model().journal()[0].request;
    assert_eq!(heard.tool_outputs()[0], answer);
    let lines = task.lines().await.unwrap();
    assert_eq!(lines.last(), Some(&Line::agent("2 orders.")), "{lines:#?}");

    // The workflow is with the first agent's workers; the second one's credentials are not.
    let history = stack.temporal().history(task.id(), None).await.unwrap();
    let queues: Vec<&Value> = http_activities(&history)
        .into_iter()
        .map(|scheduled| &scheduled["taskQueue"]["name"])
        .collect();
    assert_eq!(queues, [&json!(agent_task_queue(INSTALL, NAMESPACE, "local-second"))]);

    stack.redis().restart(RedisData::Empty).await.unwrap();
    task.until_lines(&lines).await.unwrap();
    assert_eq!(second.model().violations(), Vec::<String>::new());
}

#[tokio::test]
async fn an_interrupt_lets_no_other_attempt_of_a_local_tool_begin() {
    let gate = Gate::closed();
    let requests = Arc::new(AtomicUsize::new(0));
    let (held, counted) = (gate.clone(), requests.clone());
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/orders", listener.local_addr().unwrap());
    let handler = async move || {
        counted.fetch_add(1, Ordering::Relaxed);
        held.pass().await;
    };
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().route("/orders", post(handler))).await });

    let setup = AgentSetup::new("local-stopped", calling("order", json!({"item": "tea"})))
        .tool("order", local_order_tool(&url));
    let agent = stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.send("Order tea.").await.unwrap();
    gate.reached(PATIENCE).await.unwrap();
    task.rpc("task/interrupt", json!({}), None)
        .await
        .unwrap()
        .result()
        .unwrap();
    assert_eq!(task.turn_ended(1).await.unwrap().status, TurnStatus::Interrupted);
    assert_eq!(requests.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn five_megabytes_are_cut_to_the_tools_limit_and_the_model_is_told() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let handler = async || "x".repeat(5_000_000);
    tokio::spawn(
        async move { axum::serve(listener, axum::Router::new().route("/", axum::routing::get(handler))).await },
    );
    let tool = json!({
        "description": "Reads a lot.", "parameters": {"type": "object", "properties": {}},
        "http": {"url": url}, "maxResultBytes": 10_000,
    });
    let setup = AgentSetup::new("large-result", |request| match request.last_tool_output() {
        None => Reply::call("read", &json!({})),
        Some(output) => Reply::text(format!("{} bytes", output.len())),
    })
    .tool("read", tool);
    let agent = stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    assert_eq!(task.turn(1, "Read.").await.unwrap().status, TurnStatus::Completed);
    let output = agent.model().journal()[1].request.last_tool_output().unwrap();
    assert!(
        output.len() < 10_300 && output.contains("maxResultBytes is 10000"),
        "{} bytes",
        output.len()
    );
}
