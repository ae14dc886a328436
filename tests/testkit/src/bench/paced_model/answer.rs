//! The events of the Responses stream, as text. Pure.

use std::fmt::Write as _;

use axum::body::Bytes;
use serde_json::{Value, json};

use super::{TOOL, Work};

/// Collects the events of one response.
struct Events {
    id: String,
    number: usize,
    sequence: u32,
    text: String,
}

impl Events {
    fn new(number: usize) -> Self {
        Self {
            id: format!("resp_{number}"),
            number,
            sequence: 0,
            text: String::new(),
        }
    }

    fn push(&mut self, kind: &str, mut event: Value) {
        event["type"] = kind.into();
        event["sequence_number"] = self.sequence.into();
        self.sequence += 1;
        // Writing to a string cannot fail.
        let _ = write!(self.text, "event: {kind}\ndata: {event}\n\n");
    }

    fn response(&self, status: &str, output: &Value) -> Value {
        let usage = json!({
            "input_tokens": 11, "input_tokens_details": {"cached_tokens": 3}, "output_tokens": 7,
            "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 18,
        });
        json!({
            "id": self.id, "object": "response", "created_at": 1_763_000_000, "status": status, "model": "scripted",
            "output": output, "error": null, "incomplete_details": null, "instructions": null, "metadata": {},
            "parallel_tool_calls": true, "temperature": 1.0, "tool_choice": "auto", "tools": [], "top_p": 1.0,
            "usage": if status == "completed" { usage } else { Value::Null },
        })
    }

    fn opened(&mut self) {
        let response = self.response("in_progress", &json!([]));
        self.push("response.created", json!({"response": response}));
        self.push("response.in_progress", json!({"response": response}));
    }

    fn closed(&mut self, item: &Value) {
        let response = self.response("completed", &json!([item]));
        self.push("response.completed", json!({"response": response}));
    }

    fn take(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.text))
    }
}

/// A whole response that asks for the tool.
pub(super) fn call(number: usize, work: &Work, step: u32) -> Bytes {
    let mut events = Events::new(number);
    let (item_id, call_id) = (format!("fc_{number}"), format!("call_{}_{step}", work.run));
    let arguments = json!({"of": format!("{}-{step}", work.run), "size": work.result_bytes}).to_string();
    let item = |status: &str, arguments: &str| {
        json!({
            "id": item_id, "type": "function_call", "status": status, "call_id": call_id, "name": TOOL,
            "arguments": arguments,
        })
    };
    events.opened();
    events.push(
        "response.output_item.added",
        json!({"output_index": 0, "item": item("in_progress", "")}),
    );
    for (kind, member) in [("delta", "delta"), ("done", "arguments")] {
        let mut event = json!({"output_index": 0, "item_id": item_id, "name": TOOL});
        event[member] = arguments.clone().into();
        events.push(&format!("response.function_call_arguments.{kind}"), event);
    }
    let done = item("completed", &arguments);
    events.push("response.output_item.done", json!({"output_index": 0, "item": done}));
    events.closed(&done);
    events.take()
}

/// A response with a text, in pieces.
pub(super) struct TextAnswer {
    events: Events,
    text: String,
}

impl TextAnswer {
    pub(super) fn new(number: usize) -> Self {
        Self {
            events: Events::new(number),
            text: String::new(),
        }
    }

    fn item_id(&self) -> String {
        format!("msg_{}", self.events.number)
    }

    fn item(&self, status: &str, content: &Value) -> Value {
        json!({"id": self.item_id(), "type": "message", "status": status, "role": "assistant", "content": content})
    }

    /// Everything before the first delta.
    pub(super) fn start(&mut self) -> Bytes {
        self.events.opened();
        let item = self.item("in_progress", &json!([]));
        self.events
            .push("response.output_item.added", json!({"output_index": 0, "item": item}));
        let part = json!({"type": "output_text", "text": "", "annotations": [], "logprobs": []});
        let event = json!({"output_index": 0, "content_index": 0, "item_id": self.item_id(), "part": part});
        self.events.push("response.content_part.added", event);
        self.events.take()
    }

    pub(super) fn delta(&mut self, text: &str) -> Bytes {
        self.text.push_str(text);
        let event = json!({
            "output_index": 0, "content_index": 0, "item_id": self.item_id(), "delta": text, "logprobs": [],
        });
        self.events.push("response.output_text.delta", event);
        self.events.take()
    }

    /// Everything after the last delta.
    pub(super) fn end(&mut self) -> Bytes {
        let place = json!({"output_index": 0, "content_index": 0, "item_id": self.item_id()});
        let mut done = place.clone();
        done["text"] = self.text.clone().into();
        done["logprobs"] = json!([]);
        self.events.push("response.output_text.done", done);
        let part = json!({"type": "output_text", "text": self.text, "annotations": [], "logprobs": []});
        let mut done = place;
        done["part"] = part.clone();
        self.events.push("response.content_part.done", done);
        let item = self.item("completed", &json!([part]));
        self.events
            .push("response.output_item.done", json!({"output_index": 0, "item": item}));
        self.events.closed(&item);
        self.events.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The events of a stream in the order of their sequence numbers.
    fn kinds(chunks: &[Bytes]) -> Vec<String> {
        let text: String = chunks.iter().map(|chunk| std::str::from_utf8(chunk).unwrap()).collect();
        let events: Vec<Value> = text
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .map(|data| serde_json::from_str(data).unwrap())
            .collect();
        for (number, event) in events.iter().enumerate() {
            assert_eq!(event["sequence_number"], number);
        }
        events
            .iter()
            .map(|event| {
                event["type"]
                    .as_str()
                    .unwrap()
                    .trim_start_matches("response.")
                    .to_owned()
            })
            .collect()
    }

    #[test]
    fn a_text_and_a_call_are_complete_streams() {
        let mut text = TextAnswer::new(1);
        let chunks = [text.start(), text.delta("a "), text.delta("b "), text.end()];
        assert!(std::str::from_utf8(&chunks[3]).unwrap().contains("\"text\":\"a b \""));
        let expected = [
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "completed",
        ];
        assert_eq!(kinds(&chunks), expected);

        let work = "run=a calls=1 result_bytes=3 deltas=1 pace_ms=1;".parse().unwrap();
        let expected = [
            "created",
            "in_progress",
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
            "completed",
        ];
        assert_eq!(kinds(&[call(2, &work, 0)]), expected);
    }
}
