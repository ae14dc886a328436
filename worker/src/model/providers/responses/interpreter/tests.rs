use steadfast_events::{Message, TextFormat, fold};
use steadfast_projection::output_message_id;

use super::*;
use crate::{
    failure::RetryClass,
    model::test_support::{CALL, NOW, logged},
};

fn message_item(text: &str) -> Value {
    json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]})
}

fn read(events: &[Value]) -> (Vec<EventKind>, ResponsesInterpreter<'static>) {
    let mut interpreter = ResponsesInterpreter::new(CALL);
    let mut shown = Vec::new();
    for event in events {
        shown.extend(interpreter.read(event.clone(), NOW));
    }
    (shown, interpreter)
}

fn run(events: &[Value]) -> (Vec<Message>, Result<ModelResponse, CallFailure>) {
    let (shown, interpreter) = read(events);
    (fold(&logged(shown)), interpreter.finish())
}

fn interrupted(events: &[Value]) -> (Vec<Message>, ModelResponse) {
    let (mut shown, interpreter) = read(events);
    let (more, response) = interpreter.interrupt(NOW);
    shown.extend(more);
    (fold(&logged(shown)), response)
}

#[test]
fn text_streams_and_ends_as_one_message() {
    let item = message_item("Hello you");
    let (messages, response) = run(&[
        json!({"type": "response.created", "response": {"id": "resp_1", "model": "gpt-5-mini-2025"}}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "message"}}),
        json!({"type": "response.output_text.delta", "output_index": 0, "delta": "Hello"}),
        json!({"type": "response.output_text.delta", "output_index": 0, "delta": " you"}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": item}),
        json!({"type": "response.completed", "response": {"status": "completed", "output": [item],
            "usage": {"input_tokens": 3, "output_tokens": 2}}}),
    ]);
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].content, Content::text("Hello you", TextFormat::Markdown));
    assert_eq!(messages[0].status, MessageStatus::Done);
    let usage = Usage {
        input_tokens: 3,
        output_tokens: 2,
        model_calls: 1,
        ..Usage::default()
    };
    assert_eq!(
        response.unwrap(),
        ModelResponse {
            items: vec![item],
            usage,
            response_id: Some("resp_1".into()),
            model: Some("gpt-5-mini-2025".into()),
            finish_reason: Some("completed".into()),
        }
    );
}

#[test]
fn items_without_indices_are_told_apart_by_their_ids() {
    // llama.cpp: an item ends after the one that follows it has begun.
    let reasoning = json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "",
        "content": [{"type": "reasoning_text", "text": "I look."}]});
    let call = json!({"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "add", "arguments": "{\"x\":1}"});
    let (shown, interpreter) = read(&[
        json!({"type": "response.created", "response": {"id": "resp_1"}}),
        json!({"type": "response.output_item.added", "item": {"type": "reasoning", "id": "rs_1", "summary": []}}),
        json!({"type": "response.reasoning_text.delta", "item_id": "rs_1", "delta": "I look."}),
        json!({"type": "response.output_item.added",
            "item": {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "add", "arguments": ""}}),
        json!({"type": "response.function_call_arguments.delta", "item_id": "fc_1", "delta": "{\"x\":1}"}),
        json!({"type": "response.output_item.done", "item": reasoning}),
        json!({"type": "response.output_item.done", "item": call}),
        json!({"type": "response.completed", "response": {"status": "completed", "output": [reasoning, call]}}),
    ]);
    let kinds: Vec<&str> = shown
        .iter()
        .map(|event| match event {
            EventKind::MessageStarted { .. } => "started",
            EventKind::ReasoningDelta { .. } => "thought",
            EventKind::ToolArgumentsDelta { .. } => "arguments",
            EventKind::MessageDone { .. } => "done",
            _ => "other",
        })
        .collect();
    assert_eq!(kinds, ["started", "thought", "started", "arguments", "done", "done"]);
    let messages = fold(&logged(shown));
    assert_eq!(messages.len(), 2);
    assert!(matches!(&messages[0].content, Content::Reasoning { content, .. } if *content == ["I look."]));
    assert!(matches!(&messages[1].content, Content::ToolRequest { name, .. } if name == "add"));
    assert_eq!(interpreter.finish().unwrap().items, [reasoning, call]);
}

#[test]
fn a_stream_without_a_last_word_is_retried() {
    let (_, response) = run(&[
        json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "message"}}),
        json!({"type": "response.output_text.delta", "output_index": 0, "delta": "Hel"}),
    ]);
    let error = response.unwrap_err();
    assert_eq!(
        (error.category, error.retry),
        ("model_stream_ended", RetryClass::Transient { delay: None })
    );
}

