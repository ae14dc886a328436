//! `GET /tasks/{id}/stream`: a task live, as server-sent events. The last frame of each log
//! entry has the entry's id; a client that comes back with its last id misses no frame and
//! gets none twice. Where the log cannot promise that, the viewer gets all messages at once
//! and goes on from there.

mod boundary;
mod format;

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use serde::Deserialize;
use steadfast_eventlog::{Entry, reader::From};
use utoipa::IntoParams;

use self::{
    boundary::boundary,
    format::{Format, Output},
};
use super::{extractors::Params, server_sent_events::response_of, tasks};
use crate::{
    access::{Action, Session},
    app::Gateway,
    error::{ApiError, ErrorBody},
    follow::{End, Follower, Position, Update},
    messages,
    task::TaskRecord,
};

const LAST_EVENT_ID: &str = "last-event-id";

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Options {
    /// The id of the last entry that the client has, as in the header `Last-Event-ID`; `0` starts at the beginning.
    after: Option<String>,
    /// `agentex` (the default) or `events`.
    #[param(value_type = Option<String>)]
    #[serde(default)]
    format: Format,
}

/// A task live.
#[utoipa::path(
    get,
    path = "/tasks/{task_id}/stream",
    operation_id = "stream_task",
    tag = "tasks",
    params(("task_id" = String, Path, description = "Id of the task."), Options),
    responses(
        (status = OK, description = "Server-sent events.", content_type = "text/event-stream", body = String),
        (status = NO_CONTENT, description = "The task has ended and the client has all of it: an EventSource stops asking."),
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(super) async fn by_id(
    State(gateway): State<Arc<Gateway>>,
    Extension(session): Extension<Session>,
    Path(id): Path<String>,
    Params(options): Params<Options>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let position = last_position(&headers, &options)?;
    let task = gateway.task(&session.caller, Action::ReadTasks, &id).await?;
    open(gateway, session, task, position, options.format).await
}

/// A task live, by name.
#[utoipa::path(
    get,
    path = "/tasks/name/{task_name}/stream",
    operation_id = "stream_task_by_name",
    tag = "tasks",
    params(("task_name" = String, Path, description = "Name of the task."), Options),
    responses(
        (status = OK, description = "Server-sent events.", content_type = "text/event-stream", body = String),
        (status = NO_CONTENT, description = "The task has ended and the client has all of it: an EventSource stops asking."),
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(super) async fn by_name(
    State(gateway): State<Arc<Gateway>>,
    Extension(session): Extension<Session>,
    Path(name): Path<String>,
    Params(options): Params<Options>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let position = last_position(&headers, &options)?;
    let task = tasks::named(&gateway, &session.caller, &name).await?;
    open(gateway, session, task, position, options.format).await
}

/// The last position of the client, if it says so.
fn last_position(headers: &HeaderMap, options: &Options) -> Result<Option<Position>, ApiError> {
    let header = headers
        .get(LAST_EVENT_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| !id.is_empty());
    header
        .or(options.after.as_deref())
        .map(|id| id.parse().map_err(|error| ApiError::bad_request(format!("{error}"))))
        .transpose()
}

async fn open(
    gateway: Arc<Gateway>,
    session: Session,
    task: TaskRecord,
    position: Option<Position>,
    format: Format,
) -> Result<Response, ApiError> {
    let has_ended = task.status.is_terminal();
    if !has_ended && gateway.agents.by_name(&task.agent).is_none() {
        return Err(ApiError::not_found("the agent of the task"));
    }
    let end = End::of(&gateway, &task).await?;
    let has_all = match position {
        Some(Position::After(_)) if has_all_entries(position, end) => {
            messages::missing_at_the_end(&gateway, &task).await?.is_none()
        }
        _ => has_all_entries(position, end),
    };
    if has_all {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let from = match position {
        Some(Position::After(id)) => From::After(id),
        Some(Position::Start) => From::Start,
        // A task that has ended has no new entries: show it from the beginning.
        Some(Position::End) | None if has_ended => From::Start,
        Some(Position::End) | None => From::Tail,
    };
    let place = gateway.load.stream(&session.caller).await?;
    let subscription = gateway.reader.subscribe(&task.own_log(), from).await?;
    let (cursor, told) = match from {
        // A viewer of the tail who loses the connection before the first entry can still resume.
        From::Tail => (None, Some(Position::after(subscription.begins_after()))),
        From::Start | From::Beginning => (None, None),
        From::After(id) => (Some(id), None),
    };
    let task = Arc::new(task);
    let follower = Follower::new(gateway.clone(), session, task.clone(), place, cursor);
    let updates = follower.updates(subscription, end);
    Ok(response_of(events(gateway, task, format, told, updates)))
}

/// What the viewer gets. `told` is a position that the viewer does not know yet.
fn events(
    gateway: Arc<Gateway>,
    task: Arc<TaskRecord>,
    format: Format,
    told: Option<Position>,
    mut updates: impl Stream<Item = Update> + Send + Unpin + 'static,
) -> impl Stream<Item = Bytes> + Send + 'static {
    async_stream::stream! {
        let mut output = Output::new(format, &task);
        yield output.connected(&task.id, told);
        while let Some(update) = updates.next().await {
            match update {
                Update::Entry(entry) => {
                    learn_start(&gateway, &task, &mut output, &entry).await;
                    if let Some(events) = output.entry(&entry) {
                        yield events;
                    }
                }
                Update::Messages(all) => {
                    yield output.messages(&all.messages, all.position);
                    // Who waits for the end of a turn does not get it after the messages, which cover its entry.
                    let turn_end = all.turn_end.and_then(|entry| output.earlier_entry(&entry));
                    if let Some(events) = turn_end {
                        yield events;
                    }
                }
                Update::Ended(ended) => {
                    if let Some(all) = ended.missing {
                        yield output.messages(&all, None);
                    }
                    yield output.task_updated(&ended.task, ended.position);
                }
                Update::Error(reason) => yield output.error(&reason),
            }
        }
    }
}

/// Looks up how the message of an entry started, where the viewer came later.
async fn learn_start(gateway: &Gateway, task: &TaskRecord, output: &mut Output, entry: &Entry) {
    if let Some(message_id) = output.missing_start(entry) {
        // On the heap: every stream would carry its size, and few need it.
        let boundary = Box::pin(boundary(gateway, task, message_id, entry.id)).await;
        output.remember_start(entry, boundary.as_ref().map(|boundary| &boundary.event));
    }
}

/// Whether a client that comes back has everything that the log of a task that has ended has.
fn has_all_entries(position: Option<Position>, end: End) -> bool {
    match (position, end) {
        (Some(Position::After(seen)), End::AfterEntry(last)) => seen >= last,
        (Some(Position::End), End::AfterReset | End::AfterEntry(_)) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use steadfast_events::{EntryId, TurnStatus, testing};

    use super::*;
    use crate::{follow::AllMessages, task};

    #[tokio::test]
    async fn the_end_of_a_turn_that_all_messages_cover_is_told_after_them_and_without_an_id() {
        let at = |number| EntryId { epoch: 2, number };
        let event = testing::event(testing::turn_ended(TurnStatus::Completed));
        let json = serde_json::to_string(&event).unwrap().into();
        let turn_end = Arc::new(Entry::new(at(7), event, json));
        let all = Update::Messages(AllMessages {
            messages: Vec::new(),
            position: Some(Position::After(at(8))),
            turn_end: Some(turn_end),
        });
        let gateway = Arc::new(Gateway::without_services());
        let events = events(
            gateway,
            Arc::new(task::testing::task()),
            Format::Events,
            None,
            stream::iter([all]),
        );
        let body = axum::body::to_bytes(response_of(events).into_body(), usize::MAX)
            .await
            .unwrap();
        let told = String::from_utf8(body.to_vec()).unwrap();
        let (reset, ended) = (told.find("event: log_reset"), told.find("event: turn_ended"));
        assert!(reset.is_some() && reset < ended, "{told}");
        assert_eq!(told.matches("id: ").count(), 1, "{told}");
    }
}
