//! Tools that are activities of a worker in another language.

use serde_json::{Value, json};
use steadfast_e2e::{
    backend::stack::{TOOLS, shared_stack},
    history::{attributes, plain_json},
    scripts::call_then_repeat,
};
use steadfast_testkit::{
    scripted_model::Reply,
    stack::{AgentSetup, Line, activity_tool},
};

#[tokio::test]
async fn arguments_and_results_of_300_kb_are_plain_json_in_the_history() {
    let stack = shared_stack().await;
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
    task.complete_turn(1, "Reverse it.").await.unwrap();

    let result = json!({"text": reversed});
    let expected = [
        Line::user("Reverse it."),
        Line::request("reverse", json!({"text": text})),
        Line::agent(format!("{} bytes", result.to_string().len())),
    ];
    let mut lines = task.lines().await.unwrap();
    // People see the beginning of it; another test reads it whole.
    let response = lines.remove(2);
    assert!(matches!(&response, Line::ToolResponse { is_error: false, .. }));
    // Not `assert_eq`, which would print a megabyte on failure.
    assert!(lines == expected, "the messages differ from what was sent");

    let history = stack.temporal().history(task.id(), None).await.unwrap();
    let scheduled = attributes(&history, "activityTaskScheduledEventAttributes");
    let names: Vec<&Value> = scheduled.iter().map(|event| &event["activityType"]["name"]).collect();
    let call = names
        .iter()
        .position(|name| **name == "reverse")
        .expect("the tool is in the history");
    assert!(
        plain_json(&scheduled[call]["input"]["payloads"][0]) == Some(json!({"text": text})),
        "the argument is not plain JSON"
    );
    let completed = attributes(&history, "activityTaskCompletedEventAttributes");
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
async fn an_activity_in_another_language_gets_its_task_id_and_an_idempotency_key() {
    let setup = AgentSetup::new("headers", call_then_repeat("context", json!({})))
        .tool("context", activity_tool("context", TOOLS, &json!({})));
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "Where am I?").await.unwrap();

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
    assert!(key.ends_with("/t1.0.0"), "{headers}");
}

#[tokio::test]
async fn the_model_gets_the_error_of_a_failed_tool() {
    let setup = AgentSetup::new("failing-tool", call_then_repeat("fail", json!({"what": "unicorn"}))).tool(
        "fail",
        activity_tool("fail", TOOLS, &json!({"what": {"type": "string"}})),
    );
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "Find it.").await.unwrap();
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
async fn numbers_of_a_call_keep_their_digits_from_the_model_to_the_activity_and_back() {
    let setup = AgentSetup::new("digits", |request| match request.number {
        1 => Reply::stream().and_raw_call("measure", "{\"id\": 100000000000000000001}"),
        2 => Reply::call("picture", &json!({})),
        _ => Reply::text("Done."),
    })
    .tool(
        "measure",
        activity_tool("measure", TOOLS, &json!({"id": {"type": "integer"}})),
    )
    .tool("picture", activity_tool("picture", TOOLS, &json!({})));
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "Measure.").await.unwrap();

    let calls = agent.model().journal();
    let outputs = calls[2].request.tool_outputs();
    assert_eq!(outputs[0], "{\"id\":100000000000000000002,\"mean\":\"NaN\"}");
    assert!(outputs[1].contains("has the encoding \"binary/plain\""), "{outputs:?}");
    let lines = task.lines().await.unwrap();
    let shown = lines.iter().filter_map(|line| match line {
        Line::ToolRequest { arguments, .. } => Some((arguments.to_string(), false)),
        Line::ToolResponse { content, is_error, .. } => Some((content.to_string(), *is_error)),
        _ => None,
    });
    let shown: Vec<(String, bool)> = shown.collect();
    assert_eq!(shown[0], ("{\"id\":100000000000000000001}".to_owned(), false));
    assert_eq!(
        shown[1],
        ("{\"id\":100000000000000000002,\"mean\":\"NaN\"}".to_owned(), false)
    );
    assert!(shown[3].1, "{shown:?}");
}
