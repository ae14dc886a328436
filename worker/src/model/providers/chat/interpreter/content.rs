//! What the members of a message say: text, refusals and reasoning, as a string, as
//! a list of parts, or in one of the members that servers have for thinking. Pure.

use std::borrow::Cow;

use serde_json::Value;

/// What a piece of a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Refusal,
    Reasoning,
}

/// The pieces of `content` in their order.
pub(super) fn pieces_of_content(content: &Value) -> Vec<(Kind, Cow<'_, str>)> {
    match content {
        Value::String(text) => vec![(Kind::Text, Cow::Borrowed(text))],
        Value::Array(parts) => parts.iter().flat_map(pieces_of_content).collect(),
        Value::Object(_) => piece_of_part(content).into_iter().collect(),
        _ => Vec::new(),
    }
}

fn piece_of_part(part: &Value) -> Option<(Kind, Cow<'_, str>)> {
    let kind = part["type"].as_str().unwrap_or("text");
    let (kind, names): (Kind, &[&str]) = match kind {
        "text" | "output_text" => (Kind::Text, &["text", "content"]),
        "refusal" => (Kind::Refusal, &["refusal", "text"]),
        _ if kind.contains("think") || kind.contains("reason") => (
            Kind::Reasoning,
            &[
                "thinking",
                "reasoning",
                "reasoning_content",
                "text",
                "summary",
                "content",
            ],
        ),
        // References, images and the like.
        _ => return None,
    };
    names
        .iter()
        .find_map(|name| joined(&part[*name]))
        .map(|text| (kind, text))
}

/// The reasoning of a message, and the name of the member that it stands in: the first of several that say the same.
/// A member that a request gives back whole has no name.
pub(super) fn reasoning_of(delta: &Value) -> Option<(Option<&'static str>, Cow<'_, str>)> {
    let named = ["reasoning_content", "reasoning"]
        .into_iter()
        .find_map(|name| Some((Some(name), joined(&delta[name])?)));
    named.or_else(|| {
        ["thinking", "thinking_blocks", "reasoning_details"]
            .iter()
            .find_map(|name| joined(&delta[*name]))
            .map(|text| (None, text))
    })
}

/// The text of a string, an object or a list; none if it has none.
fn joined(value: &Value) -> Option<Cow<'_, str>> {
    let text = match value {
        Value::String(text) => Cow::Borrowed(text.as_str()),
        Value::Array(values) => {
            let texts: Vec<Cow<'_, str>> = values.iter().filter_map(joined).collect();
            match <[Cow<'_, str>; 1]>::try_from(texts) {
                Ok([text]) => text,
                Err(texts) => Cow::Owned(texts.concat()),
            }
        }
        Value::Object(_) => ["text", "thinking", "content", "summary", "value"]
            .iter()
            .find_map(|name| joined(&value[*name]))?,
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}
