//! Tools: activities in another language, HTTP, and calls that cannot run.

mod activity;
mod http;
mod local_http;

use serde_json::json;
use steadfast_e2e::backend::stack::{nonce_tool, shared_stack};
use steadfast_testkit::{
    scripted_model::Reply,
    stack::{AgentSetup, Line},
};

#[tokio::test]
async fn parallel_calls_are_all_answered_before_the_next_model_call() {
    let setup = AgentSetup::new("parallel", |request| match request.tool_outputs_of_turn().len() {
        0 => Reply::stream()
            .and_call("nonce", &json!({"of": "a"}))
            .and_call("nonce", &json!({"of": "b"})),
        count => Reply::text(format!("{count} answers")),
    })
    .tool("nonce", nonce_tool());
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "Two nonces.").await.unwrap();
    let lines = task.lines().await.unwrap();
    assert_eq!(lines.last(), Some(&Line::agent("2 answers")));
    assert_eq!((lines.len(), agent.model().journal().len()), (6, 2));
    assert_eq!(agent.model().violations(), Vec::<String>::new());
}

#[tokio::test]
async fn the_model_gets_the_reason_why_a_call_cannot_run() {
    let setup = AgentSetup::new("refused-calls", |request| match request.number {
        1 => Reply::call("no_such_tool", &json!({})),
        2 => Reply::call("nonce", &json!({"of": 7})),
        3 => Reply::stream().and_raw_call("nonce", "{\"of\": \"unfini"),
        _ => Reply::text("I give up."),
    })
    .tool("nonce", nonce_tool());
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "Try.").await.unwrap();

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
async fn a_turn_ends_at_its_limit_of_model_calls() {
    let setup = AgentSetup::new("endless", |_| Reply::call("nonce", &json!({"of": "more"})))
        .tool("nonce", nonce_tool())
        .configure(|spec| spec.limits.max_model_calls_per_turn = 2);
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let error = task.fail_turn(1, "Go on and on.").await.unwrap();
    assert_eq!(error.category, "max_model_calls");
    assert_eq!(agent.model().journal().len(), 2);
}
