//! The event stream of a session.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Path, State},
    http::HeaderMap,
    response::{Response, sse::Event as SseEvent},
};
use futures::{Stream, StreamExt as _, future, stream::BoxStream};
use serde::Deserialize;
use serde_json::{Value, json};
use steadfast_eventlog::reader::From;
use steadfast_events::EntryId;
use utoipa::IntoParams;

use super::{
    replay::{Replayed, end, replayed},
    task_of,
};
use crate::{
    access::{Action, Session as CallerSession},
    api::{extractors::Params, openai::agents::require_beta, server_sent_events::response, turn::updates_of},
    app::Gateway,
    error::{ApiError, ErrorBody},
    follow::{Position, Update},
    openai::{ids::EventId, session::Session},
};

const LAST_EVENT_ID: &str = "last-event-id";
/// Events that no entry of the log brings have indexes from here on.
const BEYOND_ENTRY: usize = 1_000_000;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct Options {
    /// `event_id` of the last event that the client has, as in the header `Last-Event-ID`.
    after: Option<String>,
}

/// What happens in a session from now on; or after an event that the client names.
#[utoipa::path(
    get,
    path = "/v1/agents/sessions/{session_id}/events",
    operation_id = "stream_session",
    tag = "openai",
    params(("session_id" = String, Path, description = "Id of the session."), Options),
    responses(
        (status = OK, description = "Server-sent events.", content_type = "text/event-stream", body = String),
        (status = "default", description = "OpenAI's error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn stream(
    State(gateway): State<Arc<Gateway>>,
    Extension(session): Extension<CallerSession>,
    Path(id): Path<String>,
    Params(options): Params<Options>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    require_beta(&headers)?;
    let header = headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok());
    let after = header.filter(|id| !id.is_empty()).or(options.after.as_deref());
    let after: Option<EventId> = after
        .map(|id| {
            id.parse()
                .map_err(|_| ApiError::bad_request("after is the event_id of an event").param("after"))
        })
        .transpose()?;
    let (id, task) = task_of(&gateway, &session.caller, Action::ReadTasks, &id).await?;
    let tail = gateway.log.tail(&task.own_log()).await?;
    // What the client has, state for state; what comes after is told.
    let known = match after {
        // The entry itself once more: the client may have only its first events.
        Some(event) => Some(EntryId {
            number: event.entry.number.saturating_sub(1),
            ..event.entry
        }),
        None => tail,
    };
    let replayed = {
        let _turn = gateway.load.heavy_request(&session.caller).await?;
        replayed(&gateway, id, task, known.or(Some(EntryId { epoch: 0, number: 0 }))).await?
    };
    let Replayed {
        session: state,
        task,
        last,
    } = replayed;
    let start = match (after, last.or(known)) {
        (_, Some(last)) => From::After(last),
        (Some(_), None) => From::Start,
        (None, None) => From::Beginning,
    };
    let updates = updates_of(&gateway, &session, task, start).await?;
    Ok(response(events(state, updates, after)))
}

/// The stream of a session that has just begun: to the end of its first turn.
pub(super) fn first_turn(session: Session, updates: BoxStream<'static, Update>) -> Response {
    let created = json!({"type": "agent.session.created", "session": session.json()});
    let id = EventId {
        entry: EntryId { epoch: 0, number: 0 },
        index: 0,
    };
    let begin = futures::stream::iter([sse(created, id, false)]);
    response(begin.chain(turn(session, updates)))
}

fn turn(session: Session, updates: BoxStream<'static, Update>) -> impl Stream<Item = SseEvent> + Send + 'static {
    let events = written(session, updates);
    async_stream::stream! {
        let mut events = std::pin::pin!(events);
        while let Some((event, id)) = events.next().await {
            let is_last = matches!(event["type"].as_str(), Some("agent.session.idle" | "agent.session.failed"));
            yield sse(event, id, false);
            if is_last {
                return;
            }
        }
    }
}

/// The events after one that the client has; only to such a client they carry ids as frames, because a client of
/// OpenAI may fail on comments after a frame with an id.
fn events(
    session: Session,
    updates: BoxStream<'static, Update>,
    after: Option<EventId>,
) -> impl Stream<Item = SseEvent> + Send + 'static {
    let is_new = move |id: EventId| after.is_none_or(|after| id.entry != after.entry || id.index > after.index);
    let to_frame = move |(event, id)| future::ready(is_new(id).then(|| sse(event, id, after.is_some())));
    written(session, updates).filter_map(to_frame)
}

/// The events of the updates, with their ids.
fn written(
    mut session: Session,
    mut updates: BoxStream<'static, Update>,
) -> impl Stream<Item = (Value, EventId)> + Send + 'static {
    async_stream::stream! {
        let mut last = EntryId { epoch: 0, number: 0 };
        let mut beyond = BEYOND_ENTRY;
        while let Some(update) = updates.next().await {
            let (events, mut index) = match update {
                Update::Entry(entry) => {
                    last = entry.id;
                    (session.apply(&entry.event), 0)
                }
                Update::Messages(all) => {
                    if let Some(Position::After(id)) = all.position {
                        last = id;
                    }
                    let turn_end = all.turn_end.as_ref().map(|entry| &entry.event);
                    let mut events = session.catch_up(&all.messages, turn_end);
                    events.push(session.snapshot());
                    (events, beyond)
                }
                Update::Ended(ended) => {
                    let mut events = session.catch_up(&ended.missing.unwrap_or_default(), None);
                    events.extend(end(&mut session, &ended.task));
                    (events, beyond)
                }
                Update::Error(reason) => (vec![session.error(&reason)], beyond),
            };
            for event in events {
                yield (event, EventId { entry: last, index });
                index += 1;
            }
            beyond = beyond.max(index);
        }
    }
}

fn sse(mut event: Value, id: EventId, with_frame_id: bool) -> SseEvent {
    let id = id.to_string();
    event["event_id"] = json!(id);
    let frame = SseEvent::default().data(event.to_string());
    if with_frame_id { frame.id(id) } else { frame }
}
