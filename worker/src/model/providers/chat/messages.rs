//! The messages of a request to the Chat Completions API, in forms that every server takes: the instructions come first
//! and nowhere else, no two messages of one role follow each other, and calls come with their results. What differs
//! between servers is a habit of the [`Dialect`]. Pure.

use std::{borrow::Cow, collections::BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value, json, value::RawValue};
use steadfast_agent_loop::CallKind;

use super::{
    members::{CHAT, OF_CALL, OF_FUNCTION, OF_MESSAGE, REASONING},
    parts::{ChatPart, chat_part},
};
use crate::model::{
    attachments::Part,
    conversation::{Entry, text_of},
    dialect::{Dialect, Habit},
};

/// The member in which most servers want the reasoning back.
const REASONING_CONTENT: &str = "reasoning_content";
/// What stands between the results of tools and a message of a user, where a server wants an answer there.
const NO_ANSWER: &str = "(There was no answer.)";
/// What follows an answer at the end of a request: no server answers its own answer.
const GO_ON: &str = "Go on.";
/// Google's value for calls that another model made, so that they are not checked.
const SKIPPED_SIGNATURE: &str = "skip_thought_signature_validator";

#[derive(Debug, Serialize)]
pub(super) struct Message<'a> {
    role: &'static str,
    /// Null in a message with tool calls only: some servers require the member.
    content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
    /// What the server itself had put on the message.
    #[serde(flatten)]
    members: Map<String, Value>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(Cow<'a, str>),
    /// JSON text of a string.
    Json(&'a RawValue),
    Parts(Vec<ChatPart<'a>>),
}

impl<'a> Message<'a> {
    fn new(role: &'static str, content: Option<Content<'a>>) -> Self {
        Self {
            role,
            content,
            tool_calls: Vec::new(),
            tool_call_id: None,
            members: Map::new(),
        }
    }

    fn add_text(&mut self, text: Cow<'a, str>) {
        self.content = Some(match self.content.take() {
            Some(Content::Text(before)) if !before.is_empty() => {
                Content::Text(Cow::Owned(format!("{before}\n\n{text}")))
            }
            Some(Content::Parts(mut parts)) => {
                parts.push(ChatPart::Text { text });
                Content::Parts(parts)
            }
            Some(Content::Text(_) | Content::Json(_)) | None => Content::Text(text),
        });
    }

    fn add_parts(&mut self, added: Vec<ChatPart<'a>>) {
        let mut parts = match self.content.take() {
            Some(Content::Text(text)) if !text.is_empty() => vec![ChatPart::Text { text }],
            Some(Content::Parts(parts)) => parts,
            Some(Content::Text(_) | Content::Json(_)) | None => Vec::new(),
        };
        parts.extend(added);
        self.content = Some(Content::Parts(parts));
    }
}

/// The messages, and the names of the server's own members on them.
pub(super) fn messages<'a>(
    instructions: &'a str,
    entries: &'a [Entry<'_>],
    dialect: &Dialect,
) -> (Vec<Message<'a>>, BTreeSet<String>) {
    let mut writer = Writer {
        dialect,
        messages: Vec::new(),
        pending: Map::new(),
        sent: BTreeSet::new(),
    };
    if !instructions.is_empty() {
        let role = if dialect.has(Habit::NoSystemRole) {
            "user"
        } else {
            "system"
        };
        writer.put_text(role, Cow::Borrowed(instructions));
    }
    for entry in entries {
        writer.add(entry);
    }
    writer.finish()
}

struct Writer<'a, 'd> {
    dialect: &'d Dialect,
    messages: Vec<Message<'a>>,
    /// Members for the message of the assistant that comes next: reasoning comes before it.
    pending: Map<String, Value>,
    /// The names of the server's own members that were sent.
    sent: BTreeSet<String>,
}

