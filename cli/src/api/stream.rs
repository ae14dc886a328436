//! Follows a task's events. A broken connection is taken up again where it
//! broke, with `Last-Event-ID`, for as long as anyone listens.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::Response;
use serde::Deserialize;
use steadfast_events::{Event, Message};
use tokio::sync::mpsc;

use super::{Gateway, is_transient};
use crate::sse::{Frame, Parser};

/// The gateway pings every 15 s; a connection silent for longer than this is dead.
const LONGEST_SILENCE: Duration = Duration::from_secs(45);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Items that may wait for the terminal before reading stops.
const BUFFER: usize = 256;

/// What a follower of a task gets.
#[derive(Debug)]
pub enum Item {
    Event(Box<Event>),
    /// The log was replaced: these are the messages now; events go on after them.
    Reset(Vec<Message>),
    /// The connection broke and is being taken up again.
    Interrupted(String),
    /// The connection stands again; nothing was missed.
    Resumed,
    /// Following on is pointless. The last item.
    Failed(anyhow::Error),
}

#[derive(Deserialize)]
struct LogReset {
    messages: Vec<Message>,
}

/// Follows a task from its first event.
pub fn stream_task(gateway: Gateway, task_id: &str) -> mpsc::Receiver<Item> {
    let (sender, receiver) = mpsc::channel(BUFFER);
    let task_id = task_id.to_owned();
    tokio::spawn(async move {
        let follower = Follower {
            gateway,
            task_id,
            sender,
            last_id: None,
        };
        follower.follow().await;
    });
    receiver
}

struct Follower {
    gateway: Gateway,
    task_id: String,
    sender: mpsc::Sender<Item>,
    last_id: Option<String>,
}

/// Nobody listens any more.
struct Unheard;

enum Connected {
    Open(Response),
    Refused(anyhow::Error),
    /// Worth trying again.
    Away(String),
}

impl Follower {
    async fn follow(mut self) {
        // An error here means that nobody listens: there is nobody to tell.
        let _ = self.follow_until_unheard().await;
    }

    async fn follow_until_unheard(&mut self) -> Result<(), Unheard> {
        let mut pause = FIRST_PAUSE;
        let mut interrupted = false;
        loop {
            let why = match self.connect().await {
                Connected::Refused(error) => return self.send(Item::Failed(error)).await,
                Connected::Away(why) => why,
                Connected::Open(response) => {
                    if std::mem::take(&mut interrupted) {
                        self.send(Item::Resumed).await?;
                    }
                    pause = FIRST_PAUSE;
                    self.read(response).await?
                }
            };
            if !std::mem::replace(&mut interrupted, true) {
                self.send(Item::Interrupted(why)).await?;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn connect(&self) -> Connected {
        let mut url = match self.gateway.url(&["tasks", &self.task_id, "stream"]) {
            Ok(url) => url,
            Err(error) => return Connected::Refused(error),
        };
        url.query_pairs_mut().append_pair("format", "events");
        let request = self.gateway.authorized(self.gateway.http.get(url));
        // 0 stands for the time before the first entry.
        let last_id = self.last_id.as_deref().unwrap_or("0");
        let request = request
            .header("Accept", "text/event-stream")
            .header("Last-Event-ID", last_id);
        match request.send().await {
            Ok(response) if is_transient(response.status()) => Connected::Away(format!("status {}", response.status())),
            Ok(response) => match self.gateway.accepted(response).await {
                Ok(response) => Connected::Open(response),
                Err(error) => Connected::Refused(error),
            },
            Err(error) => Connected::Away(innermost(&error)),
        }
    }

    /// Hands on events until the connection ends, and says why it did.
    async fn read(&mut self, mut response: Response) -> Result<String, Unheard> {
        let mut parser = Parser::default();
        loop {
            let piece = match tokio::time::timeout(LONGEST_SILENCE, response.chunk()).await {
                Ok(Ok(Some(piece))) => piece,
                Ok(Ok(None)) => return Ok("the gateway closed the stream".to_owned()),
                Ok(Err(error)) => return Ok(innermost(&error)),
                Err(_) => return Ok("the stream fell silent".to_owned()),
            };
            for frame in parser.push(&piece) {
                self.hand_on(frame).await?;
            }
        }
    }

    async fn hand_on(&mut self, frame: Frame) -> Result<(), Unheard> {
        match parse_frame(&frame) {
            Ok(Some(item)) => self.send(item).await?,
            Ok(None) => {}
            Err(error) => self.send(Item::Failed(error)).await?,
        }
        // Only what was handed on counts as seen.
        self.last_id = frame.id.or(self.last_id.take());
        Ok(())
    }

    async fn send(&self, item: Item) -> Result<(), Unheard> {
        self.sender.send(item).await.map_err(|_| Unheard)
    }
}

/// The item in a frame; none in frames that only serve the connection.
fn parse_frame(frame: &Frame) -> anyhow::Result<Option<Item>> {
    #[derive(Deserialize)]
    struct Tag {
        #[serde(rename = "type", default)]
        kind: String,
    }
    let tag: Tag =
        serde_json::from_str(&frame.data).context("read a frame of the stream: is this server a Steadfast gateway?")?;
    let kind = frame.name.as_deref().unwrap_or(&tag.kind);
    if kind == "log_reset" {
        let reset: LogReset = serde_json::from_str(&frame.data).context("read a log_reset frame")?;
        return Ok(Some(Item::Reset(reset.messages)));
    }
    // Frames the gateway makes up by itself (connected, …) have no time and are no events.
    Ok(serde_json::from_str(&frame.data)
        .ok()
        .map(|event| Item::Event(Box::new(event))))
}

/// The last cause is the one that says what happened: `connection refused`.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
