//! Hooks and stream settings: who gets events, and what people see.

use std::sync::{Arc, Mutex};

use axum::{Router, routing::post};
use serde_json::{Value, json};
use steadfast_crds::agent::HandoffInput;
use steadfast_e2e::{
    backend::stack::{TOOLS, nonce_tool, shared_stack},
    scripts::call_then_repeat,
};
use steadfast_testkit::{
    scripted_model::Reply,
    stack::{AgentSetup, Line},
};

use crate::{agents::handoff_to, http_server::serve};

/// The URL of a webhook, and the events that it has received.
async fn webhook() -> (String, Arc<Mutex<Vec<Value>>>) {
    let received: Arc<Mutex<Vec<Value>>> = Arc::default();
    let recorder = received.clone();
    let record = async move |axum::Json(event): axum::Json<Value>| {
        recorder.lock().unwrap().push(event);
    };
    let url = serve(Router::new().route("/", post(record))).await;
    (url, received)
}

#[tokio::test]
async fn a_hook_adds_a_message_and_hides_a_tool() {
    let setup = AgentSetup::new("hooked", |request| match request.tool_outputs_of_turn().len() {
        0 => Reply::call("secret", &json!({"of": "x"})),
        1 => Reply::call("nonce", &json!({"of": "y"})),
        _ => Reply::text("Done."),
    })
    .tool("nonce", nonce_tool())
    .tool("secret", {
        let mut tool = nonce_tool();
        tool["description"] = json!("Secret.");
        tool
    })
    .configure(|spec| {
        let hook = json!({
            "events": ["AgentStarted", "ToolStarted", "ToolEnded"],
            "activity": {"name": "hook", "taskQueue": TOOLS},
        });
        spec.hooks = vec![serde_json::from_value(hook).unwrap()];
    });
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "Go.").await.unwrap();
    let lines = task.lines().await.unwrap();
    let names: Vec<&str> = lines
        .iter()
        .filter_map(|line| match line {
            Line::ToolRequest { name, .. } | Line::ToolResponse { name, .. } => Some(name.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(names, ["nonce", "nonce"], "{lines:#?}");
    assert!(lines.contains(&Line::agent("hooked is here")), "{lines:#?}");
}

#[tokio::test]
async fn a_webhook_gets_the_events_of_a_turn_in_order_and_an_unreachable_one_fails_nothing() {
    let (url, received) = webhook().await;
    let setup = AgentSetup::new("webhooked", |request| match request.last_tool_output() {
        None => Reply::call("nonce", &json!({"of": "x"})),
        Some(_) => Reply::text("Done."),
    })
    .tool("nonce", nonce_tool())
    .configure(move |spec| {
        let all = json!([
            "AgentStarted",
            "AgentEnded",
            "ModelStarted",
            "ModelEnded",
            "ToolStarted",
            "ToolEnded",
            "Handoff"
        ]);
        let hook = |url: &str| json!({"events": all, "timeout": "1s", "webhook": {"url": url}});
        spec.hooks = vec![
            serde_json::from_value(hook(&url)).unwrap(),
            serde_json::from_value(
                json!({"events": ["AgentStarted"], "timeout": "1s", "webhook": {"url": "http://127.0.0.1:9/"}}),
            )
            .unwrap(),
        ];
    });
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "Go.").await.unwrap();
    let expected = [
        "AgentStarted",
        "ModelStarted",
        "ModelEnded",
        "ToolStarted",
        "ToolEnded",
        "ModelStarted",
        "ModelEnded",
        "AgentEnded",
    ];
    let received = received.lock().unwrap();
    let events: Vec<&Value> = received.iter().map(|event| &event["event"]).collect();
    assert_eq!(events, expected);
}

#[tokio::test]
async fn a_hook_receives_a_handoff_and_replaces_its_message() {
    let stack = shared_stack().await;
    let second = stack
        .agent(AgentSetup::new("hook-second", |_| Reply::text("Here I am.")))
        .await
        .unwrap();
    let (url, received) = webhook().await;
    let first =
        AgentSetup::new("hook-first", |_| Reply::call("transfer_to_hook_second", &json!({}))).configure(move |spec| {
            let hooks = json!([
                {"events": ["Handoff"], "activity": {"name": "hook", "taskQueue": TOOLS}},
                {"events": ["Handoff"], "webhook": {"url": url}},
            ]);
            spec.hooks = serde_json::from_value(hooks).unwrap();
            spec.handoffs = vec![handoff_to("hook-second", HandoffInput::All)];
        });
    let first = stack.agent(first).await.unwrap();
    let task = first.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    task.complete_turn(1, "Go on.").await.unwrap();
    let expected = [
        Line::user("Go on."),
        Line::agent("hook-first makes way for hook-second"),
        Line::agent("Here I am."),
    ];
    assert_eq!(task.lines().await.unwrap(), expected);
    let seen = viewer.until_turn_ended(1).await.unwrap();
    assert_eq!(seen.lines(), expected);
    assert_eq!(seen.of_turn("handoff", 1).unwrap().data["to"], "hook-second");
    let received = received.lock().unwrap();
    assert_eq!((received.len(), second.model().journal().len()), (1, 1));
    assert_eq!(received[0]["about"], json!({"from": "hook-first", "to": "hook-second"}));
    assert_eq!(
        (&received[0]["event"], &received[0]["agent"], &received[0]["task_id"]),
        (&json!("Handoff"), &json!("hook-first"), &json!(task.id()))
    );
}

#[tokio::test]
async fn stream_settings_hide_the_message_of_a_handoff() {
    let stack = shared_stack().await;
    let _second = stack
        .agent(AgentSetup::new("silent-second", |_| Reply::text("Here I am.")))
        .await
        .unwrap();
    let first =
        AgentSetup::new("silent-first", |_| Reply::call("transfer_to_silent_second", &json!({}))).configure(|spec| {
            spec.stream = serde_json::from_value(json!({"handoffs": false})).unwrap();
            spec.handoffs = vec![handoff_to("silent-second", HandoffInput::All)];
        });
    let first = stack.agent(first).await.unwrap();
    let task = first.task().await.unwrap();
    task.complete_turn(1, "Go on.").await.unwrap();
    assert_eq!(
        task.lines().await.unwrap(),
        [Line::user("Go on."), Line::agent("Here I am.")]
    );
}

#[tokio::test]
async fn stream_settings_hide_tools_and_reasoning_and_show_model_calls() {
    let setup = AgentSetup::new("stream-settings", |request| match request.last_tool_output() {
        None => Reply::stream()
            .and_reasoning("Hm.")
            .and_call("internal_nonce", &json!({"of": "x"})),
        Some(_) => Reply::text("Done."),
    })
    .tool("internal_nonce", nonce_tool())
    .configure(|spec| {
        let stream = json!({"hiddenTools": ["internal_*"], "reasoning": false, "modelCalls": true});
        spec.stream = serde_json::from_value(stream).unwrap();
    });
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    task.complete_turn(1, "Go.").await.unwrap();
    let lines = task.lines().await.unwrap();
    let calls = lines
        .iter()
        .filter(|line| matches!(line, Line::Other(data) if data["data"]["kind"] == "model_call"));
    assert_eq!((lines.len(), calls.count()), (4, 2), "{lines:#?}");
    let seen = viewer.until_turn_ended(1).await.unwrap();
    assert_eq!(
        seen.count("tool_arguments_delta") + seen.count("reasoning_summary_delta"),
        0,
        "{}",
        seen.summary()
    );
    assert_eq!(seen.count("tool_ended"), 1);
}

#[tokio::test]
async fn a_welcome_message_is_shown_once_and_never_sent_to_the_model() {
    let setup = AgentSetup::new("welcoming", |_| Reply::text("Yes."))
        .configure(|spec| spec.welcome = "Hello, I write haiku.".to_owned());
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.until_lines(&[Line::agent("Hello, I write haiku.")]).await.unwrap();
    task.complete_turn(1, "One, please.").await.unwrap();
    assert_eq!(agent.model().journal()[0].request.input().len(), 1);
    assert_eq!(task.lines().await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_tool_output_can_end_a_turn() {
    let setup = AgentSetup::new("stop-at-tool", |_| Reply::call("nonce", &json!({"of": "x"})))
        .tool("nonce", nonce_tool())
        .configure(|spec| spec.tool_use = serde_json::from_value(json!({"behavior": "StopOnFirstTool"})).unwrap());
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "Go.").await.unwrap();
    let lines = task.lines().await.unwrap();
    assert!(
        matches!(lines.last(), Some(Line::Agent(text)) if text.contains("nonce")),
        "{lines:#?}"
    );
    assert_eq!(agent.model().journal().len(), 1);
}

#[tokio::test]
async fn a_workflow_in_any_language_is_a_tool() {
    let tool = json!({
        "description": "Greets.",
        "parameters": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
        "workflow": {"type": "Greeting", "taskQueue": TOOLS},
    });
    let setup = AgentSetup::new("workflow-tool", call_then_repeat("greet", json!({"name": "Ada"}))).tool("greet", tool);
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "Greet.").await.unwrap();
    // Its start carries the same context headers as an activity.
    let expected = json!({"greeting": "Hello, Ada.", "for_task": task.id()});
    assert_eq!(task.lines().await.unwrap()[2], Line::response("greet", expected));
}
