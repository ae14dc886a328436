//! The stream of the Chat Completions API.

use serde_json::{Value, json};

use super::Timed;
use crate::fixtures::Answer;

/// The chunks of an answer; `id` is unique for each response.
pub(crate) fn chat(id: &str, model: &str, answer: &Answer) -> Vec<Timed> {
    let chunk = |delta: Value, finish_reason: Value| {
        json!({
            "id": id, "object": "chat.completion.chunk", "created": 0, "model": model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
        })
    };
    let mut events = vec![Timed::now(chunk(
        json!({"role": "assistant", "content": ""}),
        Value::Null,
    ))];
    let mut timed = |delta: Value| {
        events.push(Timed {
            pause: answer.pause,
            data: chunk(delta, Value::Null),
        });
    };
    for piece in &answer.reasoning {
        timed(json!({ "reasoning_content": piece }));
    }
    for piece in &answer.text {
        timed(json!({ "content": piece }));
    }
    for (index, call) in answer.tool_calls.iter().enumerate() {
        let arguments = Value::Object(call.arguments.clone()).to_string();
        timed(json!({"tool_calls": [{
            "index": index, "id": format!("call_{id}_{index}"), "type": "function",
            "function": {"name": call.name, "arguments": arguments},
        }]}));
    }
    let finish = if answer.tool_calls.is_empty() {
        "stop"
    } else {
        "tool_calls"
    };
    events.push(Timed::now(chunk(json!({}), finish.into())));
    let (input, output) = (answer.usage.input_tokens, answer.usage.output_tokens);
    events.push(Timed::now(json!({
        "id": id, "object": "chat.completion.chunk", "created": 0, "model": model, "choices": [],
        "usage": {"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output},
    })));
    events
}