#[test]
fn incomplete_and_failed_are_no_success() {
    for (event, category) in [
        (
            json!({"type": "response.incomplete", "response": {"incomplete_details": {"reason": "max_output_tokens"}}}),
            "model_output_truncated",
        ),
        (
            json!({"type": "response.completed", "response": {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}}),
            "content_policy",
        ),
        (
            json!({"type": "response.failed", "response": {"error": {"code": "server_error", "message": "oops"}}}),
            "model_stream_error",
        ),
        (
            json!({"type": "error", "error": {"code": "context_length_exceeded", "message": "long"}}),
            "context_length_exceeded",
        ),
        (
            json!({"type": "error", "code": "rate_limit_exceeded", "message": "slow"}),
            "model_rate_limit",
        ),
    ] {
        assert_eq!(
            run(std::slice::from_ref(&event)).1.unwrap_err().category,
            category,
            "{event}"
        );
    }
}

#[test]
fn events_nobody_knows_are_passed_over() {
    let (messages, response) = run(&[
        json!({"type": "keepalive"}),
        json!({"type": "acme:telemetry", "delta": {"a": 1}}),
        json!({"type": "response.completed", "response": {"output": [message_item("Hi")]}}),
    ]);
    assert_eq!(messages.len(), 1);
    assert!(response.is_ok());
}

#[test]
fn items_are_rebuilt_where_the_last_event_has_none() {
    let (_, response) = run(&[
        json!({"type": "response.output_item.done", "output_index": 0, "item": message_item("Hi")}),
        json!({"type": "response.completed", "response": {"output": []}}),
    ]);
    assert_eq!(response.unwrap().items, [message_item("Hi")]);
}

#[test]
fn tool_arguments_stream_into_a_request() {
    let call =
        json!({"type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": "{\"city\":\"Oslo\"}"});
    let (messages, _) = run(&[
        json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "function_call", "call_id": "c1", "name": "get_weather"}}),
        json!({"type": "response.function_call_arguments.delta", "output_index": 0, "delta": "{\"city\":"}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": call}),
        json!({"type": "response.completed", "response": {"output": [call]}}),
    ]);
    assert_eq!(messages.len(), 1);
    assert_eq!(
        messages[0].content,
        Content::ToolRequest {
            tool_call_id: "c1".into(),
            name: "get_weather".into(),
            arguments: json!({"city": "Oslo"})
        }
    );
}

#[test]
fn what_was_said_stays_when_a_call_is_stopped() {
    let reasoning = json!({"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "hm"}]});
    let first = json!({"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "One."}]});
    let (messages, response) = interrupted(&[
        json!({"type": "response.created", "response": {"id": "resp_1"}}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": reasoning}),
        json!({"type": "response.output_item.done", "output_index": 1, "item": first}),
        json!({"type": "response.output_item.done", "output_index": 2, "item":
            {"type": "function_call", "call_id": "c", "name": "t", "arguments": "{}"}}),
        json!({"type": "response.output_text.delta", "output_index": 3, "delta": "Two"}),
        json!({"type": "response.output_item.added", "output_index": 4, "item":
            {"type": "function_call", "call_id": "d", "name": "t"}}),
    ]);
    assert_eq!(response.items, [message_item("One."), incomplete_message("Two")]);
    assert_eq!(response.response_id.as_deref(), Some("resp_1"));
    let shown: Vec<_> = messages
        .iter()
        .map(|message| (&message.content, message.status))
        .collect();
    let text = |text: &str| Content::text(text, TextFormat::Markdown);
    assert_eq!(
        shown,
        [
            (&text("One."), MessageStatus::Done),
            (&text("Two"), MessageStatus::Interrupted)
        ]
    );
    // The ids are those that the kept items have by their places.
    for (index, message) in (0..).zip(&messages) {
        assert_eq!(message.id, output_message_id("task-1", 1, 0, index));
    }
}

#[test]
fn a_call_that_is_stopped_before_its_first_word_leaves_nothing() {
    let (messages, response) =
        interrupted(&[json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "message"}})]);
    assert_eq!(
        (messages.len(), response.items.len(), response.usage.model_calls),
        (0, 0, 1)
    );
}

#[test]
fn a_hosted_tool_is_shown_while_it_runs_and_with_its_result() {
    let item = json!({"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"query": "rust"}});
    let begun = json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "web_search_call", "id": "ws_1"}});
    let (messages, _) = run(std::slice::from_ref(&begun));
    assert_eq!((messages.len(), messages[0].status), (1, MessageStatus::InProgress));
    let (messages, response) = run(&[
        begun,
        json!({"type": "response.output_item.done", "output_index": 0, "item": item}),
        json!({"type": "response.completed", "response": {"output": [item]}}),
    ]);
    assert_eq!(messages.len(), 2);
    assert!(matches!(&messages[1].content, Content::ToolResponse { name, .. } if name == "web_search"));
    assert_eq!(response.unwrap().items, [item]);
}

#[test]
fn an_error_without_a_type_inside_a_good_status_is_an_error() {
    let (_, response) = run(&[json!({"error": {"message": "boom", "type": "server_error"}})]);
    assert_eq!(response.unwrap_err().category, "model_stream_error");
}

#[test]
fn a_whole_answer_in_json_is_read_and_an_error_is_told() {
    let item = message_item("Hi");
    let (messages, response) = run(&[
        json!({"id": "resp_1", "object": "response", "status": "completed", "error": null,
        "output": [item], "usage": {"input_tokens": 3}}),
    ]);
    let response = response.unwrap();
    assert_eq!(
        (messages.len(), response.items, response.usage.input_tokens),
        (1, vec![item], 3)
    );
    for (document, category) in [
        (
            json!({"object": "response", "status": "failed", "error": {"code": "server_error", "message": "oops"}}),
            "model_stream_error",
        ),
        (
            json!({"error": {"message": "oops", "code": 401}}),
            "model_authentication",
        ),
        (json!({"detail": "oops"}), "model_stream_error"),
    ] {
        let failure = run(std::slice::from_ref(&document)).1.unwrap_err();
        assert_eq!(failure.category, category, "{document}");
        assert!(failure.message.contains("oops"), "{failure}");
    }
}

#[test]
fn a_stream_whose_server_says_that_it_is_over_counts_if_its_items_are_whole() {
    let begun = [
        json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "message"}}),
        json!({"type": "response.output_text.delta", "output_index": 0, "delta": "Hi"}),
    ];
    let call = json!({"type": "response.output_item.added", "output_index": 1, "item": {"type": "function_call", "call_id": "c", "name": "t"}});
    let done = json!("[DONE]");
    let (messages, response) = run(&[begun[0].clone(), begun[1].clone(), done.clone()]);
    assert_eq!(response.unwrap().items[0]["content"][0]["text"], "Hi");
    assert_eq!(messages[0].status, MessageStatus::Done);
    for events in [vec![done.clone()], vec![begun[0].clone(), begun[1].clone(), call, done]] {
        assert_eq!(run(&events).1.unwrap_err().category, "model_stream_ended", "{events:?}");
    }
}

