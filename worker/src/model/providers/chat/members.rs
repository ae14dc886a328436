//! The members that a server of the Chat Completions API puts on its messages and calls beside those of the API:
//! signatures, encrypted thoughts, and whatever else it wants back. Pure.
//!
//! They stand in the member `chat` of the items that the answer becomes, and a request to the same model puts them
//! where they were: `call` on the tool call, `function` on its function, `message` on the message (the first item of
//! the answer has them), and the text of a reasoning item under the name `reasoning`.

use serde_json::{Map, Value};

/// The member of an item.
pub(crate) const CHAT: &str = "chat";
/// Below it: the members of a tool call.
pub(crate) const OF_CALL: &str = "call";
/// Below it: the members of the function of a tool call.
pub(crate) const OF_FUNCTION: &str = "function";
/// Below it: the members of the message.
pub(crate) const OF_MESSAGE: &str = "message";
/// Below it: the name of the message's member that has the text of the reasoning.
pub(crate) const REASONING: &str = "reasoning";

/// The members of a message that are read, or that a request does not repeat.
const KNOWN_OF_MESSAGE: [&str; 11] = [
    "role",
    "content",
    "refusal",
    "reasoning_content",
    "reasoning",
    "tool_calls",
    "function_call",
    "annotations",
    "audio",
    "images",
    "name",
];
const KNOWN_OF_CALL: [&str; 5] = ["index", "id", "type", "function", "custom"];
const KNOWN_OF_FUNCTION: [&str; 3] = ["name", "arguments", "input"];
/// Texts inside of members that a stream sends in pieces. Other texts are sent whole, and some with every piece.
const IN_PIECES: [&str; 5] = ["text", "summary", "thinking", "reasoning", "content"];

/// Members of one message or call, from the fragments of a stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Members(Box<Map<String, Value>>);

impl Members {
    /// Takes the unknown members of a message or of a piece of one.
    pub(crate) fn of_message(&mut self, delta: &Value) {
        self.take(delta, &KNOWN_OF_MESSAGE);
    }

    /// Takes the unknown members of a tool call or of a piece of one.
    pub(crate) fn of_call(&mut self, fragment: &Value) {
        self.take(fragment, &KNOWN_OF_CALL);
    }

    /// Takes the unknown members of the function of a tool call.
    pub(crate) fn of_function(&mut self, function: &Value) {
        self.take(function, &KNOWN_OF_FUNCTION);
    }

    fn take(&mut self, fragment: &Value, known: &[&str]) {
        for (name, value) in fragment.as_object().into_iter().flatten() {
            if value.is_null() || known.contains(&name.as_str()) {
                continue;
            }
            match self.0.get_mut(name) {
                None => {
                    self.0.insert(name.clone(), value.clone());
                }
                Some(before) if is_text_of_thoughts(name) => append(before, value),
                Some(before) => merge(name, before, value),
            }
        }
    }

    /// Puts the members into the item, if there are any.
    pub(crate) fn put(&self, item: &mut Value, place: &str) {
        if !self.0.is_empty() {
            put(item, place, Value::Object((*self.0).clone()));
        }
    }
}

/// Puts a value below the member [`CHAT`] of an item.
pub(crate) fn put(item: &mut Value, place: &str, value: Value) {
    let Value::Object(members) = item else { return };
    let of_chat = members
        .entry(CHAT)
        .or_insert_with(|| Value::Object(Map::new()))
        .as_object_mut();
    if let Some(of_chat) = of_chat {
        of_chat.insert(place.to_owned(), value);
    }
}

/// Whether an unknown member of a message is a text that comes in pieces.
fn is_text_of_thoughts(name: &str) -> bool {
    let is_thought = ["reason", "think", "thought"].iter().any(|word| name.contains(word));
    is_thought && !name.contains("signature") && !name.ends_with("id")
}

fn append(before: &mut Value, piece: &Value) {
    match (before, piece) {
        (Value::String(before), Value::String(piece)) => before.push_str(piece),
        (before, piece) => merge("", before, piece),
    }
}

/// Merges a later value of a member into the value so far.
fn merge(name: &str, before: &mut Value, piece: &Value) {
    match (before, piece) {
        (_, Value::Null) => {}
        (Value::String(before), Value::String(piece)) if IN_PIECES.contains(&name) => before.push_str(piece),
        (Value::String(_), Value::String(piece)) if piece.is_empty() => {}
        (Value::Object(before), Value::Object(piece)) => {
            for (name, value) in piece {
                match before.get_mut(name) {
                    Some(before) => merge(name, before, value),
                    None => {
                        before.insert(name.clone(), value.clone());
                    }
                }
            }
        }
        (Value::Array(before), Value::Array(piece)) => {
            for element in piece {
                match before.iter_mut().rev().find(|known| continues(known, element)) {
                    Some(known) => merge("", known, element),
                    None => before.push(element.clone()),
                }
            }
        }
        (before, piece) => *before = piece.clone(),
    }
}

/// Whether an element of a list is a piece of one before it: both have the same type and number, or no number, and the
/// one before has no signature yet, which ends a thought.
fn continues(known: &Value, element: &Value) -> bool {
    let signed = known["signature"].as_str().is_some_and(|text| !text.is_empty());
    known.is_object()
        && element.is_object()
        && known["type"] == element["type"]
        && known["index"] == element["index"]
        && (known["index"].is_number() || (known["type"] == "thinking" && !signed))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(deltas: &[Value]) -> Value {
        let mut members = Members::default();
        for delta in deltas {
            members.of_message(delta);
        }
        Value::Object(*members.0)
    }

    #[test]
    fn known_members_and_nulls_are_not_kept() {
        let deltas = [json!({"role": "assistant", "content": "a", "tool_calls": [], "audio": null, "extra": null})];
        assert_eq!(message(&deltas), json!({}));
    }

    #[test]
    fn the_pieces_of_numbered_thoughts_become_one() {
        let piece = |text: &str| json!({"reasoning_details": [{"type": "reasoning.text", "index": 0, "format": "f", "text": text}]});
        let signature = json!({"reasoning_details": [{"type": "reasoning.text", "index": 0, "signature": "s"}]});
        let other = json!({"reasoning_details": [{"type": "reasoning.encrypted", "index": 1, "data": "d"}]});
        assert_eq!(
            message(&[piece("one "), piece("two"), signature, other]),
            json!({"reasoning_details": [
                {"type": "reasoning.text", "index": 0, "format": "f", "text": "one two", "signature": "s"},
                {"type": "reasoning.encrypted", "index": 1, "data": "d"},
            ]})
        );
    }

    #[test]
    fn the_pieces_of_thinking_blocks_end_with_their_signature() {
        let piece = |text: &str, signature: &str| json!({"thinking_blocks": [{"type": "thinking", "thinking": text, "signature": signature}]});
        assert_eq!(
            message(&[piece("one ", ""), piece("two", ""), piece("", "s"), piece("three", "t")]),
            json!({"thinking_blocks": [
                {"type": "thinking", "thinking": "one two", "signature": "s"},
                {"type": "thinking", "thinking": "three", "signature": "t"},
            ]})
        );
    }

    #[test]
    fn a_member_that_is_sent_again_is_kept_once() {
        let extra = json!({"extra_content": {"google": {"thought_signature": "s"}}});
        assert_eq!(message(&[extra.clone(), extra.clone()]), extra);
        let thought = |text: &str| json!({"thinking": text});
        assert_eq!(message(&[thought("a"), thought("a")]), thought("aa"));
    }
}
