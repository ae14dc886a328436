#![allow(clippy::needless_pass_by_value, reason = "tests")]

use steadfast_events::{Message, TextFormat, fold};
use steadfast_projection::{content_of_item, output_message_id};

use super::*;
use crate::{
    failure::RetryClass,
    model::test_support::{CALL, NOW, logged},
};

const PERMANENT: RetryClass = RetryClass::Permanent;
const TRANSIENT: RetryClass = RetryClass::Transient { delay: None };

fn read(chunks: &[Value]) -> (Vec<EventKind>, ChatInterpreter<'static>) {
    let mut interpreter = ChatInterpreter::new(CALL);
    let mut shown = Vec::new();
    for chunk in chunks {
        shown.extend(interpreter.read(chunk, NOW));
    }
    (shown, interpreter)
}

/// Reads a stream to its end.
fn run(chunks: &[Value]) -> (Vec<Message>, Result<ModelResponse, CallFailure>) {
    let (mut shown, mut interpreter) = read(chunks);
    shown.extend(interpreter.close(NOW));
    (fold(&logged(shown)), interpreter.finish())
}

fn delta(delta: Value) -> Value {
    json!({"object": "chat.completion.chunk", "id": "cc_1", "model": "m-1",
        "choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
}

fn end(reason: &str) -> Value {
    json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
}

fn usage() -> Value {
    json!({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 3,
        "prompt_tokens_details": {"cached_tokens": 2}, "completion_tokens_details": {"reasoning_tokens": 1}}})
}

fn fragments(calls: Value) -> Value {
    delta(json!({"tool_calls": calls}))
}

fn calls_of(chunks: &[Value]) -> Vec<(String, String, String)> {
    let mut chunks = chunks.to_vec();
    chunks.push(end("tool_calls"));
    let (messages, response) = run(&chunks);
    let items = response.unwrap().items;
    // What is shown is what the projection of the response shows.
    let projected: Vec<_> = items.iter().filter_map(content_of_item).collect();
    let shown: Vec<_> = messages.into_iter().map(|message| message.content).collect();
    assert_eq!(shown, projected);
    let text = |item: &Value, name: &str| item[name].as_str().unwrap().to_owned();
    items
        .iter()
        .filter(|item| item["type"] == "function_call")
        .map(|item| (text(item, "call_id"), text(item, "name"), text(item, "arguments")))
        .collect()
}

fn call(id: &str, name: &str, arguments: &str) -> (String, String, String) {
    (id.to_owned(), name.to_owned(), arguments.to_owned())
}

#[test]
fn reasoning_and_text_stream_and_end_as_two_messages() {
    let (messages, response) = run(&[
        delta(json!({"role": "assistant", "content": ""})),
        delta(json!({"reasoning_content": "Let me "})),
        delta(json!({"reasoning": "see."})),
        delta(json!({"content": "Hello"})),
        delta(json!({"content": " you"})),
        end("stop"),
        usage(),
    ]);
    let response = response.unwrap();
    assert_eq!(
        response,
        ModelResponse {
            items: vec![
                json!({"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Let me see."}],
                    "chat": {"reasoning": "reasoning_content"}}),
                json!({"type": "message", "role": "assistant", "status": "completed",
                    "content": [{"type": "output_text", "text": "Hello you", "annotations": []}]}),
            ],
            usage: Usage {
                input_tokens: 5,
                cached_input_tokens: 2,
                output_tokens: 3,
                reasoning_tokens: 1,
                model_calls: 1
            },
            response_id: Some("cc_1".into()),
            model: Some("m-1".into()),
            finish_reason: Some("stop".into()),
        }
    );
    let shown: Vec<_> = messages.iter().map(|message| message.content.clone()).collect();
    let projected: Vec<_> = response.items.iter().filter_map(content_of_item).collect();
    assert_eq!(shown, projected);
    assert!(messages.iter().all(|message| message.status == MessageStatus::Done));
    assert_eq!(messages[1].id, output_message_id("task-1", 1, 0, 1));
}

#[test]
fn what_a_call_cost_is_waited_for_but_not_needed() {
    let (_, mut interpreter) = read(&[delta(json!({"content": "Hi"})), end("stop")]);
    assert_eq!(interpreter.progress(), Progress::Finished);
    interpreter.read(&usage(), NOW);
    assert_eq!(interpreter.progress(), Progress::Over);
    let (_, without) = run(&[delta(json!({"content": "Hi"})), end("stop")]);
    assert_eq!(without.unwrap().usage.model_calls, 1);
}

