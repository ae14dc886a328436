//! Selects what of a transcript is sent to a model, in the form of the Responses API for every API. Pure.
//!
//! Items belong to the model and the endpoint that wrote them. These get them back unchanged. Any other model gets what
//! was said, the calls and their results: reasoning, signatures, ids and hosted calls mean nothing to it, or are refused.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashSet},
};

use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use steadfast_agent_loop::{
    Body, CallKind, Item, Segment, ToolOutput, UserContent,
    output_item::{Request, request_of, unsupported_item},
    tool_call::arguments,
};
use steadfast_attachments::Attachment;
use steadfast_crds::model::ModelApi;

use super::{
    attachments::{Earlier, Part, RequestAttachments, Sent, parts, serialize_message},
    origin::short_digest,
};

/// Length of the ids that a server can refuse to take otherwise, for example Mistral's.
const SHORT_ID_LENGTH: usize = 9;

/// How much of its own past a model gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Past {
    /// Its own items, unchanged.
    Own,
    /// Only what any model can read, also of its own items.
    Plain,
    /// The same, and calls with their results as text.
    Text,
}

/// In which form calls and their results are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallForm {
    Items,
    /// As text: the request has no tools, and many servers refuse calls without tools.
    Text,
}

/// Which ids of calls a server takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallIds {
    Any,
    NineCharacters,
}

/// The model that reads the conversation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    pub agent: &'a str,
    /// See [`origin`](super::origin::origin).
    pub origin: &'a str,
    pub api: ModelApi,
    pub past: Past,
    pub calls: CallForm,
    pub ids: CallIds,
    /// The content of attachments.
    pub attachments: &'a RequestAttachments,
    pub earlier_attachments: Earlier,
}

/// One entry of the conversation.
#[derive(Clone, Debug)]
pub(crate) enum Entry<'a> {
    /// An item from a user, a model or the task.
    Said(Cow<'a, Value>),
    /// The result of a call, under the id that the call has in this request.
    Output {
        call_id: Cow<'a, str>,
        output: &'a ToolOutput,
    },
    /// A message of a user with attachments.
    Attached(Vec<Part<'a>>),
    /// A call or its result as text.
    Told { role: &'static str, text: String },
}

/// The conversation for one model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conversation<'a> {
    pub entries: Vec<Entry<'a>>,
    /// Some entries are items that only this model can read: without them the request may be taken where it was refused.
    pub has_own: bool,
    /// Some entries are calls, in the form of the API.
    pub has_calls: bool,
    /// Some entries have attachments of earlier messages.
    pub has_earlier_attachments: bool,
}

impl Serialize for Entry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct OutputItem<'a> {
            #[serde(rename = "type")]
            kind: &'static str,
            call_id: &'a str,
            output: &'a serde_json::value::RawValue,
        }
        match self {
            Self::Said(item) => item.serialize(serializer),
            Self::Output { call_id, output } if output.kind == CallKind::Function => OutputItem {
                kind: "function_call_output",
                call_id,
                output: output.text_json(),
            }
            .serialize(serializer),
            Self::Output { output, .. } => Item::Output(output).serialize(serializer),
            Self::Attached(parts) => serialize_message(parts, serializer),
            Self::Told { role, text } => json!({"role": role, "content": text}).serialize(serializer),
        }
    }
}

/// The conversation for this reader, oldest first.
pub(crate) fn conversation<'a>(transcript: &[&'a Segment], reader: &Reader<'a>) -> Conversation<'a> {
    let answered = transcript.iter().filter_map(|segment| match &segment.body {
        Body::Tool { index, .. } => Some((segment.turn, segment.step, *index)),
        _ => None,
    });
    let mut writer = Writer {
        reader,
        answered: answered.collect(),
        transfers: transfers(transcript),
        conversation: Conversation::default(),
        open: BTreeMap::new(),
        ids: BTreeSet::new(),
    };
    for segment in transcript {
        writer.add(segment);
    }
    writer.conversation
}

