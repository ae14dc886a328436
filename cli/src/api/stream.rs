//! Follows the events of a task. After a broken connection it reconnects with
//! `Last-Event-ID`, so that no event is lost or delivered twice, until the
//! receiver is dropped.

use std::error::Error;
use std::time::Duration;

use anyhow::Context as _;
use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use futures::StreamExt as _;
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use sse_stream::Sse;
use steadfast_events::{Event, Message};
use tokio::sync::mpsc;

use super::{GatewayClient, is_transient, require_success, sse};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Items that may wait for the terminal before this side stops reading.
const BUFFER: usize = 256;
/// The position before the first event of a log.
const BEFORE_FIRST_EVENT: &str = "0";

#[derive(Debug)]
pub(crate) enum StreamItem {
    Event(Box<Event>),
    /// The log was replaced. These messages replace everything before; later events follow.
    Reset(Vec<Message>),
    /// The connection broke, for this reason. The follower reconnects.
    Disconnected(String),
    /// The connection works again. No event was missed.
    Reconnected,
    /// The gateway refused the stream. This is the last item.
    Failed(anyhow::Error),
}

#[derive(Deserialize)]
struct LogReset {
    messages: Vec<Message>,
}

/// Follows a task from its first event.
pub(crate) fn follow_task(client: GatewayClient, task_id: &str) -> mpsc::Receiver<StreamItem> {
    let (sender, receiver) = mpsc::channel(BUFFER);
    let follower = TaskFollower {
        client,
        task_id: task_id.to_owned(),
        sender,
        last_id: None,
    };
    tokio::spawn(follower.run());
    receiver
}

struct TaskFollower {
    client: GatewayClient,
    task_id: String,
    sender: mpsc::Sender<StreamItem>,
    last_id: Option<String>,
}

/// The receiver of the items was dropped.
struct ReceiverDropped;

enum ConnectResult {
    Connected(Response),
    /// The task has ended, and everything was received.
    Ended,
    Refused(anyhow::Error),
    /// Another attempt may succeed.
    Unavailable(String),
}

impl TaskFollower {
    async fn run(mut self) {
        // The only error is that nobody receives the items any more.
        let _ = self.follow().await;
    }

    async fn follow(&mut self) -> Result<(), ReceiverDropped> {
        let mut pauses = backoff();
        let mut disconnected = false;
        loop {
            let reason = match self.connect().await {
                ConnectResult::Refused(error) => return self.send(StreamItem::Failed(error)).await,
                ConnectResult::Ended => return Ok(()),
                ConnectResult::Unavailable(reason) => reason,
                ConnectResult::Connected(response) => {
                    if std::mem::take(&mut disconnected) {
                        self.send(StreamItem::Reconnected).await?;
                    }
                    pauses = backoff();
                    self.read(response).await?
                }
            };
            if !std::mem::replace(&mut disconnected, true) {
                self.send(StreamItem::Disconnected(reason)).await?;
            }
            tokio::time::sleep(pauses.next().unwrap_or(LONGEST_PAUSE)).await;
        }
    }

    async fn connect(&self) -> ConnectResult {
        let mut url = match self.client.url(&["tasks", &self.task_id, "stream"]) {
            Ok(url) => url,
            Err(error) => return ConnectResult::Refused(error),
        };
        url.query_pairs_mut().append_pair("format", "events");
        let request = self
            .client
            .authorize(self.client.http.get(url))
            .header("Accept", "text/event-stream")
            .header("Last-Event-ID", self.last_id.as_deref().unwrap_or(BEFORE_FIRST_EVENT));
        match request.send().await {
            Ok(response) if is_transient(response.status()) => {
                ConnectResult::Unavailable(format!("status {}", response.status()))
            }
            Ok(response) if response.status() == StatusCode::NO_CONTENT => ConnectResult::Ended,
            Ok(response) => match require_success(&self.client.server, response).await {
                Ok(response) => ConnectResult::Connected(response),
                Err(error) => ConnectResult::Refused(error),
            },
            Err(error) => ConnectResult::Unavailable(root_cause(&error)),
        }
    }

    /// Forwards events until the connection ends, and returns the reason of the end.
    async fn read(&mut self, response: Response) -> Result<String, ReceiverDropped> {
        let mut events = sse::events(response.bytes_stream(), sse::SILENCE_LIMIT);
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => self.forward(event).await?,
                Err(error) => return Ok(root_cause(&error)),
            }
        }
        Ok("the gateway closed the stream".to_owned())
    }

    async fn forward(&mut self, event: Sse) -> Result<(), ReceiverDropped> {
        match parse_event(&event) {
            Ok(Some(item)) => self.send(item).await?,
            Ok(None) => {}
            Err(error) => self.send(StreamItem::Failed(error)).await?,
        }
        // Only now: an event that was not forwarded is requested again after a reconnect.
        self.last_id = event.id.or(self.last_id.take());
        Ok(())
    }

    async fn send(&self, item: StreamItem) -> Result<(), ReceiverDropped> {
        self.sender.send(item).await.map_err(|_| ReceiverDropped)
    }
}

fn backoff() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .without_max_times()
        .build()
}

/// The item in a server-sent event. `None` for events that only concern the connection, such as `connected`.
fn parse_event(event: &Sse) -> anyhow::Result<Option<StreamItem>> {
    #[derive(Deserialize)]
    struct Tag {
        #[serde(rename = "type", default)]
        kind: String,
    }
    let Some(data) = &event.data else { return Ok(None) };
    let tag: Tag =
        serde_json::from_str(data).context("read an event of the stream: is this server a Steadfast gateway?")?;
    let kind = event.event.as_deref().unwrap_or(&tag.kind);
    if kind == "log_reset" {
        let reset: LogReset = serde_json::from_str(data).context("read a log_reset event")?;
        return Ok(Some(StreamItem::Reset(reset.messages)));
    }
    // Events of the connection have no time, so they do not parse as events of the task.
    Ok(serde_json::from_str(data)
        .ok()
        .map(|event| StreamItem::Event(Box::new(event))))
}

/// The innermost error, which says what happened: `connection refused`.
fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests;