#[test]
fn what_gateways_forget_after_the_pieces_is_kept() {
    let added =
        |index: u32, item: Value| json!({"type": "response.output_item.added", "output_index": index, "item": item});
    let text = |delta: &str| json!({"type": "response.output_text.delta", "output_index": 0, "delta": delta});
    let done = |item: Value| json!({"type": "response.output_item.done", "output_index": 0, "item": item});
    let arguments = |kind: &str, member: &str, text: &str| json!({"type": format!("response.function_call_arguments.{kind}"), "output_index": 1, member: text});
    let call =
        json!({"type": "function_call", "call_id": "c1", "name": "add", "arguments": "", "status": "in_progress"});
    let empty = json!({"type": "message", "role": "assistant", "content": []});
    let completed =
        |output: Value| json!({"type": "response.completed", "response": {"status": "completed", "output": output}});
    for (gateway, events) in [
        (
            "no items at all",
            vec![
                added(0, json!({"type": "message"})),
                text("Hel"),
                text("lo"),
                added(1, call.clone()),
                arguments("delta", "delta", "{\"x\""),
                arguments("delta", "delta", ":1}"),
                completed(json!([])),
            ],
        ),
        (
            "an item without its text, and arguments at their end only",
            vec![
                added(0, json!({"type": "message"})),
                text("Hello"),
                done(empty.clone()),
                added(1, call.clone()),
                arguments("done", "arguments", "{\"x\":1}"),
                completed(Value::Null),
            ],
        ),
        (
            "an item that ends before its text",
            vec![
                text("Hel"),
                done(message_item("Hel")),
                text("lo"),
                added(1, call.clone()),
                arguments("delta", "delta", "{\"x\":1}"),
                completed(json!([])),
            ],
        ),
        (
            "a last event without what the pieces have told",
            vec![
                text("Hello"),
                added(1, call.clone()),
                arguments("delta", "delta", "{\"x\":1}"),
                completed(json!([empty, call])),
            ],
        ),
    ] {
        let (messages, response) = run(&events);
        let items = response.unwrap().items;
        assert_eq!(items.len(), 2, "{gateway}");
        assert_eq!(items[0]["content"][0]["text"], "Hello", "{gateway}");
        assert_eq!(
            (&items[1]["name"], &items[1]["arguments"]),
            (&json!("add"), &json!("{\"x\":1}")),
            "{gateway}"
        );
        // What is shown is what the projection of the response shows.
        let shown: Vec<Content> = messages.into_iter().map(|message| message.content).collect();
        let projected: Vec<Content> = items.iter().filter_map(steadfast_projection::content_of_item).collect();
        assert_eq!(shown, projected, "{gateway}");
    }
}
