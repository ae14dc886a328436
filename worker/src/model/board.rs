//! What viewers have been shown of one model call: which messages are open,
//! which are done, under which ids. Pure: answers the events to show next.

use std::collections::BTreeMap;

use serde_json::Value;
use steadfast_events::{
    Author, Content, EventKind, Message, MessageStatus, TextFormat,
    id::{MessagePlace, message_id},
};
use steadfast_projection::{OUTPUT, contents_of_item};

use super::interpret::Place;

/// An item that stays although its call was stopped.
pub(super) struct Kept {
    /// Where it stood among the output items so far.
    pub index: u32,
    pub item: Value,
    pub status: MessageStatus,
}

type Key = (u32, &'static str);

pub(super) struct Board<'a> {
    place: Place<'a>,
    /// Messages that have begun, in their empty form.
    open: BTreeMap<u32, Content>,
    /// What has been said in text messages that are not done.
    texts: BTreeMap<u32, String>,
    shown: BTreeMap<Key, Message>,
}

impl<'a> Board<'a> {
    pub fn new(place: Place<'a>) -> Self {
        Self {
            place,
            open: BTreeMap::new(),
            texts: BTreeMap::new(),
            shown: BTreeMap::new(),
        }
    }

    pub fn opened(&self, index: u32) -> Option<&Content> {
        self.open.get(&index)
    }

    /// Begins a message, unless it has begun.
    pub fn begin(&mut self, index: u32, content: Content) -> Option<EventKind> {
        if self.open.contains_key(&index) || self.shown.contains_key(&(index, OUTPUT)) {
            return None;
        }
        self.open.insert(index, content.clone());
        Some(EventKind::MessageStarted {
            message_id: self.id((index, OUTPUT)),
            content,
        })
    }

    pub fn say(&mut self, index: u32, delta: &str) -> Vec<EventKind> {
        let begun = self.begin(index, text_content());
        self.texts.entry(index).or_default().push_str(delta);
        self.continued(index, begun, |message_id| EventKind::TextDelta {
            message_id,
            delta: delta.to_owned(),
        })
    }

    pub fn reason(&mut self, index: u32, part: u32, delta: &str) -> Vec<EventKind> {
        let begun = self.begin(index, reasoning_content());
        self.continued(index, begun, |message_id| EventKind::ReasoningDelta {
            message_id,
            index: part,
            delta: delta.to_owned(),
        })
    }

    pub fn sum_up(&mut self, index: u32, part: u32, delta: &str) -> Vec<EventKind> {
        let begun = self.begin(index, reasoning_content());
        self.continued(index, begun, |message_id| EventKind::ReasoningSummaryDelta {
            message_id,
            index: part,
            delta: delta.to_owned(),
        })
    }

    /// A piece of the arguments of a call that has begun.
    pub fn argue(&mut self, index: u32, delta: &str) -> Vec<EventKind> {
        self.continued(index, None, |message_id| EventKind::ToolArgumentsDelta {
            message_id,
            delta: delta.to_owned(),
        })
    }

    /// The finished messages of an item, except those that were shown so already.
    pub fn show(&mut self, index: u32, item: &Value, now: jiff::Timestamp) -> Vec<EventKind> {
        self.show_as(index, item, MessageStatus::Done, now)
    }

    /// Takes back what began and was never finished.
    pub fn take_back_open(&mut self) -> Vec<EventKind> {
        self.texts.clear();
        let open = std::mem::take(&mut self.open);
        open.keys().map(|index| self.reset((*index, OUTPUT))).collect()
    }

    /// What has been said in messages that are not done, by index.
    pub fn unfinished_texts(&self) -> impl Iterator<Item = (u32, &str)> {
        self.texts
            .iter()
            .filter(|(index, text)| self.open.contains_key(index) && !text.is_empty())
            .map(|(index, text)| (*index, text.as_str()))
    }

    /// Ends with the kept items and nothing else. Where dropped items stood before them they move
    /// up, and so do the ids of their messages, which follow from the place in the answer.
    pub fn end_with(mut self, kept: Vec<Kept>, now: jiff::Timestamp) -> (Vec<EventKind>, Vec<Value>) {
        let stays = |key: &Key| {
            key.1 == OUTPUT
                && kept
                    .iter()
                    .enumerate()
                    .any(|(place, kept)| kept.index == key.0 && u32::try_from(place) == Ok(key.0))
        };
        let known: Vec<Key> = self
            .open
            .keys()
            .map(|index| (*index, OUTPUT))
            .chain(self.shown.keys().copied())
            .collect();
        let mut events = Vec::new();
        for key in known.into_iter().filter(|key| !stays(key)) {
            self.open.remove(&key.0);
            self.shown.remove(&key);
            events.push(self.reset(key));
        }
        let mut items = Vec::new();
        for (place, kept) in (0..).zip(kept) {
            events.extend(self.show_as(place, &kept.item, kept.status, now));
            items.push(kept.item);
        }
        (events, items)
    }

    fn show_as(&mut self, index: u32, item: &Value, status: MessageStatus, now: jiff::Timestamp) -> Vec<EventKind> {
        let mut events = Vec::new();
        for (part, content) in contents_of_item(item) {
            let key = (index, part);
            let before = self.shown.get(&key);
            if before.is_some_and(|shown| shown.content == content && shown.status == status) {
                continue;
            }
            let message = Message {
                id: self.id(key),
                turn: self.place.turn,
                agent: self.place.agent.to_owned(),
                author: Author::Agent,
                content,
                status,
                created_at: before.map_or(now, |shown| shown.created_at),
                updated_at: now,
            };
            self.open.remove(&index);
            self.texts.remove(&index);
            self.shown.insert(key, message.clone());
            events.push(EventKind::MessageDone { message });
        }
        events
    }

    fn continued(
        &self,
        index: u32,
        begun: Option<EventKind>,
        delta: impl FnOnce(String) -> EventKind,
    ) -> Vec<EventKind> {
        begun
            .into_iter()
            .chain(std::iter::once(delta(self.id((index, OUTPUT)))))
            .collect()
    }

    fn reset(&self, key: Key) -> EventKind {
        EventKind::MessageReset {
            message_id: self.id(key),
        }
    }

    fn id(&self, (index, part): Key) -> String {
        message_id(MessagePlace {
            task_id: self.place.task_id,
            turn: self.place.turn,
            call_path: self.place.call_path,
            step: self.place.step,
            part,
            index,
        })
    }
}

pub(super) fn text_content() -> Content {
    Content::Text {
        text: String::new(),
        format: TextFormat::Markdown,
    }
}

fn reasoning_content() -> Content {
    Content::Reasoning {
        summary: Vec::new(),
        content: Vec::new(),
    }
}