/// Where a call stands in a transcript: turn, step and index of its item.
type Place = (u32, u32, u32);

/// How the result of a call is sent.
enum Open {
    Output(String),
    Text,
}

struct Writer<'a, 'r> {
    reader: &'r Reader<'a>,
    /// The calls that have a result.
    answered: HashSet<Place>,
    /// The calls that handed the conversation to another agent.
    transfers: HashSet<Place>,
    conversation: Conversation<'a>,
    /// The calls whose result follows.
    open: BTreeMap<Place, Open>,
    /// The ids of all calls so far. A provider refuses two calls with one id.
    ids: BTreeSet<String>,
}

impl<'a> Writer<'a, '_> {
    fn add(&mut self, segment: &'a Segment) {
        match &segment.body {
            Body::Summary { .. } => {
                self.conversation = Conversation::default();
                self.open.clear();
                self.ids.clear();
                self.items(segment);
            }
            Body::Handoff { messages_only, .. } => {
                if *messages_only {
                    self.keep_messages();
                }
            }
            Body::Model { items, agent, origin } => {
                let place = (segment.turn, segment.step);
                if !(self.is_own(agent, origin) && self.own_items(place, items)) {
                    self.plain_items(place, items);
                }
            }
            Body::Tool { index, output, .. } => self.output((segment.turn, segment.step, *index), output),
            Body::User {
                content: UserContent::Attached { text, attachments },
                ..
            } => self.attached(segment, text, attachments),
            Body::User { .. } | Body::Note { .. } => self.items(segment),
        }
    }

    fn items(&mut self, segment: &'a Segment) {
        self.conversation
            .entries
            .extend(segment.items().into_iter().filter_map(|item| match item {
                Item::Said(item) => Some(Entry::Said(item)),
                Item::Output(_) => None,
            }));
    }

    fn attached(&mut self, segment: &'a Segment, text: &'a str, attachments: &'a [Attachment]) {
        let reader = self.reader;
        let (parts, has_earlier) = parts(
            Sent {
                turn: segment.turn,
                text,
                attachments,
            },
            reader.attachments,
            reader.earlier_attachments,
            reader.api,
        );
        self.conversation.has_earlier_attachments |= has_earlier;
        self.conversation.entries.push(Entry::Attached(parts));
    }

    fn push(&mut self, item: Value) {
        self.conversation.entries.push(Entry::Said(Cow::Owned(item)));
    }

    /// Whether the reader wrote an answer. The answers in transcripts of older workers have no origin.
    fn is_own(&self, agent: &str, origin: &str) -> bool {
        self.reader.past == Past::Own
            && (agent.is_empty() || agent == self.reader.agent)
            && (origin.is_empty() || origin == self.reader.origin)
    }

    /// Adds the items of the reader's own answer unchanged. Adds nothing and returns false if it cannot: a request is
    /// refused for a call without a result, for calls that nothing answers, and for reasoning that is not whole.
    fn own_items(&mut self, place: (u32, u32), items: &'a [Value]) -> bool {
        let asks = |item: &Value| matches!(request_of(item, items), Some(Request::Function | Request::McpApproval));
        let indexed = || (0u32..).zip(items);
        let is_open = indexed().any(|(index, item)| asks(item) && !self.answered.contains(&(place.0, place.1, index)));
        let as_text = self.reader.calls == CallForm::Text && items.iter().any(|item| asks(item) || is_hosted(item));
        if is_open || as_text || unsupported_item(items).is_some() {
            return false;
        }
        // Of an answer of nothing but reasoning, nothing follows the reasoning, and a provider refuses it.
        let kept = match self.reader.api {
            ModelApi::ChatCompletions => items,
            ModelApi::Responses => {
                let last = items.iter().rposition(|item| item["type"] != "reasoning");
                &items[..last.map_or(0, |last| last + 1)]
            }
        };
        if self.reader.api == ModelApi::Responses && kept.iter().any(is_lost_reasoning) {
            return false;
        }
        self.conversation.has_own |= kept.iter().any(is_bound);
        for (index, item) in (0u32..).zip(kept) {
            let item = if item["type"] == "function_call" {
                self.own_call((place.0, place.1, index), item)
            } else {
                if item["type"] == "mcp_approval_request" {
                    let id = item["id"].as_str().unwrap_or_default().to_owned();
                    self.open.insert((place.0, place.1, index), Open::Output(id));
                }
                Cow::Borrowed(item)
            };
            self.conversation.entries.push(Entry::Said(item));
        }
        true
    }

    fn own_call(&mut self, place: Place, item: &'a Value) -> Cow<'a, Value> {
        let id = self.own_id(place, item["call_id"].as_str().unwrap_or_default());
        let mut call = Cow::Borrowed(item);
        if item["call_id"] != id.as_str() {
            set(call.to_mut(), "call_id", json!(id));
        }
        let arguments = valid_arguments(item);
        if item["arguments"] != *arguments {
            set(call.to_mut(), "arguments", json!(arguments));
        }
        self.open.insert(place, Open::Output(id));
        call
    }

    /// Adds what any model can read of an answer.
    fn plain_items(&mut self, place: (u32, u32), items: &[Value]) {
        for (index, item) in (0u32..).zip(items) {
            let place = (place.0, place.1, index);
            if is_message(item) {
                let text = text_of(&item["content"]);
                if !text.is_empty() {
                    self.push(json!({"role": "assistant", "content": text}));
                }
            } else if item["type"] == "function_call" && self.answered.contains(&place) {
                self.plain_call(place, item);
            }
        }
    }

    fn plain_call(&mut self, place: Place, item: &Value) {
        let name = item["name"].as_str().unwrap_or_default();
        let arguments = valid_arguments(item);
        if self.reader.calls == CallForm::Text {
            // As text it would be the last thing that somebody said to the agent which took over.
            if self.transfers.contains(&place) {
                return;
            }
            let text = format!("I called the tool {name} with the arguments {arguments}");
            self.conversation.entries.push(Entry::Told {
                role: "assistant",
                text,
            });
            self.open.insert(place, Open::Text);
            return;
        }
        let id = self.short_id(place, item["call_id"].as_str().unwrap_or_default());
        self.push(json!({"type": "function_call", "call_id": id, "name": name, "arguments": arguments}));
        self.open.insert(place, Open::Output(id));
    }

    /// Adds the result of a call, if the call was added.
    fn output(&mut self, place: Place, output: &'a ToolOutput) {
        let entry = match self.open.remove(&place) {
            None => return,
            Some(Open::Output(call_id)) => {
                self.conversation.has_calls = true;
                Entry::Output {
                    call_id: Cow::Owned(call_id),
                    output,
                }
            }
            Some(Open::Text) => Entry::Told {
                role: "user",
                text: format!("The result of the tool {}:\n{}", output.name, output.text()),
            },
        };
        self.conversation.entries.push(entry);
    }

    /// The id of the reader's own call: unchanged, unless the server would refuse it.
    fn own_id(&mut self, place: Place, given: &str) -> String {
        let fits = match self.reader.ids {
            CallIds::Any => !given.is_empty(),
            CallIds::NineCharacters => {
                given.len() == SHORT_ID_LENGTH && given.chars().all(|character| character.is_ascii_alphanumeric())
            }
        };
        if fits && self.ids.insert(given.to_owned()) {
            return given.to_owned();
        }
        self.short_id(place, given)
    }

    /// An id that every server takes, always the same for one call.
    fn short_id(&mut self, place: Place, given: &str) -> String {
        let mut number = 0u32;
        loop {
            let mut id = short_digest(&format!("{place:?}/{given}/{number}"), SHORT_ID_LENGTH);
            id.truncate(SHORT_ID_LENGTH);
            if self.ids.insert(id.clone()) {
                return id;
            }
            number += 1;
        }
    }

    /// Keeps of everything so far what people and models said to each other.
    fn keep_messages(&mut self) {
        self.open.clear();
        (self.conversation.has_own, self.conversation.has_calls) = (false, false);
        let entries = std::mem::take(&mut self.conversation.entries);
        for entry in entries {
            let item = match entry {
                Entry::Said(item) => item,
                attached @ Entry::Attached(_) => {
                    self.conversation.entries.push(attached);
                    continue;
                }
                Entry::Output { .. } | Entry::Told { .. } => continue,
            };
            if !is_message(&item) {
                continue;
            }
            if item["role"] == "assistant" {
                let text = text_of(&item["content"]);
                if !text.is_empty() {
                    self.push(json!({"role": "assistant", "content": text}));
                }
            } else {
                self.conversation.entries.push(Entry::Said(item));
            }
        }
    }
}

