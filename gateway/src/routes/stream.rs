//! `GET /tasks/{id}/stream`: a task live, as server-sent events. Each frame that
//! ends an entry of the log carries its id; a client that comes back with the
//! last one misses nothing and gets nothing twice. Where the log cannot give
//! that, the viewer gets all messages at once and goes on from there.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::{Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{
        IntoResponse, Response,
        sse::{Event as SseEvent, KeepAlive, Sse},
    },
};
use futures::{Stream, StreamExt as _};
use serde::Deserialize;
use serde_json::json;
use steadfast_eventlog::{Entry, LogItem, Snapshot, Subscription, reader::From};
use steadfast_events::EntryId;
use steadfast_events::{EventKind, Message};
use tokio::time::{Instant, sleep, timeout_at};

use super::tasks;
use crate::{
    access::{Action, Caller},
    error::ApiError,
    gateway::Gateway,
    inbound::Params,
    task::TaskRecord,
    transcript,
    translation::{Translation, bounded_message},
    wire::Frame,
};

const PING: Duration = Duration::from_secs(15);
/// How often the task's status is asked for while nothing happens: a task that
/// was terminated tells nobody.
const RECHECK: Duration = Duration::from_secs(15);
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Pages of the log that are looked through for the beginning of a message.
const PAGES_BACK: usize = 10;
const LAST_EVENT_ID: &str = "last-event-id";
const BEFORE_THE_FIRST: &str = "0";

#[derive(Debug, Deserialize)]
pub struct Options {
    after: Option<String>,
    #[serde(default)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    /// The frames of Agentex.
    #[default]
    Agentex,
    /// The events of our log as they are.
    Events,
}

pub async fn by_id(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Params(options): Params<Options>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let after = resume_from(&headers, &options)?;
    let task = gateway.task(&caller, Action::ReadTasks, &id).await?;
    open(gateway, task, after, options.format).await
}

pub async fn by_name(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Params(options): Params<Options>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let after = resume_from(&headers, &options)?;
    let task = tasks::named(&gateway, &caller, &name).await?;
    open(gateway, task, after, options.format).await
}

/// Where the client wants to go on; the tail when it does not say.
fn resume_from(headers: &HeaderMap, options: &Options) -> Result<From, ApiError> {
    let header = headers
        .get(LAST_EVENT_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| !id.is_empty());
    match header.or(options.after.as_deref()) {
        None => Ok(From::Tail),
        Some(BEFORE_THE_FIRST) => Ok(From::Start),
        Some(id) => id
            .parse()
            .map(From::After)
            .map_err(|error| ApiError::bad_request(format!("{error}"))),
    }
}

async fn open(gateway: Arc<Gateway>, task: TaskRecord, from: From, format: Format) -> Result<Response, ApiError> {
    // Of a task that has ended nothing new comes: show it from the beginning.
    let from = if task.status.is_terminal() && from == From::Tail {
        From::Start
    } else {
        from
    };
    let subscription = gateway.reader.subscribe(&task.id, from).await?;
    let until = if task.status.is_terminal() {
        Until::Entry(gateway.log.tail(&task.id).await?)
    } else {
        Until::TheEnd
    };
    let begun = match from {
        // A viewer of the tail who breaks off before the first event can still go on from here.
        From::Tail => Some(
            subscription
                .begins_after()
                .map_or_else(|| BEFORE_THE_FIRST.to_owned(), |id| id.to_string()),
        ),
        From::Start | From::After(_) => None,
    };
    let viewer = Viewer {
        translation: Translation::new(task.to_wire(None)),
        gateway,
        task,
        format,
        unsettled: false,
        position: match from {
            From::After(id) => Some(id),
            From::Start | From::Tail => None,
        },
    };
    let events = viewer.events(subscription, until, begun);
    let mut response = Sse::new(events)
        .keep_alive(KeepAlive::new().interval(PING).text("ping"))
        .into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-transform"),
    );
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    Ok(response)
}