#[test]
fn tool_calls_are_put_together_however_a_server_cuts_them() {
    let (a, b) = (call("c1", "add", "{\"x\":1}"), call("c2", "mul", "{}"));
    let by_index = [
        fragments(json!([{"index": 0, "id": "c1", "type": "function", "function": {"name": "add", "arguments": ""}}])),
        fragments(json!([{"index": 0, "function": {"arguments": "{\"x\""}}])),
        fragments(json!([{"index": 1, "id": "c2", "function": {"name": "mul", "arguments": "{"}}])),
        fragments(
            json!([{"index": 0, "function": {"arguments": ":1}"}}, {"index": 1, "function": {"arguments": "}"}}]),
        ),
    ];
    assert_eq!(calls_of(&by_index), [a.clone(), b.clone()]);
    let at_once = [fragments(json!([
        {"id": "c1", "function": {"name": "add", "arguments": {"x": 1}}},
        {"id": "c2", "function": {"name": "mul", "arguments": "{}"}},
    ]))];
    assert_eq!(calls_of(&at_once), [a.clone(), b.clone()]);
    let all_numbered_zero = [
        fragments(json!([{"index": 0, "id": "c1", "function": {"name": "add", "arguments": "{\"x\":1}"}}])),
        fragments(json!([{"index": 0, "id": "c2", "function": {"name": "mul", "arguments": "{}"}}])),
    ];
    assert_eq!(calls_of(&all_numbered_zero), [a.clone(), b.clone()]);
    let named_in_each_piece = [
        fragments(json!([{"index": 0, "id": "c1", "function": {"name": "add", "arguments": "{\"x\""}}])),
        fragments(json!([{"index": 0, "id": "c1", "function": {"name": "add", "arguments": ":1}"}}])),
        fragments(json!([{"id": "c2", "function": {"name": "mul", "arguments": "{"}}])),
        fragments(json!([{"id": "c2", "function": {"arguments": "}"}}])),
    ];
    assert_eq!(calls_of(&named_in_each_piece), [a, b]);
}

#[test]
fn the_response_is_the_same_wherever_a_stream_is_cut() {
    let (text, arguments) = ("Ich höre: né 雪!", "{\"q\":\"雪 née\"}");
    let pieces = |whole: &str, at: usize| {
        let (one, other) = whole.split_at(whole.floor_char_boundary(at));
        [one.to_owned(), other.to_owned()]
    };
    let expected = run(&response_in(vec![text.to_owned()], vec![arguments.to_owned()]))
        .1
        .unwrap();
    assert_eq!(expected.items.len(), 2);
    for at in 0..=text.len().max(arguments.len()) {
        let chunks = response_in(pieces(text, at).into(), pieces(arguments, at).into());
        let (mut shown, mut interpreter) = read(&chunks);
        shown.extend(interpreter.close(NOW));
        assert_eq!(interpreter.finish().unwrap(), expected, "{at}");
        // Nor does a viewer see anything else before the end.
        let contents = |events: &[EventKind]| -> Vec<Content> {
            let messages = fold(&logged(events.to_vec()));
            messages.into_iter().map(|message| message.content).collect()
        };
        let (before, _): (Vec<_>, Vec<_>) = shown
            .iter()
            .cloned()
            .partition(|event| !matches!(event, EventKind::MessageDone { .. }));
        let streamed = contents(&before);
        assert_eq!(streamed[0], contents(&shown)[0], "{at}");
    }
}

fn response_in(text: Vec<String>, arguments: Vec<String>) -> Vec<Value> {
    let mut chunks: Vec<Value> = text.into_iter().map(|piece| delta(json!({"content": piece}))).collect();
    chunks.push(fragments(
        json!([{"index": 0, "id": "c1", "function": {"name": "add"}}]),
    ));
    chunks.extend(
        arguments
            .into_iter()
            .map(|piece| fragments(json!([{"index": 0, "function": {"arguments": piece}}]))),
    );
    chunks.push(end("tool_calls"));
    chunks
}

