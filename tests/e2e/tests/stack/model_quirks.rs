//! Habits of model servers that are no faults: the turn completes, or its failure
//! says in the server's words what to mend.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use serde_json::json;
use steadfast_crds::model::ModelApi;
use steadfast_e2e::backend::stack::shared_stack;
use steadfast_testkit::{
    scripted_model::{Gate, ModelRequest, Raw, Reply, chat_delta, chat_end, chat_frame},
    stack::{Agent, AgentSetup, Line, activity_tool},
};

/// An agent on the Chat Completions API.
async fn chat_agent(name: &str, script: impl Fn(&ModelRequest) -> Reply + Send + Sync + 'static) -> Agent {
    let setup = AgentSetup::new(name, script).configure(|spec| {
        spec.model.api = ModelApi::ChatCompletions;
        spec.model.retry.initial_interval = steadfast_crds::Duration::from_seconds(1);
        spec.model.retry.maximum_interval = steadfast_crds::Duration::from_seconds(1);
    });
    shared_stack().await.agent(setup).await.unwrap()
}

#[tokio::test]
async fn a_response_ends_with_its_finish_reason_whatever_the_connection_does() {
    let never = Gate::closed();
    let agent = chat_agent("stays-open", move |_| {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        let stream = format!(
            ": ping\r\r\ndata:{}\r\n\r\ndata: {}\n\n",
            chat_delta(
                &json!({"content": [{"type": "text", "text": "<think>hm</think>"}, {"type": "text", "text": "Here."}]})
            ),
            chat_end("stop")
        );
        gzip.write_all(stream.as_bytes()).unwrap();
        gzip.flush().unwrap();
        let bytes = gzip.get_ref().clone();
        Reply::raw("text/event-stream", [Raw::Bytes(bytes), Raw::Hold(never.clone())])
            .header("content-encoding", "gzip")
    })
    .await;
    let task = agent.task().await.unwrap();
    let asked = Instant::now();
    task.complete_turn(1, "hello").await.unwrap();
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
    let lines = task.lines().await.unwrap();
    assert_eq!(lines.last(), Some(&Line::agent("Here.")), "{lines:#?}");
    assert_eq!(agent.model().journal().len(), 1);
}

#[tokio::test]
async fn calls_that_a_server_numbers_all_0_are_called_and_the_last_word_may_be_done() {
    let call = |id: &str, city: &str| {
        let function = json!({"name": "get_weather", "arguments": {"city": city}});
        chat_delta(&json!({"role": "assistant", "tool_calls": [{"index": 0, "id": id, "function": function}]}))
    };
    let setup = AgentSetup::new("numbered-0", move |request| {
        if request.tool_outputs().is_empty() {
            Reply::chat([call("c1", "Oslo"), call("c2", "Rome")])
        } else {
            let whole = json!({"object": "chat.completion", "choices": [{"finish_reason": "stop",
                "message": {"role": "assistant", "content": request.tool_outputs().len().to_string()}}]});
            Reply::plain(200, whole.to_string()).header("content-type", "application/json")
        }
    })
    .tool(
        "get_weather",
        activity_tool("get_weather", "weather-tools", &json!({"city": {"type": "string"}})),
    )
    .configure(|spec| spec.model.api = ModelApi::ChatCompletions);
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "How is it there?").await.unwrap();
    let lines = task.lines().await.unwrap();
    assert_eq!(lines.last(), Some(&Line::agent("2")), "{lines:#?}");
    assert_eq!(agent.model().violations(), Vec::<String>::new());
}

#[tokio::test]
async fn an_error_under_status_200_is_told_in_the_words_of_the_server() {
    let agent = chat_agent("error-under-200", |request| match request.last_user_text().as_str() {
        "json" => Reply::plain(
            200,
            json!({"error": {"code": 400, "message": "no such adapter"}}).to_string(),
        ),
        _ => Reply::raw(
            "text/event-stream",
            ["event: error\ndata: {\"message\": \"no such adapter\", \"code\": 400}\n\n".into()],
        ),
    })
    .await;
    let task = agent.task().await.unwrap();
    for (turn, text) in [(1, "json"), (2, "event")] {
        let error = task.fail_turn(turn, text).await.unwrap();
        assert_eq!(error.category, "model_request_refused");
        assert!(error.message.contains("no such adapter"), "{}", error.message);
    }
    assert_eq!(agent.model().journal().len(), 2);
}

#[tokio::test]
async fn the_same_failure_in_a_row_ends_the_turn_early_and_people_see_why_it_waits() {
    let agent = chat_agent("dead-end", |_| {
        Reply::raw("text/html", ["<html>Sign in first</html>".into()])
    })
    .await;
    let task = agent.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    let error = task.fail_turn(1, "hello").await.unwrap();
    assert_eq!(error.category, "model_no_stream");
    assert!(error.message.contains("Sign in first"), "{}", error.message);
    assert_eq!(agent.model().journal().len(), 6);
    let seen = viewer.until_turn_ended(1).await.unwrap();
    assert_eq!(seen.count("model_attempt_failed"), 5, "{}", seen.summary());
}

#[tokio::test]
async fn the_wait_that_a_provider_asks_for_is_bounded_and_seen() {
    let agent = chat_agent("asks-for-an-hour", |request| match request.number {
        1 => Reply::error(429, "rate_limit_exceeded", "slow down").header("retry-after", "3600"),
        _ => Reply::chat_text("Now."),
    })
    .await;
    let task = agent.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    task.complete_turn(1, "hello").await.unwrap();
    let seen = viewer.until_turn_ended(1).await.unwrap();
    let waits = seen.of_turn("model_attempt_failed", 1).unwrap();
    assert_eq!(waits.data["retry_in_ms"], 1_000);
    assert!(
        waits.data["reason"].as_str().unwrap().contains("slow down"),
        "{}",
        waits.data
    );
}

#[tokio::test]
async fn json_inside_of_a_code_fence_is_the_structured_answer() {
    let text = chat_delta(&json!({"content": "Here:\n```json\n{\"n\": 1}\n```"}));
    let setup = AgentSetup::new("fenced", move |_| {
        let frames = [chat_frame(&text), chat_frame(&chat_end("stop")), "data: [DONE]".into()];
        Reply::raw("text/event-stream", frames)
    })
    .configure(|spec| {
        spec.model.api = ModelApi::ChatCompletions;
        let schema = json!({"schema": {"type": "object", "required": ["n"]}});
        spec.output = serde_json::from_value::<Option<_>>(schema).unwrap();
    });
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    task.complete_turn(1, "hello").await.unwrap();
    let expected = [Line::user("hello"), Line::agent("{\"n\": 1}")];
    assert_eq!(task.lines().await.unwrap(), expected);
    assert_eq!(viewer.until_turn_ended(1).await.unwrap().lines(), expected);
    assert_eq!(agent.model().journal().len(), 1);
}