/// Where a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// With the task.
    TheEnd,
    /// With the last entry of a task that has ended; at once if its log is gone.
    Entry(Option<EntryId>),
}

struct Viewer {
    gateway: Arc<Gateway>,
    task: TaskRecord,
    format: Format,
    translation: Translation,
    /// The log lost something while the turn ran. What the turn had finished
    /// before may be in neither log nor history yet; when the turn has ended, it is.
    unsettled: bool,
    position: Option<EntryId>,
}

impl Viewer {
    fn events(
        mut self,
        mut subscription: Subscription,
        until: Until,
        begun: Option<String>,
    ) -> impl Stream<Item = Result<SseEvent, Infallible>> + Send {
        async_stream::stream! {
            let connected = Frame::Connected { task_id: self.task.id.clone() };
            yield Ok(with_id(self.made_up(&connected), begun));
            let mut recheck = Instant::now() + RECHECK;
            let mut ended = false;
            loop {
                if let Until::Entry(Some(last)) = until && self.position >= Some(last) {
                    break;
                }
                let item = tokio::select! {
                    // The client comes back, to another replica.
                    () = self.gateway.stopping.cancelled() => return,
                    item = timeout_at(recheck, subscription.next()) => item,
                };
                let item = match item {
                    Ok(Some(item)) => item,
                    Ok(None) => break,
                    Err(_) => {
                        recheck = Instant::now() + RECHECK;
                        if self.has_ended().await {
                            break;
                        }
                        continue;
                    }
                };
                match item {
                    LogItem::Entry(entry) => {
                        self.position = Some(entry.id);
                        for event in self.tell(&entry).await {
                            yield Ok(event);
                        }
                        if self.unsettled && is_turn_end(&entry) {
                            self.unsettled = false;
                            if let Some(event) = self.reset_at(entry.id).await {
                                yield Ok(event);
                            }
                        }
                        ended = is_end(&entry);
                    }
                    LogItem::Reset(snapshot) => {
                        let first = self.position.is_none();
                        self.position = snapshot.last;
                        self.unsettled = !snapshot.complete;
                        if let Some(event) = self.reset(snapshot, first).await {
                            yield Ok(event);
                        }
                        if let Until::Entry(None) = until {
                            break;
                        }
                    }
                }
                if ended {
                    break;
                }
            }
            if !ended {
                // The log does not tell of the end, or is gone: Temporal does.
                let _ = self.has_ended().await;
                if self.task.status.is_terminal() {
                    let updated = self.translation.update_task(self.task.to_wire(None));
                    yield Ok(self.made_up(&updated));
                }
            }
        }
    }

    /// An entry as the viewer wants it; the last event carries the entry's id.
    async fn tell(&mut self, entry: &Entry) -> Vec<SseEvent> {
        if self.format == Format::Events {
            return vec![
                SseEvent::default()
                    .id(entry.id.to_string())
                    .event(name_of(entry))
                    .data(&*entry.json),
            ];
        }
        if let Some(message_id) = self.translation.unknown_message(entry) {
            let earlier = self.earlier(message_id, entry.id).await;
            self.translation
                .learn(entry, earlier.as_ref().map(|earlier| &earlier.event));
        }
        let frames = self.translation.frames(entry);
        let last = frames.len().saturating_sub(1);
        let id = |index| (index == last).then(|| entry.id.to_string());
        frames
            .iter()
            .enumerate()
            .map(|(index, frame)| with_id(data(frame), id(index)))
            .collect()
    }

