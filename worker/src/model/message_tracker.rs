//! Tracks the messages of one model call: which have started, which are
//! finished, and under which IDs. Pure: produces the events that viewers get.

use std::{collections::BTreeMap, vec::Drain};

use serde_json::Value;
use steadfast_events::{
    Author, Content, EventKind, Message, MessageStatus, TextFormat,
    id::{MessagePlace, message_id},
};
use steadfast_projection::{OUTPUT, contents_of_item};

use super::response::CallIdentity;

/// An output item that is kept although its call was interrupted.
pub(crate) struct KeptItem {
    /// Its output index in the stream.
    pub index: u32,
    pub item: Value,
    pub status: MessageStatus,
}

/// Output index and part of the item.
type Key = (u32, &'static str);

pub(crate) struct MessageTracker<'a> {
    call: CallIdentity<'a>,
    /// Messages that have started and are not finished, by output index.
    open: BTreeMap<u32, OpenMessage>,
    finished: BTreeMap<Key, Message>,
    /// Reused for each event of the stream.
    events: Vec<EventKind>,
}

struct OpenMessage {
    id: String,
    is_tool_request: bool,
    /// The text so far, of a text message.
    text: String,
}

impl<'a> MessageTracker<'a> {
    pub(crate) fn new(call: CallIdentity<'a>) -> Self {
        Self {
            call,
            open: BTreeMap::new(),
            finished: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    /// The events since the last call.
    pub(crate) fn drain_events(&mut self) -> Drain<'_, EventKind> {
        self.events.drain(..)
    }

    /// Whether a tool request has started at this index and is not finished.
    pub(crate) fn has_open_tool_request(&self, index: u32) -> bool {
        self.open.get(&index).is_some_and(|open| open.is_tool_request)
    }

    /// Starts a message with its empty content, unless it has started.
    pub(crate) fn start(&mut self, index: u32, content: Content) {
        if self.open.contains_key(&index) || self.finished.contains_key(&(index, OUTPUT)) {
            return;
        }
        let message_id = self.id((index, OUTPUT));
        let open = OpenMessage {
            id: message_id.clone(),
            is_tool_request: matches!(content, Content::ToolRequest { .. }),
            text: String::new(),
        };
        self.open.insert(index, open);
        self.events.push(EventKind::MessageStarted { message_id, content });
    }

    pub(crate) fn text_delta(&mut self, index: u32, delta: String) {
        self.start(index, text_content());
        if let Some(open) = self.open.get_mut(&index) {
            open.text.push_str(&delta);
        }
        let message_id = self.id((index, OUTPUT));
        self.events.push(EventKind::TextDelta { message_id, delta });
    }

    pub(crate) fn reasoning_delta(&mut self, index: u32, part: u32, delta: String) {
        self.start(index, reasoning_content());
        let message_id = self.id((index, OUTPUT));
        self.events.push(EventKind::ReasoningDelta {
            message_id,
            index: part,
            delta,
        });
    }

    pub(crate) fn reasoning_summary_delta(&mut self, index: u32, part: u32, delta: String) {
        self.start(index, reasoning_content());
        let message_id = self.id((index, OUTPUT));
        self.events.push(EventKind::ReasoningSummaryDelta {
            message_id,
            index: part,
            delta,
        });
    }

    /// A delta of the arguments of a tool request that has started.
    pub(crate) fn arguments_delta(&mut self, index: u32, delta: String) {
        let message_id = self.id((index, OUTPUT));
        self.events.push(EventKind::ToolArgumentsDelta { message_id, delta });
    }

    /// Finishes the messages of an item, except those that are finished with the same content.
    pub(crate) fn finish(&mut self, index: u32, item: &Value, now: jiff::Timestamp) {
        self.finish_as(index, item, MessageStatus::Done, now);
    }

    /// Retracts a message that has started, so that another may start in its place.
    pub(crate) fn retract(&mut self, index: u32) {
        if let Some(open) = self.open.remove(&index) {
            self.events.push(EventKind::MessageReset { message_id: open.id });
        }
    }

    /// Retracts the messages that have started and are not finished.
    pub(crate) fn retract_open(&mut self) {
        for message_id in std::mem::take(&mut self.open).into_values().map(|open| open.id) {
            self.events.push(EventKind::MessageReset { message_id });
        }
    }

    /// How many messages have started and are not finished.
    pub(crate) fn open_count(&self) -> usize {
        self.open.len()
    }

    /// The texts of the messages that are not finished, by output index.
    pub(crate) fn unfinished_texts(&self) -> impl Iterator<Item = (u32, &str)> {
        self.open
            .iter()
            .filter(|(_, open)| !open.text.is_empty())
            .map(|(index, open)| (*index, open.text.as_str()))
    }

    /// Finishes the kept items and retracts all other messages. Returns the events and the items. An item moves up
    /// where items before it are dropped; its messages then get new IDs, because an ID derives from the index.
    pub(crate) fn keep_only(mut self, kept: Vec<KeptItem>, now: jiff::Timestamp) -> (Vec<EventKind>, Vec<Value>) {
        let keeps_index = |index: u32| {
            let mut indices = (0..).zip(&kept);
            indices.any(|(new_index, kept): (u32, _)| kept.index == index && new_index == index)
        };
        let open = self.open.keys().map(|index| (*index, OUTPUT));
        let known: Vec<Key> = open.chain(self.finished.keys().copied()).collect();
        for key in known {
            if key.1 == OUTPUT && keeps_index(key.0) {
                continue;
            }
            let message_id = self.id(key);
            self.open.remove(&key.0);
            self.finished.remove(&key);
            self.events.push(EventKind::MessageReset { message_id });
        }
        let mut items = Vec::new();
        for (index, kept) in (0..).zip(kept) {
            self.finish_as(index, &kept.item, kept.status, now);
            items.push(kept.item);
        }
        (self.events, items)
    }

    fn finish_as(&mut self, index: u32, item: &Value, status: MessageStatus, now: jiff::Timestamp) {
        for (part, content) in contents_of_item(item) {
            let key = (index, part);
            let before = self.finished.get(&key);
            if before.is_some_and(|before| before.content == content && before.status == status) {
                continue;
            }
            let message = Message {
                id: self.id(key),
                idempotency_key: None,
                turn: self.call.turn,
                agent: self.call.agent.to_owned(),
                author: Author::Agent,
                content,
                status,
                created_at: before.map_or(now, |before| before.created_at),
                updated_at: now,
            };
            self.open.remove(&index);
            self.finished.insert(key, message.clone());
            self.events.push(EventKind::MessageDone { message });
        }
    }

    /// The ID of a message: that of an earlier event, or a new one. Hashing an ID is much dearer than a copy.
    fn id(&self, key: Key) -> String {
        let (index, part) = key;
        if let Some(open) = self.open.get(&index).filter(|_| part == OUTPUT) {
            return open.id.clone();
        }
        if let Some(finished) = self.finished.get(&key) {
            return finished.id.clone();
        }
        message_id(MessagePlace {
            task_id: self.call.task_id,
            turn: self.call.turn,
            call_path: self.call.call_path,
            step: self.call.step,
            part,
            index,
        })
    }
}

pub(crate) fn text_content() -> Content {
    Content::text("", TextFormat::Markdown)
}

fn reasoning_content() -> Content {
    Content::Reasoning {
        summary: Vec::new(),
        content: Vec::new(),
    }
}
