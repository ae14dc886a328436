//! What a viewer gets as server-sent events: Agentex's frames, or the events of the log as
//! they are. Pure.

use std::{borrow::Cow, fmt::Write as _};

use axum::response::sse::Event as SseEvent;
use serde::{Deserialize, Serialize};
use serde_json::json;
use steadfast_eventlog::Entry;
use steadfast_events::{Event, Message};

use crate::{
    agentex::{frames::AgentexFrames, wire::Frame},
    follow::Position,
    task::TaskRecord,
};

/// Length of the longest id: two numbers of 20 digits and a hyphen.
const MAX_ID_BYTES: usize = 41;
const MAX_IDLE_BUFFER_BYTES: usize = 16 * 1024;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    /// Agentex's frames.
    #[default]
    Agentex,
    /// The events of the log as they are.
    Events,
}

/// Writes the events of one viewer.
#[derive(Debug)]
pub(super) struct Output {
    protocol: Protocol,
    /// JSON is written here first, so that the buffer of an event grows once.
    buffer: Vec<u8>,
}

#[derive(Debug)]
enum Protocol {
    Agentex(Box<AgentexFrames>),
    Events,
}

impl Output {
    pub(super) fn new(format: Format, task: &TaskRecord) -> Self {
        Self {
            protocol: match format {
                Format::Agentex => Protocol::Agentex(Box::new(AgentexFrames::new(task.to_wire(None)))),
                Format::Events => Protocol::Events,
            },
            buffer: Vec::new(),
        }
    }

    /// The first event of a stream.
    pub(super) fn connected(&mut self, task_id: &str, start: Option<Position>) -> SseEvent {
        let Self { protocol, buffer } = self;
        let event = match protocol {
            Protocol::Agentex(_) => data(buffer, SseEvent::default(), &Frame::Connected { task_id }),
            Protocol::Events => named(buffer, "connected", &json!({ "type": "connected", "task_id": task_id })),
        };
        with_id(event, start)
    }

    /// The id of the message that an entry changes, if how it started must be looked up first.
    pub(super) fn missing_start<'a>(&self, entry: &'a Entry) -> Option<&'a str> {
        match &self.protocol {
            Protocol::Agentex(frames) => frames.missing_start(entry),
            Protocol::Events => None,
        }
    }

    /// Takes in the latest event before `entry` that started or ended its message.
    pub(super) fn remember_start(&mut self, entry: &Entry, boundary: Option<&Event>) {
        if let Protocol::Agentex(frames) = &mut self.protocol {
            frames.remember_start(entry, boundary);
        }
    }

    /// The events of an entry; the last one has the entry's id.
    pub(super) fn entry(&mut self, entry: &Entry) -> [Option<SseEvent>; 2] {
        let Self { protocol, buffer } = self;
        let id = Some(Position::After(entry.id));
        match protocol {
            Protocol::Agentex(frames) => {
                let mut write = |frame: &Frame<'_>| data(buffer, SseEvent::default(), frame);
                match frames.frames(entry) {
                    [first, None] => [first.map(|frame| with_id(write(&frame), id)), None],
                    [first, Some(last)] => [first.map(|frame| write(&frame)), Some(with_id(write(&last), id))],
                }
            }
            Protocol::Events => {
                let event = SseEvent::default().event(type_of(entry)).data(&*entry.json);
                [Some(with_id(event, id)), None]
            }
        }
    }

    /// The events of an entry that stands before the position of the viewer: none has an id.
    pub(super) fn earlier_entry(&mut self, entry: &Entry) -> [Option<SseEvent>; 2] {
        let Self { protocol, buffer } = self;
        match protocol {
            Protocol::Agentex(frames) => {
                let mut write = |frame: &Frame<'_>| data(buffer, SseEvent::default(), frame);
                frames.frames(entry).map(|frame| frame.map(|frame| write(&frame)))
            }
            Protocol::Events => [Some(SseEvent::default().event(type_of(entry)).data(&*entry.json)), None],
        }
    }

    /// All messages of the task. `position` is absent where another event has the id already.
    pub(super) fn messages(&mut self, messages: &[Message], position: Option<Position>) -> SseEvent {
        let Self { protocol, buffer } = self;
        let event = match protocol {
            Protocol::Agentex(frames) => data(buffer, SseEvent::default(), &frames.reset(messages)),
            Protocol::Events => named(
                buffer,
                "log_reset",
                &json!({ "type": "log_reset", "messages": messages }),
            ),
        };
        with_id(event, position)
    }

    /// The status of the task as Temporal tells it.
    pub(super) fn task_updated(&mut self, task: &TaskRecord, position: Option<Position>) -> SseEvent {
        let Self { protocol, buffer } = self;
        let event = match protocol {
            Protocol::Agentex(frames) => data(buffer, SseEvent::default(), &frames.task_updated(task.to_wire(None))),
            Protocol::Events => named(
                buffer,
                "task_updated",
                &json!({
                    "type": "task_updated",
                    "status": task.status.in_log(),
                    "turn": 0,
                    "agent": task.agent.name,
                    "time": task.updated_at,
                }),
            ),
        };
        with_id(event, position)
    }

    pub(super) fn error(&mut self, message: &str) -> SseEvent {
        let frame = Frame::Error { message };
        match self.protocol {
            Protocol::Agentex(_) => data(&mut self.buffer, SseEvent::default(), &frame),
            Protocol::Events => named(&mut self.buffer, "error", &frame),
        }
    }
}

/// The `type` of an event, also of one that this version does not know.
fn type_of(entry: &Entry) -> Cow<'_, str> {
    #[derive(Deserialize)]
    struct Tagged<'a> {
        #[serde(borrow)]
        r#type: Cow<'a, str>,
    }
    serde_json::from_str(&entry.json)
        .map(|tagged: Tagged<'_>| tagged.r#type)
        .ok()
        .filter(|name| !name.contains(['\r', '\n']))
        .unwrap_or(Cow::Borrowed("unknown"))
}

/// Adds JSON to an event.
fn data<T: Serialize>(buffer: &mut Vec<u8>, event: SseEvent, body: &T) -> SseEvent {
    buffer.clear();
    // One long message must not occupy memory for as long as the viewer stays.
    buffer.shrink_to(MAX_IDLE_BUFFER_BYTES);
    let written = serde_json::to_writer(&mut *buffer, body);
    match str::from_utf8(buffer) {
        Ok(json) if written.is_ok() => event.data(json),
        _ => event,
    }
}

fn named<T: Serialize>(buffer: &mut Vec<u8>, name: &str, body: &T) -> SseEvent {
    data(buffer, SseEvent::default().event(name), body)
}

fn with_id(event: SseEvent, position: Option<Position>) -> SseEvent {
    match position {
        Some(position) => {
            let mut id = String::with_capacity(MAX_ID_BYTES);
            let _ = write!(id, "{position}");
            event.id(id)
        }
        None => event,
    }
}

#[cfg(test)]
mod tests;