/// The calls whose result names the agent of a handoff in the same turn.
fn transfers(transcript: &[&Segment]) -> HashSet<Place> {
    let taken: BTreeSet<(u32, &str)> = transcript
        .iter()
        .filter_map(|segment| match &segment.body {
            Body::Handoff { to, .. } => Some((segment.turn, to.as_str())),
            _ => None,
        })
        .collect();
    let calls = transcript.iter().filter_map(|segment| match &segment.body {
        Body::Tool { index, output, .. } => {
            let members = output.content.as_object().filter(|members| members.len() == 1)?;
            let agent = members.get("agent")?.as_str()?;
            taken
                .contains(&(segment.turn, agent))
                .then_some((segment.turn, segment.step, *index))
        }
        _ => None,
    });
    calls.collect()
}

/// A message has a role; its type is optional.
fn is_message(item: &Value) -> bool {
    item.get("role").is_some() && item.get("type").is_none_or(|kind| kind == "message")
}

/// An item of a tool that the provider ran.
fn is_hosted(item: &Value) -> bool {
    item["type"].as_str().is_some_and(|kind| kind.ends_with("_call")) && item["type"] != "function_call"
}

/// Reasoning that the provider does not find again: it stores nothing, so the item must have all of it, encrypted or as
/// text. A proxy may have removed it.
fn is_lost_reasoning(item: &Value) -> bool {
    let is_empty = |name: &str| match &item[name] {
        Value::String(text) => text.is_empty(),
        Value::Array(parts) => parts.is_empty(),
        _ => true,
    };
    item["type"] == "reasoning" && is_empty("encrypted_content") && is_empty("content")
}

