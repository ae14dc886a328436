//! Puts the tool calls of a stream together. Servers number them all 0 or not at
//! all, repeat IDs and names with every piece or change them, and send arguments as
//! text, in pieces, whole, twice or as JSON. Pure.

use serde_json::{Value, json};

use crate::model::providers::chat::members::{self, Members};

/// One tool call of a response.
#[derive(Default)]
pub(super) struct Call {
    /// The server's number for the call, where it has one.
    index: Option<u64>,
    /// The server's ID, where it has one.
    id: String,
    name: String,
    /// Of a custom tool: the arguments are free text.
    is_custom: bool,
    arguments: String,
    /// Where the last piece of the arguments begins.
    last_piece: usize,
    /// The members of the call that the server may want back.
    members: Members,
    /// The same of its function.
    function_members: Members,
    /// How many bytes of the arguments viewers have got; none before the name is known to be whole.
    pub sent_bytes: Option<usize>,
}

/// A piece of a tool call.
pub(super) struct Fragment<'v> {
    call: &'v Value,
    function: &'v Value,
    index: Option<u64>,
    id: String,
    name: &'v str,
    is_custom: bool,
    arguments: &'v Value,
}

impl<'v> Fragment<'v> {
    /// Reads a member of `tool_calls`, or the older `function_call`; none if it says nothing.
    pub(super) fn new(call: &'v Value) -> Option<Self> {
        let is_custom = call["custom"].is_object();
        let function = match (&call["custom"], &call["function"]) {
            (custom @ Value::Object(_), _) => custom,
            (_, function @ Value::Object(_)) => function,
            // Some servers leave out the level.
            _ => call,
        };
        let arguments = ["arguments", "input", "parameters"]
            .iter()
            .map(|name| &function[*name])
            .find(|arguments| !arguments.is_null())
            .unwrap_or(&Value::Null);
        let fragment = Self {
            call,
            function,
            index: number(&call["index"]),
            id: match &call["id"] {
                Value::String(id) => id.clone(),
                Value::Number(id) => id.to_string(),
                _ => String::new(),
            },
            name: function["name"].as_str().unwrap_or_default(),
            is_custom,
            arguments,
        };
        let says_nothing =
            fragment.index.is_none() && fragment.id.is_empty() && fragment.name.is_empty() && !fragment.has_arguments();
        (!says_nothing).then_some(fragment)
    }

    fn has_arguments(&self) -> bool {
        match self.arguments {
            Value::Null => false,
            Value::String(text) => !text.trim().is_empty(),
            _ => true,
        }
    }
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// The call that a fragment continues; none if it starts a new call. The calls come with their places, the last one
/// first; `touched` are the places of those that the same chunk has a fragment of already.
pub(super) fn continued<'c>(
    fragment: &Fragment<'_>,
    calls: &(impl Iterator<Item = (usize, &'c Call)> + Clone),
    touched: &[usize],
) -> Option<usize> {
    let last = calls.clone().next();
    let same_id = || {
        calls
            .clone()
            .find(|(_, call)| !fragment.id.is_empty() && call.id == fragment.id)
    };
    let (place, call) = match fragment.index {
        Some(index) => match calls.clone().find(|(_, call)| call.index == Some(index)) {
            Some(numbered) => numbered,
            // The number came late: the call has none yet.
            None => same_id()
                .or(last)
                .filter(|(_, call)| call.index.is_none() && !fragment.starts_beside(call))?,
        },
        // A fragment without a name starts no call, whatever its ID.
        None => same_id().or(last)?,
    };
    let is_other = touched.contains(&place) && !fragment.name.is_empty() && fragment.id.is_empty();
    (!is_other && !fragment.starts_beside(call)).then_some(place)
}

impl Fragment<'_> {
    /// Whether the fragment starts a call of its own, although its number does not tell it apart from this call. A
    /// name alone does not: some servers send it in pieces, or with every fragment.
    fn starts_beside(&self, call: &Call) -> bool {
        if self.name.is_empty() || call.name.is_empty() {
            return false;
        }
        let has_own_id = !self.id.is_empty();
        let same_id = has_own_id && self.id == call.id;
        let other_id = has_own_id && !call.id.is_empty() && !same_id;
        let same_name = self.name == call.name;
        if same_id {
            // All calls have one ID: only another name after whole arguments tells them apart.
            return !same_name && call.is_whole();
        }
        if same_name {
            // IDs that change with every fragment come with arguments that are not whole yet.
            return if other_id {
                call.is_whole() || call.arguments.is_empty()
            } else {
                call.is_whole() && self.has_arguments()
            };
        }
        // The name comes before the arguments; its pieces come without any.
        other_id || !call.arguments.is_empty() || self.has_arguments()
    }
}

impl Call {
    /// Whether the server named the call. One without a name cannot run.
    pub(super) fn has_name(&self) -> bool {
        !self.name.is_empty()
    }

