//! One constructor per event of the Responses stream. `render` adds the member
//! `sequence_number`.

use serde_json::{Value, json};

/// The response object without output.
pub(super) fn response(id: &str, model: &str, status: &str) -> Value {
    json!({
        "id": id, "object": "response", "created_at": 1_763_000_000, "status": status, "model": model,
        "output": [], "error": null, "incomplete_details": null, "usage": null, "metadata": {},
    })
}

pub fn ev_created(response: &Value) -> Value {
    json!({"type": "response.created", "response": response})
}

pub fn ev_in_progress(response: &Value) -> Value {
    json!({"type": "response.in_progress", "response": response})
}

pub fn ev_output_item_added(output_index: usize, item: &Value) -> Value {
    json!({"type": "response.output_item.added", "output_index": output_index, "item": item})
}

pub fn ev_output_item_done(output_index: usize, item: &Value) -> Value {
    json!({"type": "response.output_item.done", "output_index": output_index, "item": item})
}

pub fn ev_output_text_delta(output_index: usize, item_id: &str, delta: &str) -> Value {
    json!({
        "type": "response.output_text.delta", "output_index": output_index, "content_index": 0,
        "item_id": item_id, "delta": delta, "logprobs": [],
    })
}

pub fn ev_reasoning_summary_text_delta(output_index: usize, item_id: &str, delta: &str) -> Value {
    json!({
        "type": "response.reasoning_summary_text.delta", "output_index": output_index, "summary_index": 0,
        "item_id": item_id, "delta": delta,
    })
}

pub fn ev_completed(response: &Value) -> Value {
    json!({"type": "response.completed", "response": response})
}

pub fn ev_incomplete(response: &Value) -> Value {
    json!({"type": "response.incomplete", "response": response})
}

pub fn ev_failed(response: &Value) -> Value {
    json!({"type": "response.failed", "response": response})
}

/// The error is a nested object, as the provider sends it and not as its documentation says.
pub fn ev_error(code: &str, message: &str) -> Value {
    json!({"type": "error", "error": {"type": code, "code": code, "message": message, "param": null}})
}

/// An event of the only content part of a message.
pub(super) fn ev_content_part(stage: &str, output_index: usize, item_id: &str, part: &Value) -> Value {
    json!({
        "type": format!("response.content_part.{stage}"), "output_index": output_index, "content_index": 0,
        "item_id": item_id, "part": part,
    })
}

/// An event of the only summary part of a reasoning item.
pub(super) fn ev_summary_part(stage: &str, output_index: usize, item_id: &str, part: &Value) -> Value {
    json!({
        "type": format!("response.reasoning_summary_part.{stage}"), "output_index": output_index,
        "summary_index": 0, "item_id": item_id, "part": part,
    })
}

/// A delta, or the complete text, of an item.
pub(super) fn ev_of_item(kind: &str, output_index: usize, item_id: &str, member: &str, text: &str) -> Value {
    let mut event = json!({"type": kind, "output_index": output_index, "item_id": item_id});
    event[member] = Value::String(text.to_owned());
    if kind.starts_with("response.refusal") || kind.starts_with("response.output_text") {
        event["content_index"] = 0.into();
    }
    if kind.starts_with("response.reasoning_summary_text") {
        event["summary_index"] = 0.into();
    }
    event
}