impl<'a> Writer<'a, '_> {
    fn add(&mut self, entry: &'a Entry<'_>) {
        let item = match entry {
            Entry::Said(item) => item,
            Entry::Told { role, text } => return self.put_text(role, Cow::Borrowed(text.as_str())),
            Entry::Attached(parts) => return self.put_attached(parts),
            // This API has no form for it.
            Entry::Output { output, .. } if output.kind == CallKind::McpApproval => return,
            Entry::Output { call_id, output } => {
                self.pending.clear();
                let content = Content::Json(output.text_json());
                return self.messages.push(Message {
                    tool_call_id: Some(call_id.as_ref()),
                    ..Message::new("tool", Some(content))
                });
            }
        };
        self.take_members(item);
        match (item["type"].as_str(), item["role"].as_str()) {
            (Some("reasoning"), _) => self.reasoning(item),
            (Some("function_call"), _) => {
                let call = self.call(item);
                self.assistant().tool_calls.push(call);
            }
            (Some("message") | None, Some("assistant")) => self.put_text("assistant", text_of(&item["content"])),
            (Some("message") | None, Some(_)) => self.put_text("user", text_of(&item["content"])),
            _ => {}
        }
    }

    /// Adds a text to the last message if it has the role, else a new message.
    fn put_text(&mut self, role: &'static str, text: Cow<'a, str>) {
        match role {
            "assistant" => {
                if !text.is_empty() {
                    self.assistant().add_text(text);
                }
            }
            // Some servers refuse an empty text.
            _ if text.is_empty() => {}
            _ => self.not_by_assistant(role).add_text(text),
        }
    }

    /// A message without attachments that are sent stays a text: some servers take nothing else.
    fn put_attached(&mut self, parts: &'a [Part<'_>]) {
        let texts = parts.iter().map(|part| match part {
            Part::Text(text) => Some(text.as_ref()),
            Part::Image { .. } | Part::File { .. } | Part::FileUrl(_) => None,
        });
        match texts.collect::<Option<Vec<&str>>>() {
            Some(texts) => self.put_text("user", Cow::Owned(texts.join("\n\n"))),
            None => self
                .not_by_assistant("user")
                .add_parts(parts.iter().map(chat_part).collect()),
        }
    }

    /// The last message if it has the role, which is not the assistant's, else a new one.
    fn not_by_assistant(&mut self, role: &'static str) -> &mut Message<'a> {
        self.pending.clear();
        let last = self.messages.last().map(|message| message.role);
        if last == Some("tool") && self.dialect.has(Habit::AnswerAfterTools) {
            self.assistant().add_text(Cow::Borrowed(NO_ANSWER));
        }
        if self.messages.last().is_none_or(|message| message.role != role) {
            self.messages.push(Message::new(role, None));
        }
        let index = self.messages.len() - 1;
        &mut self.messages[index]
    }

    /// The last message if it is the assistant's, else a new one, with what belongs on it.
    fn assistant(&mut self) -> &mut Message<'a> {
        let is_open = self.messages.last().is_some_and(|message| message.role == "assistant");
        if !is_open {
            self.messages.push(Message::new("assistant", None));
        }
        let index = self.messages.len() - 1;
        let message = &mut self.messages[index];
        for (name, value) in std::mem::take(&mut self.pending) {
            message.members.entry(name).or_insert(value);
        }
        message
    }

    /// Keeps the members that the server had put on the message of this item.
    fn take_members(&mut self, item: &Value) {
        for (name, value) in members_of(item, OF_MESSAGE) {
            if self.sends(name) {
                self.pending.insert(name.clone(), value.clone());
            }
        }
    }

    fn reasoning(&mut self, item: &Value) {
        let Some(name) = item[CHAT][REASONING].as_str().map(str::to_owned) else {
            return;
        };
        if self.sends(&name) {
            let text = text_of(&item["content"]).into_owned();
            self.pending.insert(name, Value::String(text));
        }
    }

    /// Whether a member of the server's own is sent.
    fn sends(&mut self, name: &str) -> bool {
        let sends = !self.dialect.omits_of_messages(name);
        if sends && !self.sent.contains(name) {
            self.sent.insert(name.to_owned());
        }
        sends
    }

    fn call(&mut self, item: &Value) -> Value {
        let mut function = json!({"name": item["name"], "arguments": item["arguments"]});
        self.put_members(&mut function, item, OF_FUNCTION);
        let mut call = json!({"id": item["call_id"], "type": "function", "function": function});
        self.put_members(&mut call, item, OF_CALL);
        call
    }

    fn put_members(&mut self, into: &mut Value, item: &Value, place: &str) {
        for (name, value) in members_of(item, place) {
            if self.sends(name)
                && let Value::Object(members) = into
            {
                members.insert(name.clone(), value.clone());
            }
        }
    }

    fn finish(mut self) -> (Vec<Message<'a>>, BTreeSet<String>) {
        let last = self.messages.last();
        if last.is_some_and(|message| message.role == "assistant" && message.tool_calls.is_empty()) {
            self.put_text("user", Cow::Borrowed(GO_ON));
        }
        if self.dialect.has(Habit::ReasoningInEveryAnswer) {
            self.sent.insert(REASONING_CONTENT.to_owned());
        }
        for message in &mut self.messages {
            if message.role == "assistant" {
                apply_habits(message, self.dialect);
            }
        }
        (self.messages, self.sent)
    }
}

fn members_of<'i>(item: &'i Value, place: &str) -> impl Iterator<Item = (&'i String, &'i Value)> {
    item[CHAT][place].as_object().into_iter().flatten()
}

fn apply_habits(message: &mut Message<'_>, dialect: &Dialect) {
    if message.content.is_none() && dialect.has(Habit::TextInEveryMessage) {
        message.content = Some(Content::Text(Cow::Borrowed("")));
    }
    if dialect.has(Habit::ReasoningInEveryAnswer) {
        let reasoning = message.members.entry(REASONING_CONTENT);
        reasoning.or_insert_with(|| Value::String(String::new()));
    }
    let is_signed = |call: &Value| call["extra_content"]["google"]["thought_signature"].is_string();
    if dialect.has(Habit::ThoughtSignatures)
        && !message.tool_calls.iter().any(is_signed)
        && let Some(Value::Object(first)) = message.tool_calls.first_mut()
    {
        let signature = json!({"google": {"thought_signature": SKIPPED_SIGNATURE}});
        first.insert("extra_content".to_owned(), signature);
    }
}

#[cfg(test)]
mod tests;
