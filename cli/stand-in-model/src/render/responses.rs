//! The stream of the Responses API.

use serde_json::{Value, json};

use super::Timed;
use crate::fixtures::{Answer, ToolCall};

/// The events of an answer; `id` is unique for each response.
pub(crate) fn responses(id: &str, model: &str, answer: &Answer) -> Vec<Timed> {
    let mut stream = Stream::new(id, answer);
    let opened = response(id, model, "in_progress");
    stream.event(json!({"type": "response.created", "response": opened}));
    stream.event(json!({"type": "response.in_progress", "response": opened}));
    if !answer.reasoning.is_empty() {
        stream.reasoning();
    }
    if !answer.text.is_empty() {
        stream.message();
    }
    for call in &answer.tool_calls {
        stream.function_call(call);
    }
    let mut closed = response(id, model, "completed");
    closed["output"] = Value::Array(std::mem::take(&mut stream.output));
    let (input, output) = (answer.usage.input_tokens, answer.usage.output_tokens);
    closed["usage"] = json!({
        "input_tokens": input, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": input + output,
    });
    stream.event(json!({"type": "response.completed", "response": closed}));
    stream.events
}

fn response(id: &str, model: &str, status: &str) -> Value {
    json!({
        "id": id, "object": "response", "created_at": 0, "status": status, "model": model, "output": [],
        "error": null, "incomplete_details": null, "usage": null, "metadata": {},
    })
}

struct Stream<'a> {
    id: &'a str,
    answer: &'a Answer,
    events: Vec<Timed>,
    /// The finished items.
    output: Vec<Value>,
}

impl<'a> Stream<'a> {
    fn new(id: &'a str, answer: &'a Answer) -> Self {
        Self {
            id,
            answer,
            events: Vec::new(),
            output: Vec::new(),
        }
    }

    fn event(&mut self, mut data: Value) {
        data["sequence_number"] = self.events.len().into();
        self.events.push(Timed::now(data));
    }

    /// An event of an item, with its place.
    fn of_item(&mut self, kind: &str, id: &str, members: Value) {
        let mut event = json!({"type": kind, "output_index": self.output.len(), "item_id": id});
        if let (Some(event), Value::Object(members)) = (event.as_object_mut(), members) {
            event.extend(members);
        }
        self.event(event);
    }

    fn added(&mut self, item: &Value) {
        self.event(json!({"type": "response.output_item.added", "output_index": self.output.len(), "item": item}));
    }

    fn done(&mut self, item: Value) {
        self.event(json!({"type": "response.output_item.done", "output_index": self.output.len(), "item": item}));
        self.output.push(item);
    }

    fn next_id(&self, prefix: &str) -> String {
        format!("{prefix}_{}_{}", self.id, self.output.len())
    }

    fn delta(&mut self, kind: &str, id: &str, members: Value) {
        self.of_item(kind, id, members);
        if let Some(last) = self.events.last_mut() {
            last.pause = self.answer.pause;
        }
    }

    fn reasoning(&mut self) {
        let id = self.next_id("rs");
        let part = |text: &str| json!({"type": "summary_text", "text": text});
        self.added(&json!({"id": id, "type": "reasoning", "summary": []}));
        let added = json!({"summary_index": 0, "part": part("")});
        self.of_item("response.reasoning_summary_part.added", &id, added);
        for piece in self.answer.reasoning.clone() {
            let delta = json!({"summary_index": 0, "delta": piece});
            self.delta("response.reasoning_summary_text.delta", &id, delta);
        }
        let text = self.answer.reasoning.concat();
        let done = json!({"summary_index": 0, "text": text});
        self.of_item("response.reasoning_summary_text.done", &id, done);
        let done = json!({"summary_index": 0, "part": part(&text)});
        self.of_item("response.reasoning_summary_part.done", &id, done);
        self.done(json!({"id": id, "type": "reasoning", "summary": [part(&text)]}));
    }

    fn message(&mut self) {
        let id = self.next_id("msg");
        let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []});
        let item = |status: &str, content: Vec<Value>| json!({"id": id, "type": "message", "role": "assistant", "status": status, "content": content});
        self.added(&item("in_progress", Vec::new()));
        let added = json!({"content_index": 0, "part": part("")});
        self.of_item("response.content_part.added", &id, added);
        for piece in self.answer.text.clone() {
            let delta = json!({"content_index": 0, "delta": piece, "logprobs": []});
            self.delta("response.output_text.delta", &id, delta);
        }
        let text = self.answer.text.concat();
        let done = json!({"content_index": 0, "text": text, "logprobs": []});
        self.of_item("response.output_text.done", &id, done);
        let done = json!({"content_index": 0, "part": part(&text)});
        self.of_item("response.content_part.done", &id, done);
        self.done(item("completed", vec![part(&text)]));
    }

    fn function_call(&mut self, call: &ToolCall) {
        let id = self.next_id("fc");
        let call_id = self.next_id("call");
        let arguments = Value::Object(call.arguments.clone()).to_string();
        let item = |status: &str, arguments: &str| {
            json!({
                "id": id, "type": "function_call", "status": status, "call_id": call_id, "name": call.name,
                "arguments": arguments,
            })
        };
        self.added(&item("in_progress", ""));
        let delta = json!({"delta": arguments});
        self.delta("response.function_call_arguments.delta", &id, delta);
        let done = json!({"arguments": arguments});
        self.of_item("response.function_call_arguments.done", &id, done);
        self.done(item("completed", &arguments));
    }
}
