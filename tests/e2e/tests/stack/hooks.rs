//! Who is told of what happens, and what people see of it.

use std::sync::{Arc, Mutex};

use axum::{Router, routing::post};
use serde_json::{Value, json};
use steadfast_crds::agent::HandoffInput;
use steadfast_events::TurnStatus;
use steadfast_testkit::scripted_model::Reply;
use steadfast_testkit::stack::{AgentSetup, Line, activity_tool};
use tokio::net::TcpListener;

use crate::agents::handoff_to;
use crate::shared::{TOOLS, stack};

/// The URL of a webhook, and the events it has heard of.
async fn webhook() -> (String, Arc<Mutex<Vec<Value>>>) {
    let heard: Arc<Mutex<Vec<Value>>> = Arc::default();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let recorder = heard.clone();
    let record = async move |axum::Json(event): axum::Json<Value>| {
        recorder.lock().unwrap().push(event);
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(record))).await });
    (url, heard)
}

#[tokio::test]
async fn a_hook_announces_the_agent_and_hides_an_internal_tool() {
    let setup = AgentSetup::new("hooked", |request| match request.tool_outputs_of_turn().len() {
        0 => Reply::call("secret", &json!({"of": "x"})),
        1 => Reply::call("nonce", &json!({"of": "y"})),
        _ => Reply::text("Done."),
    })
    .tool(
        "nonce",
        activity_tool("nonce", TOOLS, &json!({"of": {"type": "string"}})),
    )
    .tool("secret", {
        let mut tool = activity_tool("nonce", TOOLS, &json!({"of": {"type": "string"}}));
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
    let agent = stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    assert_eq!(task.turn(1, "Go.").await.unwrap().status, TurnStatus::Completed);
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
async fn a_webhook_hears_of_a_turn_in_order_and_one_that_is_away_fails_nothing() {
    let (url, heard) = webhook().await;
    let setup = AgentSetup::new("webhooked", |request| match request.last_tool_output() {
        None => Reply::call("nonce", &json!({"of": "x"})),
        Some(_) => Reply::text("Done."),
    })
    .tool(
        "nonce",
        activity_tool("nonce", TOOLS, &json!({"of": {"type": "string"}})),
    )
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
    let agent = stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    assert_eq!(task.turn(1, "Go.").await.unwrap().status, TurnStatus::Completed);
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
    let heard = heard.lock().unwrap();
    let events: Vec<&Value> = heard.iter().map(|told| &told["event"]).collect();
    assert_eq!(events, expected);
}

#[tokio::test]
async fn a_hook_hears_of_a_handoff_and_tells_of_it_in_its_own_words() {
    let stack = stack().await;
    let second = stack
        .agent(AgentSetup::new("hook-second", |_| Reply::text("Here I am.")))
        .await
        .unwrap();
    let (url, heard) = webhook().await;
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
    assert_eq!(task.turn(1, "Go on.").await.unwrap().status, TurnStatus::Completed);
    let expected = [
        Line::user("Go on."),
        Line::agent("hook-first makes way for hook-second"),
        Line::agent("Here I am."),
    ];
    assert_eq!(task.lines().await.unwrap(), expected);
    let seen = viewer
        .until("the end of the turn", |seen| seen.of_turn("turn_ended", 1).is_some())
        .await
        .unwrap();
    assert_eq!(seen.lines(), expected);
    assert_eq!(seen.of_turn("handoff", 1).unwrap().data["to"], "hook-second");
    let heard = heard.lock().unwrap();
    assert_eq!((heard.len(), second.model().journal().len()), (1, 1));
    assert_eq!(heard[0]["about"], json!({"from": "hook-first", "to": "hook-second"}));
    assert_eq!(
        (&heard[0]["event"], &heard[0]["agent"], &heard[0]["task_id"]),
        (&json!("Handoff"), &json!("hook-first"), &json!(task.id()))
    );
}

#[tokio::test]
async fn a_handoff_is_made_without_a_word_where_the_stream_settings_hide_it() {
    let stack = stack().await;
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
    assert_eq!(task.turn(1, "Go on.").await.unwrap().status, TurnStatus::Completed);
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
    .tool(
        "internal_nonce",
        activity_tool("nonce", TOOLS, &json!({"of": {"type": "string"}})),
    )
    .configure(|spec| {
        let stream = json!({"hiddenTools": ["internal_*"], "reasoning": false, "modelCalls": true});
        spec.stream = serde_json::from_value(stream).unwrap();
    });
    let agent = stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    assert_eq!(task.turn(1, "Go.").await.unwrap().status, TurnStatus::Completed);
    let lines = task.lines().await.unwrap();
    let calls = lines
        .iter()
        .filter(|line| matches!(line, Line::Other(data) if data["data"]["kind"] == "model_call"));
    assert_eq!((lines.len(), calls.count()), (4, 2), "{lines:#?}");
    let seen = viewer
        .until("the end of the turn", |seen| seen.of_turn("turn_ended", 1).is_some())
        .await
        .unwrap();
    assert_eq!(
        seen.count("tool_arguments_delta") + seen.count("reasoning_summary_delta"),
        0,
        "{}",
        seen.summary()
    );
    assert_eq!(seen.count("tool_ended"), 1);
}

#[tokio::test]
async fn a_welcome_is_said_once_and_never_sent_to_the_model() {
    let setup = AgentSetup::new("welcoming", |_| Reply::text("Yes."))
        .configure(|spec| spec.welcome = "Hello, I write haiku.".to_owned());
    let agent = stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.until_lines(&[Line::agent("Hello, I write haiku.")]).await.unwrap();
    assert_eq!(
        task.turn(1, "One, please.").await.unwrap().status,
        TurnStatus::Completed
    );
    assert_eq!(agent.model().journal()[0].request.input().len(), 1);
    assert_eq!(task.lines().await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_tool_may_be_the_last_word_of_a_turn() {
    let setup = AgentSetup::new("stop-at-tool", |_| Reply::call("nonce", &json!({"of": "x"})))
        .tool(
            "nonce",
            activity_tool("nonce", TOOLS, &json!({"of": {"type": "string"}})),
        )
        .configure(|spec| spec.tool_use = serde_json::from_value(json!({"behavior": "StopOnFirstTool"})).unwrap());
    let agent = stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    assert_eq!(task.turn(1, "Go.").await.unwrap().status, TurnStatus::Completed);
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
    let setup = AgentSetup::new("workflow-tool", |request| match request.last_tool_output() {
        None => Reply::call("greet", &json!({"name": "Ada"})),
        Some(output) => Reply::text(output),
    })
    .tool("greet", tool);
    let agent = stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    assert_eq!(task.turn(1, "Greet.").await.unwrap().status, TurnStatus::Completed);
    // Its start carries the context as every activity's does.
    let expected = json!({"greeting": "Hello, Ada.", "for_task": task.id()});
    assert_eq!(task.lines().await.unwrap()[2], Line::response("greet", expected));
}