#[test]
fn a_call_without_an_id_gets_one() {
    let chunks = [
        fragments(json!([{"function": {"name": "add", "arguments": "{}"}}])),
        fragments(json!([{"id": "", "function": {"name": "mul", "arguments": "{"}}])),
        fragments(json!([{"function": {"arguments": "}"}}])),
    ];
    assert_eq!(
        calls_of(&chunks),
        [call("call_1_0_0", "add", "{}"), call("call_1_0_1", "mul", "{}")]
    );
}

#[test]
fn a_call_that_never_gets_a_name_is_none() {
    let nameless = fragments(json!([{"index": 0, "id": "c1"}]));
    assert_eq!(calls_of(&[delta(json!({"content": "I add."})), nameless.clone()]), []);
    let failure = run(&[nameless, end("tool_calls")]).1.unwrap_err();
    assert_eq!((failure.category, failure.retry), ("model_stream_error", TRANSIENT));
}

#[test]
fn text_after_a_call_keeps_its_place() {
    let chunks = [
        fragments(json!([{"index": 0, "id": "c1", "function": {"name": "add", "arguments": "{}"}}])),
        delta(json!({"content": "I add."})),
    ];
    assert_eq!(calls_of(&chunks), [call("c1", "add", "{}")]);
}

#[test]
fn a_refusal_is_a_message() {
    let (messages, response) = run(&[delta(json!({"refusal": "I cannot."})), end("stop")]);
    assert_eq!(
        response.unwrap().items[0]["content"],
        json!([{"type": "refusal", "refusal": "I cannot."}])
    );
    assert_eq!(messages.len(), 1);
}

#[test]
fn only_a_finished_response_is_a_success() {
    let said = delta(json!({"content": "Hel"}));
    for (last, category, retry) in [
        (None, "model_stream_ended", TRANSIENT),
        (Some(end("length")), "model_output_truncated", PERMANENT),
        (Some(end("content_filter")), "content_policy", PERMANENT),
        (Some(end("error")), "model_stream_error", TRANSIENT),
        // Mistral; DeepSeek.
        (Some(end("model_length")), "model_output_truncated", PERMANENT),
        (
            Some(end("insufficient_system_resource")),
            "model_stream_error",
            TRANSIENT,
        ),
        (
            Some(json!({"error": {"code": 503, "message": "busy"}})),
            "model_unavailable",
            TRANSIENT,
        ),
        (Some(json!({"error": "went away"})), "model_stream_error", TRANSIENT),
        (
            Some(json!({"object": "error", "code": 400, "message": "maximum context length is 1"})),
            "context_length_exceeded",
            PERMANENT,
        ),
    ] {
        let chunks: Vec<Value> = std::iter::once(said.clone()).chain(last.clone()).collect();
        let error = run(&chunks).1.unwrap_err();
        assert_eq!((error.category, error.retry), (category, retry), "{last:?}");
    }
}

#[test]
fn chunks_of_no_known_shape_are_passed_over() {
    let (messages, response) = run(&[
        Value::Null,
        json!("ping"),
        json!({"choices": [{"delta": null}]}),
        json!({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}),
    ]);
    assert_eq!((messages.len(), response.unwrap().items.len()), (1, 1));
}

#[test]
fn what_was_said_stays_when_a_call_is_stopped() {
    let (mut shown, interpreter) = read(&[
        delta(json!({"reasoning_content": "hm"})),
        delta(json!({"content": "Hel"})),
        fragments(json!([{"index": 0, "id": "c1", "function": {"name": "add", "arguments": "{"}}])),
    ]);
    let (more, response) = interpreter.interrupt(NOW);
    shown.extend(more);
    let messages = fold(&logged(shown));
    assert_eq!(response.items, [incomplete_message("Hel")]);
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].id, output_message_id("task-1", 1, 0, 0));
    assert_eq!(messages[0].status, MessageStatus::Interrupted);
    assert_eq!(messages[0].content, Content::text("Hel", TextFormat::Markdown));
}

#[test]
fn a_call_of_a_custom_tool_is_an_item_of_its_own_type() {
    let fragment = |custom: Value| fragments(json!([{"index": 0, "id": "c1", "type": "custom", "custom": custom}]));
    let (_, response) = run(&[
        fragment(json!({"name": "edit", "input": "some "})),
        fragment(json!({"input": "text"})),
        end("tool_calls"),
    ]);
    let expected = json!({"type": "custom_tool_call", "status": "completed", "call_id": "c1", "name": "edit", "input": "some text"});
    assert_eq!(response.unwrap().items, [expected]);
}

mod quirks;
