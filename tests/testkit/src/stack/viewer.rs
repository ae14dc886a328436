//! Viewers of a task's stream. [`Viewer`] reads the events of the log in the
//! background and folds them into messages; [`AgentexFrames`] reads the frames of
//! the Agentex protocol.

mod agentex_frames;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, bail};
use futures::StreamExt as _;
use sse_stream::SseByteStream;
use tokio::{sync::watch, task::JoinHandle};

use super::{
    TIMEOUT,
    client::{Client, StreamFormat},
    turn_end::TurnEnd,
};

pub use agentex_frames::AgentexFrames;
pub use state::{Frame, ViewerState};

/// A viewer of one task. It stays connected until the stream ends or the value is
/// dropped.
#[derive(Debug)]
pub struct Viewer {
    client: Client,
    task_id: String,
    shared: Arc<Shared>,
    reader: Mutex<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<ViewerState>,
    changed: watch::Sender<()>,
}

impl Viewer {
    /// Connects after the entry with this id; `0` is before the first entry.
    pub(super) async fn connect(client: Client, task_id: &str, after: &str) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: watch::Sender::new(()),
        });
        let response = client.open_stream(task_id, StreamFormat::Events, Some(after)).await?;
        let reader = Mutex::new(tokio::spawn(read(response, shared.clone())));
        Ok(Self {
            client,
            task_id: task_id.to_owned(),
            shared,
            reader,
        })
    }

    /// Drops the connection, if there is one.
    pub fn disconnect(&self) {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner).abort();
    }

    /// Connects again after the last received entry. Retries until the gateway answers.
    pub async fn resume(&self) -> anyhow::Result<()> {
        self.disconnect();
        let last = self
            .state()
            .last_id()
            .map_or_else(|| "0".to_owned(), |id| id.to_string());
        let response = crate::wait::until("the stream to be resumed", TIMEOUT, async || {
            self.client
                .open_stream(&self.task_id, StreamFormat::Events, Some(&last))
                .await
        })
        .await?;
        self.shared.state().closed = None;
        let reader = tokio::spawn(read(response, self.shared.clone()));
        *self.reader.lock().unwrap_or_else(PoisonError::into_inner) = reader;
        Ok(())
    }

    /// Everything received so far.
    pub fn state(&self) -> ViewerState {
        self.shared.state().clone()
    }

    /// Waits until a turn has ended.
    pub async fn until_turn_ended(&self, number: u32) -> anyhow::Result<ViewerState> {
        let what = format!("the end of turn {number} of task {}", self.task_id);
        self.until(&what, |state| state.of_turn("turn_ended", number).is_some())
            .await
    }

    /// Waits until a turn has ended, and returns its end.
    pub async fn turn_ended(&self, number: u32) -> anyhow::Result<TurnEnd> {
        let state = self.until_turn_ended(number).await?;
        let frame = state.of_turn("turn_ended", number).context("find the end of a turn")?;
        serde_json::from_value(frame.data.clone()).context("read the end of a turn")
    }

    /// Waits until the task has ended, and returns its last status.
    pub async fn until_task_ended(&self) -> anyhow::Result<String> {
        self.find("the end of the task", |state| {
            let last = state.frames.iter().rev().find(|frame| frame.kind == "task_updated")?;
            let status = last.data["status"].as_str()?;
            (status != "running").then(|| status.to_owned())
        })
        .await
    }

    /// Waits until a message of the agent, complete or not, has this text.
    pub async fn until_text(&self, text: &str) -> anyhow::Result<ViewerState> {
        self.until(&format!("the text {text:?}"), |state| state.last_text() == text)
            .await
    }

    /// Waits until the condition holds.
    pub async fn until(
        &self,
        what: &str,
        mut condition: impl FnMut(&ViewerState) -> bool,
    ) -> anyhow::Result<ViewerState> {
        self.find(what, |state| condition(state).then(|| state.clone())).await
    }

    /// Waits until `search` returns a value.
    pub async fn find<T>(&self, what: &str, mut search: impl FnMut(&ViewerState) -> Option<T>) -> anyhow::Result<T> {
        let mut changed = self.shared.changed.subscribe();
        let found = tokio::time::timeout(TIMEOUT, async {
            loop {
                changed.borrow_and_update();
                let (found, closed) = {
                    let state = self.shared.state();
                    (search(&state), state.closed.clone())
                };
                match (found, closed) {
                    (Some(found), _) => return Ok(found),
                    (None, Some(reason)) => bail!("the stream ended: {reason}"),
                    (None, None) => changed.changed().await.context("wait for a dropped viewer")?,
                }
            }
        });
        let outcome = found
            .await
            .unwrap_or_else(|_| Err(anyhow::anyhow!("gave up after {TIMEOUT:?}")));
        outcome.with_context(|| {
            format!(
                "wait for a viewer to receive {what}; it received {}",
                self.state().summary()
            )
        })
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.disconnect();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, ViewerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut ViewerState)) {
        change(&mut self.state());
        self.changed.send_replace(());
    }
}

async fn read(response: reqwest::Response, shared: Arc<Shared>) {
    let mut stream = SseByteStream::new(response.bytes_stream());
    let reason = loop {
        match stream.next().await {
            Some(Ok(event)) => shared.update(|state| state.receive(event)),
            Some(Err(error)) => break format!("{:#}", anyhow::Error::from(error)),
            None => break "the gateway closed it".to_owned(),
        }
    };
    shared.update(|state| state.closed = Some(reason));
}