/// Whether an item has something that only its writer can read: ids of its own, or more than text.
fn is_bound(item: &Value) -> bool {
    !is_message(item) || item.get("id").is_some() || item.get("chat").is_some()
}

/// The arguments of a call as the JSON text of an object: servers parse the history that they get. What a model wrote
/// that is none is in the result of the call, which says what was wrong.
fn valid_arguments(item: &Value) -> Cow<'_, str> {
    match arguments(item) {
        Ok(Value::Object(members)) => match &item["arguments"] {
            // What a model wrote goes back as it was, unless the object stands in a text.
            Value::String(text) if text.starts_with('{') && (!members.is_empty() || text == "{}") => {
                Cow::Borrowed(text)
            }
            _ => Cow::Owned(Value::Object(members).to_string()),
        },
        _ => Cow::Borrowed("{}"),
    }
}

fn set(item: &mut Value, name: &str, value: Value) {
    if let Value::Object(members) = item {
        members.insert(name.to_owned(), value);
    }
}

/// The text of a message.
pub(crate) fn text_of(content: &Value) -> Cow<'_, str> {
    match content {
        Value::String(text) => Cow::Borrowed(text),
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part["text"].as_str().or_else(|| part["refusal"].as_str()))
            .collect(),
        Value::Null => Cow::Borrowed(""),
        other => Cow::Owned(other.to_string()),
    }
}

#[cfg(test)]
mod tests;
