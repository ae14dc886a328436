//! Whether a screen shows the messages that the API has. Pure.

use anyhow::{Context as _, ensure};
use serde_json::Value;

/// Compares what the API has with what the screen shows. A tool call and its result are one card, where the call is.
pub(super) fn same(messages: &[Value], screen: &[Value]) -> anyhow::Result<()> {
    let cards = messages
        .iter()
        .filter(|message| message["content"]["type"] != "tool_response");
    let ids: Vec<&str> = cards.filter_map(own_id).collect();
    let on_screen: Vec<&str> = screen.iter().filter_map(|element| element["id"].as_str()).collect();
    ensure!(ids == on_screen, "{ids:?} are not {on_screen:?}");
    for message in messages {
        let (id, content) = (own_id(message), &message["content"]);
        let element = screen.iter().find(|element| {
            [&element["id"], &element["response_id"]]
                .iter()
                .any(|shown| shown.as_str() == id)
        });
        let text = element.with_context(|| format!("{message} is not on the screen"))?["text"]
            .as_str()
            .unwrap_or_default();
        let shows = |part: &Value| match part {
            Value::String(part) => text.contains(part.as_str()),
            part => text.contains(&part.to_string()),
        };
        let is_shown = match content["type"].as_str() {
            // An answer that is JSON is a table.
            Some("text") => match structured(&content["content"]) {
                Some(answer) => leaves(&answer).into_iter().all(shows),
                // Markdown has no space at the end, where the next word may come.
                None => content["content"].as_str().map(str::trim_end) == Some(text.trim_end()),
            },
            Some("reasoning") => [&content["summary"], &content["content"]]
                .iter()
                .filter_map(|parts| parts.as_array())
                .flatten()
                .all(shows),
            Some("tool_request") => leaves(&content["arguments"]).into_iter().all(shows),
            Some("tool_response") => leaves(&content["content"]).into_iter().all(shows),
            _ => true,
        };
        ensure!(is_shown, "{message} is shown as {text:?}");
    }
    Ok(())
}

/// The object or list that a text is.
fn structured(text: &Value) -> Option<Value> {
    let value: Value = serde_json::from_str(text.as_str()?).ok()?;
    (value.is_object() || value.is_array()).then_some(value)
}

/// What stands at the ends of a value.
fn leaves(value: &Value) -> Vec<&Value> {
    match value {
        Value::Object(members) => members.values().flat_map(leaves).collect(),
        Value::Array(items) => items.iter().flat_map(leaves).collect(),
        leaf => vec![leaf],
    }
}

/// The id of a message in the log; in the API it stands after the id of the task.
fn own_id(message: &Value) -> Option<&str> {
    message["id"].as_str()?.rsplit('.').next()
}
