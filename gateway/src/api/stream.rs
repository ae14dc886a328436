//! `GET /tasks/{id}/stream`: a task live, as server-sent events. The last frame of each log
//! entry has the entry's id; a client that comes back with its last id misses no frame and
//! gets none twice. Where the log cannot promise that, the viewer gets all messages at once
//! and goes on from there.

mod format;
mod keep_alive;
mod recovery;
mod viewer;

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::{Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse as _, Response, sse::Sse},
};
use futures::StreamExt as _;
use serde::Deserialize;
use steadfast_eventlog::reader::From;
use utoipa::IntoParams;

use self::{
    format::{EntryPosition, Format},
    keep_alive::with_keep_alive,
    viewer::{End, Viewer},
};
use super::{extractors::Params, tasks};
use crate::{
    access::{Action, Caller},
    app::Gateway,
    error::{ApiError, ErrorBody},
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
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(super) async fn by_id(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Params(options): Params<Options>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let from = resume_from(&headers, &options)?;
    let task = gateway.task(&caller, Action::ReadTasks, &id).await?;
    open(gateway, task, from, options.format).await
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
        (status = "default", description = "An error.", body = ErrorBody),
    ),
)]
pub(super) async fn by_name(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Params(options): Params<Options>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let from = resume_from(&headers, &options)?;
    let task = tasks::named(&gateway, &caller, &name).await?;
    open(gateway, task, from, options.format).await
}

/// Where the client wants to go on; the tail unless the client says so.
fn resume_from(headers: &HeaderMap, options: &Options) -> Result<From, ApiError> {
    let header = headers
        .get(LAST_EVENT_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| !id.is_empty());
    match header.or(options.after.as_deref()) {
        None => Ok(From::Tail),
        Some(id) => match id.parse() {
            Ok(EntryPosition(None)) => Ok(From::Start),
            Ok(EntryPosition(Some(id))) => Ok(From::After(id)),
            Err(error) => Err(ApiError::bad_request(format!("{error}"))),
        },
    }
}

async fn open(gateway: Arc<Gateway>, task: TaskRecord, from: From, format: Format) -> Result<Response, ApiError> {
    // A task that has ended has no new entries: show it from the beginning.
    let from = if task.status.is_terminal() && from == From::Tail {
        From::Start
    } else {
        from
    };
    let subscription = gateway.reader.subscribe(&task.id, from).await?;
    let end = if task.status.is_terminal() {
        match gateway.log.tail(&task.id).await? {
            Some(last) => End::AfterEntry(last),
            None => End::AfterReset,
        }
    } else {
        End::WithTask
    };
    let (start, cursor) = match from {
        // A viewer of the tail who loses the connection before the first entry can still resume.
        From::Tail => (Some(EntryPosition(subscription.begins_after())), None),
        From::Start => (None, None),
        From::After(id) => (None, Some(id)),
    };
    let events = Viewer::new(gateway, task, format, cursor).events(subscription, start, end);
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