    /// The name without the tokens of a chat template, which some servers leave in it.
    pub(super) fn name(&self) -> &str {
        let name = self.name.split("<|").next().unwrap_or_default().trim();
        if name.is_empty() { &self.name } else { name }
    }

    /// The server's ID; empty if it has none.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The arguments as they came so far.
    pub(super) fn streamed(&self) -> &str {
        &self.arguments
    }

    /// Whether the arguments are whole JSON, so that no piece can follow.
    pub(super) fn is_whole(&self) -> bool {
        is_object(&self.arguments)
    }

    /// Whether the arguments break off in the middle.
    pub(super) fn is_cut(&self) -> bool {
        !self.is_custom
            && !self.arguments.trim().is_empty()
            && serde_json::from_str::<Value>(&self.arguments()).is_err()
    }

    pub(super) fn append(&mut self, fragment: &Fragment<'_>) {
        self.index = self.index.or(fragment.index);
        if self.id.is_empty() {
            self.id.clone_from(&fragment.id);
        }
        self.is_custom |= fragment.is_custom;
        self.members.of_call(fragment.call);
        if !std::ptr::eq(fragment.call, fragment.function) {
            self.function_members.of_function(fragment.function);
        }
        self.append_name(fragment.name);
        match fragment.arguments {
            Value::String(piece) if !piece.is_empty() => {
                self.last_piece = self.arguments.len();
                self.arguments.push_str(piece);
            }
            whole @ (Value::Object(_) | Value::Array(_)) => {
                self.last_piece = 0;
                self.arguments = whole.to_string();
            }
            _ => {}
        }
    }

    fn append_name(&mut self, name: &str) {
        if name == self.name || (!self.arguments.is_empty() && !self.name.is_empty()) {
            return;
        }
        if name.starts_with(&self.name) {
            // The first piece, or all of the name so far.
            name.clone_into(&mut self.name);
        } else {
            self.name.push_str(name);
        }
    }

    /// Takes the arguments of a call without a name: its number was wrong.
    pub(super) fn absorb(&mut self, nameless: &Self) -> bool {
        let joined = format!("{}{}", self.arguments, nameless.arguments);
        let fits = !self.is_whole() && is_object(&joined);
        if fits {
            self.arguments = joined;
            self.last_piece = 0;
        }
        fits
    }

    /// The arguments: the pieces together, or the last piece where every piece repeats the ones before it.
    fn arguments(&self) -> String {
        let last = self.arguments.get(self.last_piece..).unwrap_or_default();
        if is_json(&self.arguments) || !is_object(last) {
            // A closing bracket too many is no other call.
            return without_surplus(&self.arguments).unwrap_or(&self.arguments).to_owned();
        }
        last.to_owned()
    }

    /// The call as an output item of the Responses API.
    pub(super) fn item(&self, id: &str) -> Value {
        let name = self.name();
        if self.is_custom {
            return json!({"type": "custom_tool_call", "status": "completed",
                "call_id": id, "name": name, "input": self.arguments});
        }
        let mut item = json!({"type": "function_call", "status": "completed",
            "call_id": id, "name": name, "arguments": self.arguments()});
        self.members.put(&mut item, members::OF_CALL);
        self.function_members.put(&mut item, members::OF_FUNCTION);
        item
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{') && is_json(text)
}

/// The object at the beginning, if nothing but closing brackets follow it.
fn without_surplus(text: &str) -> Option<&str> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<serde::de::IgnoredAny>();
    values.next()?.ok()?;
    let (object, surplus) = text.split_at(values.byte_offset());
    let is_surplus = surplus
        .chars()
        .all(|character| matches!(character, '}' | ']') || character.is_whitespace());
    (is_surplus && is_object(object)).then_some(object)
}
