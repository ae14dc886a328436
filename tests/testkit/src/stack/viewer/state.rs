//! The state of a viewer: the received frames, and the messages folded from them.

use anyhow::bail;
use serde_json::Value;
use sse_stream::Sse;
use steadfast_events::{EntryId, Event, EventKind, Fold, Message, MessageStatus};

use crate::stack::line::Line;

/// One frame of the stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    pub id: Option<EntryId>,
    /// The `type` of the event, or `log_reset`, `connected` …
    pub kind: String,
    pub data: Value,
}

impl Frame {
    /// Whether the frame is of an agent that another agent called as a tool.
    pub fn is_nested(&self) -> bool {
        self.data["path"].as_str().is_some_and(|path| !path.is_empty())
    }
}

/// Everything that a viewer has received.
#[derive(Clone, Debug, Default)]
pub struct ViewerState {
    pub frames: Vec<Frame>,
    fold: Fold,
    /// The reason why the connection ended, if it did.
    pub closed: Option<String>,
}

impl ViewerState {
    /// The messages as the viewer shows them now.
    pub fn lines(&self) -> Vec<Line> {
        self.fold.messages().map(Line::of_log).collect()
    }

    /// The text of the agent's newest message, complete or not.
    pub fn last_text(&self) -> String {
        let text = |line: Line| match line {
            Line::Agent(text) => Some(text),
            Line::Open(inner) => match *inner {
                Line::Agent(text) => Some(text),
                _ => None,
            },
            _ => None,
        };
        self.lines().into_iter().rev().find_map(text).unwrap_or_default()
    }

    /// The text of the agent's newest message after each frame.
    pub fn texts(&self) -> Vec<String> {
        let mut replayed = Self::default();
        let frames = self.frames.iter().cloned();
        let texts = frames.map(|frame| {
            replayed.apply(frame);
            replayed.last_text()
        });
        texts.collect()
    }

    /// The number of frames of a kind.
    pub fn count(&self, kind: &str) -> usize {
        self.frames.iter().filter(|frame| frame.kind == kind).count()
    }

    /// The first frame of a kind and a turn, nested frames excluded.
    pub fn of_turn(&self, kind: &str, turn: u32) -> Option<&Frame> {
        self.frames
            .iter()
            .find(|frame| frame.kind == kind && frame.data["turn"] == turn && !frame.is_nested())
    }

    pub fn last_id(&self) -> Option<EntryId> {
        self.frames.iter().rev().find_map(|frame| frame.id)
    }

    /// The ids of the log entries, in the order of their arrival.
    pub fn ids(&self) -> Vec<EntryId> {
        let entries = self
            .frames
            .iter()
            .filter(|frame| frame.kind != "log_reset" && frame.kind != "connected");
        entries.filter_map(|frame| frame.id).collect()
    }

    /// An error if an entry is missing, duplicate or out of order.
    pub fn check_gapless(&self) -> anyhow::Result<()> {
        for pair in self.ids().windows(2) {
            if !pair[0].is_followed_by(pair[1]) {
                bail!("entry {} came after {}; received: {}", pair[1], pair[0], self.summary());
            }
        }
        Ok(())
    }

    /// The ids and kinds of the frames, for the message of a failed assertion.
    pub fn summary(&self) -> String {
        let frame = |frame: &Frame| {
            let id = frame.id.map_or_else(|| "-".to_owned(), |id| id.number.to_string());
            format!("{id}:{}", frame.kind)
        };
        let frames: Vec<String> = self.frames.iter().map(frame).collect();
        format!(
            "[{}], messages {:?}, closed: {:?}",
            frames.join(" "),
            self.lines(),
            self.closed
        )
    }

    pub(super) fn receive(&mut self, event: Sse) {
        let Some(data) = event.data else { return };
        let data: Value = serde_json::from_str(&data).unwrap_or(Value::String(data));
        let kind = data["type"]
            .as_str()
            .map(str::to_owned)
            .or(event.event)
            .unwrap_or_default();
        let id = event.id.and_then(|id| id.parse().ok());
        self.apply(Frame { id, kind, data });
    }

    fn apply(&mut self, frame: Frame) {
        if frame.kind == "log_reset" {
            self.fold = fold_of_snapshot(&frame.data["messages"]);
        } else if let Ok(event) = serde_json::from_value::<Event>(frame.data.clone()) {
            self.fold.apply(&event);
        }
        self.frames.push(frame);
    }
}

/// A fold that starts with these messages.
fn fold_of_snapshot(messages: &Value) -> Fold {
    let messages: Vec<Message> = serde_json::from_value(messages.clone()).unwrap_or_default();
    let mut fold = Fold::default();
    for message in messages {
        let kind = match message.status {
            MessageStatus::Done | MessageStatus::Interrupted => EventKind::MessageDone {
                message: message.clone(),
            },
            MessageStatus::InProgress => EventKind::MessageStarted {
                message_id: message.id.clone(),
                content: message.content.clone(),
            },
        };
        // Any attempt may continue an open message of attempt 0.
        let event = Event {
            kind,
            turn: message.turn,
            attempt: 0,
            agent: message.agent.clone(),
            path: String::new(),
            time: message.updated_at,
        };
        fold.apply(&event);
    }
    fold
}