    /// What last began or ended a message before an entry, if that is not far back.
    async fn earlier(&self, message_id: &str, mut before: EntryId) -> Option<Entry> {
        for _ in 0..PAGES_BACK {
            let page = self.gateway.log.page_before(&self.task.id, before).await.ok()?;
            before = page.last()?.id;
            let found = page
                .into_iter()
                .find(|entry| bounded_message(&entry.event.kind) == Some(message_id));
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// All messages as of an entry, once more.
    async fn reset_at(&mut self, entry: EntryId) -> Option<SseEvent> {
        match transcript::messages_until(&self.gateway, &self.task, entry).await {
            // Without an id: the entry's own event had it.
            Ok(messages) => Some(self.log_reset(&messages)),
            // The viewer has all that the log has.
            Err(error) => {
                tracing::warn!(task = %self.task.id, error = &error as &dyn std::error::Error, "a viewer may lack messages");
                None
            }
        }
    }

    /// All messages; none to a viewer who has just come to a task without any.
    async fn reset(&mut self, snapshot: Snapshot, first: bool) -> Option<SseEvent> {
        let last = snapshot.last;
        loop {
            // The newest run may have changed since.
            let _ = self.has_ended().await;
            match transcript::completed(&self.gateway, &self.task, snapshot.clone()).await {
                Ok(messages) if first && last.is_none() && messages.is_empty() => return None,
                Ok(messages) => {
                    let id = last.map_or_else(|| BEFORE_THE_FIRST.to_owned(), |last| last.to_string());
                    return Some(with_id(self.log_reset(&messages), Some(id)));
                }
                Err(error) if error.status.is_server_error() => sleep(RETRY_AFTER).await,
                Err(error) => return Some(self.made_up(&Frame::Error { message: error.message })),
            }
        }
    }

    fn log_reset(&mut self, messages: &[Message]) -> SseEvent {
        let frame = self.translation.reset(messages);
        match self.format {
            Format::Agentex => data(&frame),
            Format::Events => named("log_reset", &json!({ "type": "log_reset", "messages": messages })),
        }
    }

    /// A frame that no entry stands for.
    fn made_up(&self, frame: &Frame) -> SseEvent {
        match (self.format, frame) {
            (Format::Agentex, frame) => data(frame),
            (Format::Events, Frame::Connected { task_id }) => {
                named("connected", &json!({ "type": "connected", "task_id": task_id }))
            }
            (Format::Events, Frame::TaskUpdated { task }) => named(
                "task_updated",
                &json!({
                    "type": "task_updated",
                    "status": self.task.status.in_log(),
                    "turn": 0,
                    "agent": self.task.agent.name,
                    "time": task.updated_at,
                }),
            ),
            (Format::Events, frame) => named("error", frame),
        }
    }

    /// Asks Temporal how the task is.
    async fn has_ended(&mut self) -> bool {
        if let Ok(description) = self.gateway.temporal.describe(&self.task.id).await
            && let Some(task) = TaskRecord::read(description)
        {
            self.task = task;
        }
        self.task.status.is_terminal()
    }
}

fn is_turn_end(entry: &Entry) -> bool {
    entry.event.path.is_empty() && matches!(entry.event.kind, EventKind::TurnEnded { .. })
}

fn is_end(entry: &Entry) -> bool {
    match &entry.event.kind {
        // An agent that worked as a tool is done; the task is not.
        _ if !entry.event.path.is_empty() => false,
        EventKind::TaskUpdated { status, .. } => crate::wire::TaskStatus::from(*status).is_terminal(),
        _ => false,
    }
}

/// The `type` of an event, also of one that this version does not know.
fn name_of(entry: &Entry) -> String {
    #[derive(Deserialize)]
    struct Tagged {
        r#type: String,
    }
    serde_json::from_str(&entry.json)
        .map(|tagged: Tagged| tagged.r#type)
        .ok()
        .filter(|name| !name.contains(['\r', '\n']))
        .unwrap_or_else(|| "unknown".to_owned())
}

fn data(frame: &Frame) -> SseEvent {
    SseEvent::default().data(serde_json::to_string(frame).unwrap_or_default())
}

fn named<T: serde::Serialize>(name: &str, body: &T) -> SseEvent {
    SseEvent::default()
        .event(name)
        .data(serde_json::to_string(body).unwrap_or_default())
}

fn with_id(event: SseEvent, id: Option<String>) -> SseEvent {
    match id {
        Some(id) => event.id(id),
        None => event,
    }
}
