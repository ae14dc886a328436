//! What a viewer gets as server-sent events: Agentex's frames, or the events of the log as
//! they are. Pure.

use std::{borrow::Cow, fmt, str::FromStr};

use axum::response::sse::Event as SseEvent;
use serde::{Deserialize, Serialize};
use serde_json::json;
use steadfast_eventlog::Entry;
use steadfast_events::{EntryId, Event, Message, ParseEntryIdError};

use crate::{
    agentex::{frames::AgentexFrames, wire::Frame},
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

/// The last entry that a viewer has; none before the first. On the wire `0` stands for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntryPosition(pub(super) Option<EntryId>);

impl fmt::Display for EntryPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(id) => id.fmt(f),
            None => f.write_str("0"),
        }
    }
}

impl FromStr for EntryPosition {
    type Err = ParseEntryIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "0" => Ok(Self(None)),
            id => id.parse().map(|id| Self(Some(id))),
        }
    }
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
    pub(super) fn connected(&self, task_id: &str, start: Option<EntryPosition>) -> SseEvent {
        let event = match self {
            Self::Agentex(_) => data(&Frame::Connected { task_id }),
            Self::Events => named("connected", &json!({ "type": "connected", "task_id": task_id })),
        };
        with_id(event, start)
    }

    /// The id of the message that an entry changes, if how it started must be looked up first.
    pub(super) fn missing_start<'a>(&self, entry: &'a Entry) -> Option<&'a str> {
        match self {
            Self::Agentex(frames) => frames.missing_start(entry),
            Self::Events => None,
        }
    }

    /// Takes in the latest event before `entry` that started or ended its message.
    pub(super) fn remember_start(&mut self, entry: &Entry, boundary: Option<&Event>) {
        if let Self::Agentex(frames) = self {
            frames.remember_start(entry, boundary);
        }
    }

    /// The events of an entry; the last one has the entry's id.
    pub(super) fn entry(&mut self, entry: &Entry) -> [Option<SseEvent>; 2] {
        let id = Some(EntryPosition(Some(entry.id)));
        match self {
            Self::Agentex(frames) => match frames.frames(entry) {
                [first, None] => [first.map(|frame| with_id(data(&frame), id)), None],
                [first, Some(last)] => [first.map(|frame| data(&frame)), Some(with_id(data(&last), id))],
            },
            Self::Events => {
                let event = SseEvent::default().event(type_of(entry)).data(&*entry.json);
                [Some(with_id(event, id)), None]
            }
        }
    }

    /// All messages of the task. `position` is absent where another event has the id already.
    pub(super) fn messages(&mut self, messages: &[Message], position: Option<EntryPosition>) -> SseEvent {
        let event = match self {
            Self::Agentex(frames) => data(&frames.reset(messages)),
            Self::Events => named("log_reset", &json!({ "type": "log_reset", "messages": messages })),
        };
        with_id(event, position)
    }

    /// The status of the task as Temporal tells it.
    pub(super) fn task_updated(&mut self, task: &TaskRecord) -> SseEvent {
        match self {
            Self::Agentex(frames) => data(&frames.task_updated(task.to_wire(None))),
            Self::Events => named(
                "task_updated",
                &json!({
                    "type": "task_updated",
                    "status": task.status.in_log(),
                    "turn": 0,
                    "agent": task.agent.name,
                    "time": task.updated_at,
                }),
            ),
        }
    }

    pub(super) fn error(&self, message: &str) -> SseEvent {
        let frame = Frame::Error { message };
        match self {
            Self::Agentex(_) => data(&frame),
            Self::Events => named("error", &frame),
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

fn data<T: Serialize>(body: &T) -> SseEvent {
    SseEvent::default()
        .json_data(body)
        .unwrap_or_else(|_| SseEvent::default())
}

fn named<T: Serialize>(name: &str, body: &T) -> SseEvent {
    SseEvent::default()
        .event(name)
        .data(serde_json::to_string(body).unwrap_or_default())
}

fn with_id(event: SseEvent, position: Option<EntryPosition>) -> SseEvent {
    match position {
        Some(position) => event.id(position.to_string()),
        None => event,
    }
}
