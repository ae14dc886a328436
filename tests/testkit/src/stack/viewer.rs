//! Somebody who watches a task: reads its stream in the background, folds it
//! as any viewer does, and answers questions about what was seen.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, bail};
use serde_json::Value;
use steadfast_events::EntryId;
use steadfast_events::{Event, EventKind, Fold, Message, MessageStatus};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Client, Line, PATIENCE, sse};

/// One frame of the stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    pub id: Option<EntryId>,
    /// `type` of the event, or `log_reset`, `connected` …
    pub kind: String,
    pub data: Value,
}

impl Frame {
    /// It tells of an agent that was asked by the one people talk to.
    pub fn is_nested(&self) -> bool {
        self.data["path"].as_str().is_some_and(|path| !path.is_empty())
    }
}

/// Everything a viewer has seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub frames: Vec<Frame>,
    fold: Fold,
    /// Why the connection ended, if it did.
    pub closed: Option<String>,
}

/// A viewer of one task. It stays connected until the stream ends or it is dropped.
#[derive(Debug)]
pub struct Viewer {
    client: Client,
    task_id: String,
    shared: Arc<Shared>,
    reader: Mutex<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    seen: Mutex<Seen>,
    changed: watch::Sender<()>,
}

impl Viewer {
    /// Connects after an entry: `0` is before the first one.
    pub(super) async fn connect(client: Client, task_id: &str, after: &str) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            changed: watch::Sender::new(()),
        });
        let response = client.open_stream(task_id, Some(after)).await?;
        let reader = Mutex::new(tokio::spawn(read(response, shared.clone())));
        Ok(Self {
            client,
            task_id: task_id.to_owned(),
            shared,
            reader,
        })
    }

    /// Drops the connection, if there still is one.
    pub fn disconnect(&self) {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner).abort();
    }

    /// Connects again after the last entry seen; tries until the gateway answers.
    pub async fn resume(&self) -> anyhow::Result<()> {
        self.disconnect();
        let last = self
            .seen()
            .last_id()
            .map_or_else(|| "0".to_owned(), |id| id.to_string());
        let response = crate::wait::until("the stream to be taken up again", PATIENCE, async || {
            self.client.open_stream(&self.task_id, Some(&last)).await
        })
        .await?;
        self.shared.seen().closed = None;
        let reader = tokio::spawn(read(response, self.shared.clone()));
        *self.reader.lock().unwrap_or_else(PoisonError::into_inner) = reader;
        Ok(())
    }

    /// What was seen so far.
    pub fn seen(&self) -> Seen {
        self.shared.seen().clone()
    }

    /// Waits until what was seen meets the condition.
    pub async fn until(&self, what: &str, mut condition: impl FnMut(&Seen) -> bool) -> anyhow::Result<Seen> {
        self.find(what, |seen| condition(seen).then(|| seen.clone())).await
    }

    /// Waits until something is found in what was seen.
    pub async fn find<T>(&self, what: &str, mut look: impl FnMut(&Seen) -> Option<T>) -> anyhow::Result<T> {
        let mut changed = self.shared.changed.subscribe();
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                changed.borrow_and_update();
                let (found, closed) = {
                    let seen = self.shared.seen();
                    (look(&seen), seen.closed.clone())
                };
                match (found, closed) {
                    (Some(found), _) => return Ok(found),
                    (None, Some(why)) => bail!("the stream ended: {why}"),
                    (None, None) => changed.changed().await.context("the viewer is gone")?,
                }
            }
        });
        let outcome = found
            .await
            .unwrap_or_else(|_| Err(anyhow::anyhow!("gave up after {PATIENCE:?}")));
        outcome.with_context(|| format!("wait for a viewer to see {what}; it saw {}", self.seen().summary()))
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.disconnect();
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen());
        self.changed.send_replace(());
    }
}

impl Seen {
    /// The conversation as it looks now.
    pub fn lines(&self) -> Vec<Line> {
        self.fold.messages().map(Line::of_log).collect()
    }

    /// The text of the newest message of the agent, complete or not.
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

    /// The text of the agent's newest message as it was after each frame.
    pub fn texts(&self) -> Vec<String> {
        let mut replayed = Self::default();
        let frames = self.frames.iter().cloned();
        let texts = frames.map(|frame| {
            replayed.show(frame);
            replayed.last_text()
        });
        texts.collect()
    }

    pub fn count(&self, kind: &str) -> usize {
        self.frames.iter().filter(|frame| frame.kind == kind).count()
    }

    /// The first frame of a kind that belongs to a turn of the conversation itself.
    pub fn of_turn(&self, kind: &str, turn: u32) -> Option<&Frame> {
        self.frames
            .iter()
            .find(|frame| frame.kind == kind && frame.data["turn"] == turn && !frame.is_nested())
    }

    pub fn last_id(&self) -> Option<EntryId> {
        self.frames.iter().rev().find_map(|frame| frame.id)
    }

    /// The ids of the entries, in the order they came.
    pub fn ids(&self) -> Vec<EntryId> {
        let entries = self
            .frames
            .iter()
            .filter(|frame| frame.kind != "log_reset" && frame.kind != "connected");
        entries.filter_map(|frame| frame.id).collect()
    }

    /// An error if an entry is missing between two, or came twice, or out of order.
    pub fn check_gapless(&self) -> anyhow::Result<()> {
        for pair in self.ids().windows(2) {
            if !pair[0].is_followed_by(pair[1]) {
                bail!("entry {} came after {}; seen: {}", pair[1], pair[0], self.summary());
            }
        }
        Ok(())
    }

    /// Ids and kinds, for the message of a failed test.
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

    fn take(&mut self, event: sse::Event) {
        let data: Value = serde_json::from_str(&event.data).unwrap_or_else(|_| Value::String(event.data.clone()));
        let kind = data["type"]
            .as_str()
            .map(str::to_owned)
            .or(event.name)
            .unwrap_or_default();
        let id = event.id.and_then(|id| id.parse().ok());
        self.show(Frame { id, kind, data });
    }

    fn show(&mut self, frame: Frame) {
        if frame.kind == "log_reset" {
            self.fold = of_snapshot(&frame.data["messages"]);
        } else if let Ok(event) = serde_json::from_value::<Event>(frame.data.clone()) {
            self.fold.apply(&event);
        }
        self.frames.push(frame);
    }
}

/// A fold that has these messages already.
fn of_snapshot(messages: &Value) -> Fold {
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
        // Attempt 0: whoever goes on with an open message is listened to.
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

async fn read(mut response: reqwest::Response, shared: Arc<Shared>) {
    let mut parser = sse::Parser::default();
    let why = loop {
        match response.chunk().await {
            Ok(Some(bytes)) => {
                for event in parser.push(&bytes) {
                    shared.change(|seen| seen.take(event));
                }
            }
            Ok(None) => break "the gateway ended it".to_owned(),
            Err(error) => break format!("{:#}", anyhow::Error::from(error)),
        }
    };
    shared.change(|seen| seen.closed = Some(why));
}
