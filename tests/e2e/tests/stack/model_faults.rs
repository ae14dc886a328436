//! Faults of models: errors, broken streams, refusals, unknown events.

use std::time::Duration;

use serde_json::json;
use steadfast_e2e::backend::stack::shared_stack;
use steadfast_testkit::{
    scripted_model::{Reply, Text},
    stack::{AgentSetup, Line},
};

#[tokio::test]
async fn a_rate_limited_call_waits_as_long_as_the_provider_requests() {
    let setup = AgentSetup::new("rate-limit", |request| match request.number {
        1 => Reply::error(429, "rate_limit_exceeded", "slow down").header("retry-after", "2"),
        _ => Reply::text("Here I am."),
    });
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "hello").await.unwrap();
    assert_eq!(
        task.lines().await.unwrap(),
        [Line::user("hello"), Line::agent("Here I am.")]
    );
    let calls = agent.model().journal();
    let waited = calls[1].received_at - calls[0].received_at;
    assert_eq!(calls.len(), 2);
    assert!(
        waited >= Duration::from_millis(1_900),
        "the second call came after {waited:?}"
    );
}

/// A reply that breaks before it is complete, in one of several ways.
fn broken(way: &str) -> Reply {
    let text = Text::words("Half of an answ").every(Duration::from_millis(60));
    match way {
        "cut" => Reply::text(text.cut_after(3)),
        "early-end" => Reply::text(text.end_early_after(3)),
        "no-completion" => Reply::text(text).ends_early(),
        "server-error" => Reply::text(text).error_event("server_error", "it broke"),
        "failed" => Reply::text(text).failed("server_error", "it broke"),
        other => panic!("unknown fault: {other}"),
    }
}

async fn a_broken_stream_is_called_again_and_nothing_is_doubled(way: &'static str) {
    let setup = AgentSetup::new(&format!("broken-{way}"), move |request| match request.number {
        1 => broken(way),
        _ => Reply::text("The whole answer."),
    });
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    task.complete_turn(1, "hello").await.unwrap();

    let expected = [Line::user("hello"), Line::agent("The whole answer.")];
    let seen = viewer.until_turn_ended(1).await.unwrap();
    assert_eq!(seen.lines(), expected, "{}", seen.summary());
    for text in seen.texts() {
        let whole = ["Half of an answ", "The whole answer."];
        assert!(
            whole.iter().any(|whole| whole.starts_with(&text)),
            "a viewer saw {text:?}"
        );
    }
    assert_eq!(task.lines().await.unwrap(), expected);
    assert_eq!(agent.model().journal().len(), 2);
}

#[tokio::test]
async fn a_connection_cut_in_the_middle_of_a_text_is_retried() {
    a_broken_stream_is_called_again_and_nothing_is_doubled("cut").await;
}

#[tokio::test]
async fn a_stream_that_ends_early_is_retried() {
    a_broken_stream_is_called_again_and_nothing_is_doubled("early-end").await;
}

#[tokio::test]
async fn a_stream_without_its_last_event_is_retried() {
    a_broken_stream_is_called_again_and_nothing_is_doubled("no-completion").await;
}

#[tokio::test]
async fn a_server_error_inside_the_stream_is_retried() {
    a_broken_stream_is_called_again_and_nothing_is_doubled("server-error").await;
    a_broken_stream_is_called_again_and_nothing_is_doubled("failed").await;
}

#[tokio::test]
async fn a_refused_model_request_fails_the_turn_with_a_category_and_the_task_continues() {
    let setup = AgentSetup::new("refused-request", |request| match request.last_user_text().as_str() {
        "bad" => Reply::error(400, "invalid_request_error", "the schema is odd"),
        "long" => Reply::error(400, "context_length_exceeded", "too long"),
        "odd" => Reply::plain(403, "<html>forbidden</html>"),
        "cut" => Reply::text("All I can s").incomplete("max_output_tokens"),
        _ => Reply::text("Fine."),
    });
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let rounds = [
        ("bad", "model_request_refused"),
        ("long", "context_length_exceeded"),
        ("odd", "model_authentication"),
        ("cut", "model_output_truncated"),
    ];
    for (turn, (text, category)) in (1..).zip(rounds) {
        let error = task.fail_turn(turn, text).await.unwrap();
        assert_eq!(error.category, category, "{}", error.message);
    }
    task.complete_turn(5, "good").await.unwrap();
    assert_eq!(agent.model().journal().len(), 5);
    let lines = task.lines().await.unwrap();
    assert_eq!(
        lines[lines.len() - 2..],
        [Line::user("good"), Line::agent("Fine.")],
        "{lines:#?}"
    );
    assert!(
        !lines.iter().any(|line| matches!(line, Line::Open(_))),
        "a message stays open: {lines:#?}"
    );
    assert_eq!(task.describe().await.unwrap()["status"], "RUNNING");
    assert_eq!(agent.model().violations(), Vec::<String>::new());
}

#[tokio::test]
async fn unknown_events_are_ignored_and_a_refusal_is_shown_unchanged() {
    let setup = AgentSetup::new("odd-model", |_| {
        Reply::stream()
            .and_event(json!({"type": "keepalive"}))
            .and_event(json!({"type": "acme.mood", "delta": {"mood": 3}, "output_index": "three"}))
            .and_refusal("I cannot help with that.")
            .and_event(json!({"no": "type"}))
    });
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "hello").await.unwrap();
    assert_eq!(
        task.lines().await.unwrap(),
        [Line::user("hello"), Line::agent("I cannot help with that.")]
    );
    assert_eq!(agent.model().journal().len(), 1);
}

#[tokio::test]
async fn output_items_return_to_the_model_unchanged() {
    let reasoning = json!({"id": "rs_1_0", "type": "reasoning", "encrypted_content": "sealed",
        "summary": [{"type": "summary_text", "text": "Hm."}]});
    let said = reasoning.clone();
    let setup = AgentSetup::new("round-trip", move |_| {
        Reply::stream().and_item(said.clone()).and_text("Yes.")
    });
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "one").await.unwrap();
    task.complete_turn(2, "two").await.unwrap();
    let calls = agent.model().journal();
    assert_eq!(
        calls[1].request.input(),
        [
            json!({"role": "user", "content": "one"}),
            reasoning,
            json!({
                "id": "msg_1_1", "type": "message", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": "Yes.", "annotations": [], "logprobs": []}],
            }),
            json!({"role": "user", "content": "two"}),
        ]
    );
}

#[tokio::test]
async fn a_server_error_of_the_provider_is_retried() {
    let setup = AgentSetup::new("server-error-once", |request| match request.number {
        1 => Reply::error(500, "server_error", "try later"),
        _ => Reply::text("Now."),
    });
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "hello").await.unwrap();
    assert_eq!(agent.model().journal().len(), 2);
    assert_eq!(task.lines().await.unwrap(), [Line::user("hello"), Line::agent("Now.")]);
}
