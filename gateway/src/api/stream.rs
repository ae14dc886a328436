//! `GET /tasks/{id}/stream`: a task live, as server-sent events. The last frame of each log
//! entry has the entry's id; a client that comes back with its last id misses no frame and
//! gets none twice. Where the log cannot promise that, the viewer gets all messages at once
//! and goes on from there.

mod format;
mod keep_alive;
mod recovery;
mod revocation;
mod viewer;

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::{Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response, sse::Sse},
};
use futures::StreamExt as _;
use serde::Deserialize;
use steadfast_eventlog::reader::From;
use utoipa::IntoParams;

use self::{
    format::{Format, Position},
    keep_alive::with_keep_alive,
    viewer::{End, Start, Viewer},
};
use super::{extractors::Params, tasks};
use crate::{
    access::{Action, Session},
    app::Gateway,
    error::{ApiError, ErrorBody},
    messages,
    task::TaskRecord,
};

/// A stream that is silent for this long gets a comment.
const PING: Duration = Duration::from_secs(15);
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
    let end = if has_ended {
        match gateway.log.tail(&task.own_log()).await? {
            Some(last) => End::AfterEntry(last),
            None => End::AfterReset,
        }
    } else {
        End::WithTask
    };
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
    let start = match from {
        // A viewer of the tail who loses the connection before the first entry can still resume.
        From::Tail => Start::Told(Position::after(subscription.begins_after())),
        From::Start => Start::First,
        From::After(id) => Start::After(id),
    };
    let events = Viewer::new(gateway, session, task, format, place).events(subscription, start, end);
    let mut response = Sse::new(events.map(Ok::<_, Infallible>))
        .into_response()
        .map(|body| with_keep_alive(body, PING));
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

/// Whether a client that comes back has everything that the log of a task that has ended has.
fn has_all_entries(position: Option<Position>, end: End) -> bool {
    match (position, end) {
        (Some(Position::After(seen)), End::AfterEntry(last)) => seen >= last,
        (Some(Position::End), End::AfterReset | End::AfterEntry(_)) => true,
        _ => false,
    }
}
