//! What a viewer gets as server-sent events: Agentex's frames, or the events of the log as
//! they are. What all viewers of an entry get is written once for all of them. Pure.

use std::{borrow::Cow, sync::OnceLock};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use steadfast_eventlog::Entry;
use steadfast_events::{Event, Message};

use crate::{
    agentex::{
        frames::{AgentexFrames, Frames, SharedStart},
        wire::Frame,
    },
    api::server_sent_events::EventWriter,
    follow::Position,
    task::TaskRecord,
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    /// Agentex's frames.
    #[default]
    Agentex,
    /// The events of the log as they are.
    Events,
}

/// What viewers of an entry share.
#[derive(Debug, Default)]
struct Written {
    events: OnceLock<Bytes>,
    agentex: OnceLock<Bytes>,
    start: SharedStart,
}

/// Writes the events of one viewer.
#[derive(Debug)]
pub(super) enum Output {
    Agentex(Box<AgentexFrames>),
    Events,
}

impl Output {
    pub(super) fn new(format: Format, task: &TaskRecord) -> Self {
        match format {
            Format::Agentex => Self::Agentex(Box::new(AgentexFrames::new(task.to_wire(None)))),
            Format::Events => Self::Events,
        }
    }

    /// The first event of a stream.
    pub(super) fn connected(&self, task_id: &str, start: Option<Position>) -> Bytes {
        let event = EventWriter::default().id(start);
        match self {
            Self::Agentex(_) => event.json(&Frame::Connected { task_id }),
            Self::Events => event
                .name("connected")
                .json(&json!({ "type": "connected", "task_id": task_id })),
        }
        .end()
    }

    /// The id of the message that an entry changes, if how it started must be looked up first.
    pub(super) fn missing_start<'a>(&self, entry: &'a Entry) -> Option<&'a str> {
        match self {
            Self::Agentex(frames) => frames.missing_start(&entry.event),
            Self::Events => None,
        }
    }

    /// Takes in the latest event before `entry` that started or ended its message.
    pub(super) fn remember_start(&mut self, entry: &Entry, boundary: Option<&Event>) {
        if let Self::Agentex(frames) = self {
            frames.remember_start(&entry.event, boundary);
        }
    }

    /// The events of an entry; the last one has the entry's id.
    pub(super) fn entry(&mut self, entry: &Entry) -> Option<Bytes> {
        let written = entry.shared.get_or_init(Written::default)?;
        let id = Some(Position::After(entry.id));
        match self {
            Self::Agentex(frames) => {
                if !frames.accept(&entry.event, &written.start) {
                    return None;
                }
                let write = || write_frames(frames.render(&entry.event), id);
                if frames.is_same_for_all(&entry.event) {
                    Some(written.agentex.get_or_init(write).clone())
                } else {
                    Some(write())
                }
            }
            Self::Events => Some(written.events.get_or_init(|| write_logged(entry, id)).clone()),
        }
    }

    /// The events of an entry that stands before the position of the viewer: none has an id.
    pub(super) fn earlier_entry(&mut self, entry: &Entry) -> Option<Bytes> {
        match self {
            Self::Agentex(frames) => frames
                .accept(&entry.event, &SharedStart::default())
                .then(|| write_frames(frames.render(&entry.event), None)),
            Self::Events => Some(write_logged(entry, None)),
        }
    }

    /// All messages of the task. `position` is absent where another event has the id already.
    pub(super) fn messages(&mut self, messages: &[Message], position: Option<Position>) -> Bytes {
        let event = EventWriter::default().id(position);
        match self {
            Self::Agentex(frames) => event.json(&frames.reset(messages)),
            Self::Events => event
                .name("log_reset")
                .json(&json!({ "type": "log_reset", "messages": messages })),
        }
        .end()
    }

    /// The status of the task as Temporal tells it.
    pub(super) fn task_updated(&mut self, task: &TaskRecord, position: Option<Position>) -> Bytes {
        let event = EventWriter::default().id(position);
        match self {
            Self::Agentex(frames) => event.json(&frames.task_updated(task.to_wire(None))),
            Self::Events => event.name("task_updated").json(&json!({
                "type": "task_updated",
                "status": task.status.in_log(),
                "turn": 0,
                "agent": task.agent.name,
                "time": task.updated_at,
            })),
        }
        .end()
    }

    pub(super) fn error(&self, message: &str) -> Bytes {
        let frame = Frame::Error { message };
        match self {
            Self::Agentex(_) => EventWriter::default().json(&frame),
            Self::Events => EventWriter::default().name("error").json(&frame),
        }
        .end()
    }
}

/// The events of frames; the last one has the id.
fn write_frames(frames: Frames<'_>, id: Option<Position>) -> Bytes {
    match frames {
        [Some(first), Some(last)] => EventWriter::default().json(&first).next().id(id).json(&last),
        [Some(only), None] | [None, Some(only)] => EventWriter::default().id(id).json(&only),
        [None, None] => return Bytes::new(),
    }
    .end()
}

/// The event of an entry as the log has it.
fn write_logged(entry: &Entry, id: Option<Position>) -> Bytes {
    let event = EventWriter::default().id(id).name(&type_of(entry));
    event.text(&entry.json).end()
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

#[cfg(test)]
mod tests;
