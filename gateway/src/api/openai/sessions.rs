//! `/v1/agents/sessions`: tasks as sessions of OpenAI's Agents API.

pub(in crate::api) mod events;
pub(in crate::api) mod input;
mod replay;

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use self::{
    events::first_turn,
    replay::{Replayed, head_of, listed, replayed},
};
use super::{
    agents::{find, not_supported, require_beta},
    conversations::Paging,
    input_error, read_metadata,
};
use crate::{
    access::{Action, Caller, Session as CallerSession},
    agents::AgentEntry,
    api::{
        extractors::{Params, UnreadBody},
        rpc::params::idempotency_key,
        tasks::{Newest, erase::erase, metadata::replace_metadata},
        turn::{Thread, Turn, text},
    },
    app::Gateway,
    attachments::MessageAttachments,
    error::{ApiError, ErrorBody},
    openai::{
        ids::{SessionId, TurnId},
        input::Input,
        session::Session,
    },
    start::{NewTask, start_task},
    task::TaskRecord,
};

const DEFAULT_LIMIT: usize = 20;
const MAX_LIMIT: usize = 100;
/// Logs that are read at a time for one list.
const CONCURRENCY: usize = 8;

#[derive(Debug, Default, Deserialize)]
struct CreateBody {
    agent_id: Option<String>,
    agent: Option<Value>,
    environment: Option<Value>,
    input: Option<Value>,
    stream: Option<bool>,
    metadata: Option<Map<String, Value>>,
    vault_ids: Option<Vec<Value>>,
    review: Option<String>,
    prompt_cache_options: Option<Value>,
}

/// Begins a session with an agent, and its first turn if there is an input.
#[utoipa::path(
    post,
    path = "/v1/agents/sessions",
    operation_id = "create_session",
    tag = "openai",
    request_body(content = Object, description = "OpenAI's request; `agent_id` is the id or the name of an agent, `environment` is `{\"type\": \"none\"}`."),
    responses(
        (status = OK, description = "OpenAI's session, or server-sent events of its first turn.", body = Object),
        (status = "default", description = "OpenAI's error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn create(
    State(gateway): State<Arc<Gateway>>,
    Extension(session): Extension<CallerSession>,
    headers: HeaderMap,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    let body = body.read(&gateway, &session.caller).await?;
    require_beta(&headers)?;
    let body: CreateBody = body.read()?;
    refuse_unsupported(&body)?;
    let Some(agent_id) = &body.agent_id else {
        return Err(ApiError::bad_request("agent_id is required: the id or the name of an agent").param("agent_id"));
    };
    let agent = find(&gateway, &session.caller, Action::WriteTasks, agent_id)
        .await
        .map_err(|error| error.param("agent_id"))?;
    let metadata = read_metadata(body.metadata)?;
    let key = idempotency_key(&headers)?;
    let id = match key {
        Some(key) => agent.keyed_task_id(session.caller.name(), key),
        None => Uuid::now_v7(),
    };
    let is_streamed = body.stream.unwrap_or_default();
    let Some(input) = body.input.filter(|input| !input.is_null()) else {
        if is_streamed {
            return Err(ApiError::bad_request("a stream needs an input").param("stream"));
        }
        let task = NewTask {
            id: &id.to_string(),
            name: None,
            params: None,
            metadata: metadata.as_ref(),
            may_be_repeated: key.is_some(),
        };
        start_task(&gateway, &session.caller, &agent, &headers, &task).await?;
        let task = gateway
            .task(&session.caller, Action::WriteTasks, &id.to_string())
            .await?;
        let session = Session::new(head_of(&gateway, &task, SessionId(id))?);
        return Ok(Json(session.json()).into_response());
    };
    let input = Input::of_response(Some(&input), None).map_err(|error| input_error(error, "input"))?;
    if !input.answers.is_empty() {
        return Err(ApiError::bad_request("a new session has no questions to answer").param("input"));
    }
    let turn = Turn {
        gateway: &gateway,
        session: &session,
        headers: &headers,
        agent: &agent,
        message: text(input.message().to_owned()),
        opening: text(input.with_everything()),
        attachments: MessageAttachments {
            given: input.attachments(),
            param: "input",
        },
        params: None,
        metadata: metadata.as_ref(),
        key,
        resent: None,
    };
    let thread = Thread::New {
        id,
        name: None,
        may_be_repeated: key.is_some(),
    };
    let sent = turn.send(thread).await?;
    let head = head_of(&gateway, &sent.task, SessionId(id))?;
    if is_streamed {
        let updates = sent
            .updates(&gateway, &session)
            .await
            .map_err(|error| error.retryable(false))?;
        return Ok(first_turn(Session::new(head), updates));
    }
    let mut json = Session::new(head).json();
    json["status"] = json!("in_progress");
    Ok(Json(json).into_response())
}

fn refuse_unsupported(body: &CreateBody) -> Result<(), ApiError> {
    let is_absent = |value: &Option<Value>| {
        value
            .as_ref()
            .is_none_or(|value| value.is_null() || *value == json!({}))
    };
    match &body.environment {
        Some(environment) if environment["type"] == "none" => {}
        _ => {
            return Err(not_supported(
                "a session has the environment {\"type\": \"none\"}: tools run in the workers of the agent",
            )
            .param("environment"));
        }
    }
    if !is_absent(&body.agent) {
        return Err(not_supported("an agent cannot be changed for a session").param("agent"));
    }
    if body.vault_ids.as_ref().is_some_and(|ids| !ids.is_empty()) {
        return Err(not_supported("credentials stand in spec.credentials of the Agent").param("vault_ids"));
    }
    if body.review.as_ref().is_some_and(|review| review != "none") {
        return Err(not_supported("calls that need an approval are asked of people").param("review"));
    }
    if !is_absent(&body.prompt_cache_options) {
        return Err(not_supported("settings of the model stand in the Agent").param("prompt_cache_options"));
    }
    Ok(())
}

/// One session.
#[utoipa::path(
    get,
    path = "/v1/agents/sessions/{session_id}",
    operation_id = "get_session",
    tag = "openai",
    params(("session_id" = String, Path, description = "Id of the session.")),
    responses(
        (status = OK, description = "OpenAI's session.", body = Object),
        (status = "default", description = "OpenAI's error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn by_id(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    require_beta(&headers)?;
    let Replayed { session, .. } = session(&gateway, &caller, Action::ReadTasks, &id).await?;
    Ok(Json(session.json()))
}

/// Replaces the metadata of a session. Its agent is changed in the cluster.
#[utoipa::path(
    post,
    path = "/v1/agents/sessions/{session_id}",
    operation_id = "update_session",
    tag = "openai",
    params(("session_id" = String, Path, description = "Id of the session.")),
    request_body(content = Object, description = "OpenAI's request; `metadata` alone can change."),
    responses(
        (status = OK, description = "OpenAI's session.", body = Object),
        (status = "default", description = "OpenAI's error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn update(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Path(id): Path<String>,
    body: UnreadBody,
) -> Result<Json<Value>, ApiError> {
    require_beta(&headers)?;
    let replayed = session(&gateway, &caller, Action::WriteTasks, &id).await?;
    let body = body.read(&gateway, &caller).await?;
    let body: CreateBody = body.read()?;
    refuse_changes(&body)?;
    let mut shown = replayed.session.json();
    if let Some(metadata) = read_metadata(body.metadata)? {
        replace_metadata(&gateway, replayed.task, metadata.clone())
            .await
            .map_err(|error| error.param("metadata"))?;
        shown["metadata"] = metadata;
    }
    Ok(Json(shown))
}

/// All but the metadata stays as it was begun.
fn refuse_changes(body: &CreateBody) -> Result<(), ApiError> {
    if body.agent.as_ref().is_some_and(|agent| !agent.is_null()) {
        return Err(not_supported("the agent of a session is changed in the cluster").param("agent"));
    }
    if body.review.as_ref().is_some_and(|review| review != "none") {
        return Err(not_supported("calls that need an approval are asked of people").param("review"));
    }
    if body
        .prompt_cache_options
        .as_ref()
        .is_some_and(|options| !options.is_null())
    {
        return Err(not_supported("settings of the model stand in the Agent").param("prompt_cache_options"));
    }
    Ok(())
}

/// The sessions that the caller may see, newest first.
#[utoipa::path(
    get,
    path = "/v1/agents/sessions",
    operation_id = "list_sessions",
    tag = "openai",
    params(
        ("after" = Option<String>, Query, description = "Id of the last session of the page before."),
        ("limit" = Option<usize>, Query, description = "Sessions of a page: 20 by default, and at most 100."),
        ("order" = Option<String>, Query, description = "`desc`, the only order."),
        ("agent_id" = Option<String>, Query, description = "Only sessions with this agent."),
        ("metadata[key]" = Option<String>, Query, description = "Only sessions with this member of the metadata."),
    ),
    responses(
        (status = OK, description = "OpenAI's list of sessions.", body = Object),
        (status = "default", description = "OpenAI's error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn list(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Params(pairs): Params<Vec<(String, String)>>,
) -> Result<Json<Value>, ApiError> {
    require_beta(&headers)?;
    let filter = Filter::read(&pairs)?;
    let agent = match filter.agent_id {
        Some(id) => Some(find(&gateway, &caller, Action::ReadTasks, id).await?),
        None => None,
    };
    let _turn = gateway.load.heavy_request(&caller).await?;
    let mut tasks = Vec::new();
    let mut is_after = filter.after.is_none();
    let mut newest = Newest::of(&gateway, &caller, agent.as_deref(), None).await?;
    while let Some(task) = newest.next().await? {
        let Ok(id) = task.id.parse().map(SessionId) else {
            continue;
        };
        if !is_after {
            is_after = filter.after == Some(id.to_string().as_str());
            continue;
        }
        if filter.matches(&task) {
            tasks.push((id, task));
        }
        if tasks.len() > filter.limit {
            break;
        }
    }
    if !is_after {
        return Err(ApiError::bad_request("there is no session with the id of after").param("after"));
    }
    let has_more = tasks.len() > filter.limit;
    tasks.truncate(filter.limit);
    let gateway = &gateway;
    let sessions = stream::iter(tasks).map(|(id, task)| async move { listed(gateway, id, &task).await });
    let sessions: Vec<Value> = sessions.buffered(CONCURRENCY).try_collect().await?;
    let id = |session: Option<&Value>| session.map(|session| session["id"].clone());
    Ok(Json(json!({
        "object": "list", "first_id": id(sessions.first()), "last_id": id(sessions.last()), "has_more": has_more,
        "data": sessions,
    })))
}

/// The query of a list of sessions.
struct Filter<'a> {
    after: Option<&'a str>,
    limit: usize,
    agent_id: Option<&'a str>,
    metadata: Vec<(&'a str, &'a str)>,
}

impl<'a> Filter<'a> {
    fn read(pairs: &'a [(String, String)]) -> Result<Self, ApiError> {
        let mut filter = Self {
            after: None,
            limit: DEFAULT_LIMIT,
            agent_id: None,
            metadata: Vec::new(),
        };
        for (name, value) in pairs {
            match name.as_str() {
                "after" => filter.after = Some(value),
                "limit" => {
                    let limit = value.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
                    filter.limit = limit
                        .ok_or_else(|| ApiError::bad_request(format!("limit is 1 to {MAX_LIMIT}")).param("limit"))?;
                }
                "order" if value != "desc" => {
                    return Err(
                        ApiError::bad_request("sessions are listed newest first only: order is desc").param("order"),
                    );
                }
                "agent_id" => filter.agent_id = Some(value),
                name => {
                    let key = name.strip_prefix("metadata[").and_then(|key| key.strip_suffix(']'));
                    filter.metadata.extend(key.map(|key| (key, value.as_str())));
                }
            }
        }
        Ok(filter)
    }

    fn matches(&self, task: &TaskRecord) -> bool {
        let has = |key: &str, value: &str| task.metadata.as_ref().is_some_and(|metadata| metadata[key] == *value);
        self.metadata.iter().all(|(key, value)| has(key, value))
    }
}

/// Erases a session with all that belongs to it.
#[utoipa::path(
    delete,
    path = "/v1/agents/sessions/{session_id}",
    operation_id = "delete_session",
    tag = "openai",
    params(("session_id" = String, Path, description = "Id of the session.")),
    responses(
        (status = OK, description = "OpenAI's acknowledgement.", body = Object),
        (status = CONFLICT, description = "A turn runs: cancel it first.", body = ErrorBody),
        (status = "default", description = "OpenAI's error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn delete(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    require_beta(&headers)?;
    let Replayed { session, task, .. } = session(&gateway, &caller, Action::DeleteTasks, &id).await?;
    if matches!(session.status(), "in_progress" | "requires_action") {
        return Err(
            ApiError::new(StatusCode::CONFLICT, "a turn of the session runs: cancel it first").retryable(false),
        );
    }
    erase(&gateway, task).await?;
    Ok(Json(
        json!({"id": id, "object": "agent.session.deleted", "deleted": true}),
    ))
}

/// The items of a session.
#[utoipa::path(
    get,
    path = "/v1/agents/sessions/{session_id}/items",
    operation_id = "list_session_items",
    tag = "openai",
    params(("session_id" = String, Path, description = "Id of the session."), Paging),
    responses(
        (status = OK, description = "OpenAI's list of items.", body = Object),
        (status = "default", description = "OpenAI's error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn items(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Params(paging): Params<Paging>,
) -> Result<Json<Value>, ApiError> {
    require_beta(&headers)?;
    let Replayed { session, .. } = session(&gateway, &caller, Action::ReadTasks, &id).await?;
    let items = session
        .turn_numbers()
        .flat_map(|number| session.items(number))
        .collect();
    paging.page(items).map(Json)
}

/// The turns of a session.
#[utoipa::path(
    get,
    path = "/v1/agents/sessions/{session_id}/turns",
    operation_id = "list_turns",
    tag = "openai",
    params(("session_id" = String, Path, description = "Id of the session."), Paging),
    responses(
        (status = OK, description = "OpenAI's list of turns.", body = Object),
        (status = "default", description = "OpenAI's error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn turns(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Params(paging): Params<Paging>,
) -> Result<Json<Value>, ApiError> {
    require_beta(&headers)?;
    let Replayed { session, .. } = session(&gateway, &caller, Action::ReadTasks, &id).await?;
    let turns = session.turn_numbers().map(|number| session.turn_json(number)).collect();
    paging.page(turns).map(Json)
}

/// One turn of a session.
#[utoipa::path(
    get,
    path = "/v1/agents/sessions/{session_id}/turns/{turn_id}",
    operation_id = "get_turn",
    tag = "openai",
    params(
        ("session_id" = String, Path, description = "Id of the session."),
        ("turn_id" = String, Path, description = "Id of the turn."),
    ),
    responses(
        (status = OK, description = "OpenAI's turn.", body = Object),
        (status = "default", description = "OpenAI's error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn turn(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Path((id, turn_id)): Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    require_beta(&headers)?;
    let Replayed { session, .. } = session(&gateway, &caller, Action::ReadTasks, &id).await?;
    let number = turn_number(&session, &id, &turn_id)?;
    Ok(Json(session.turn_json(number)))
}

/// The items of a turn.
#[utoipa::path(
    get,
    path = "/v1/agents/sessions/{session_id}/turns/{turn_id}/items",
    operation_id = "list_turn_items",
    tag = "openai",
    params(
        ("session_id" = String, Path, description = "Id of the session."),
        ("turn_id" = String, Path, description = "Id of the turn."),
        Paging,
    ),
    responses(
        (status = OK, description = "OpenAI's list of items.", body = Object),
        (status = "default", description = "OpenAI's error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn turn_items(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Path((id, turn_id)): Path<(String, String)>,
    Params(paging): Params<Paging>,
) -> Result<Json<Value>, ApiError> {
    require_beta(&headers)?;
    let Replayed { session, .. } = session(&gateway, &caller, Action::ReadTasks, &id).await?;
    let number = turn_number(&session, &id, &turn_id)?;
    paging.page(session.items(number)).map(Json)
}

/// Agents that a session opens, files that it makes, and traces: none. Traces go to OTLP.
#[utoipa::path(
    get,
    path = "/v1/agents/sessions/{session_id}/{part}",
    operation_id = "list_parts_of_a_session",
    tag = "openai",
    params(
        ("session_id" = String, Path, description = "Id of the session."),
        ("part" = String, Path, description = "`subagents`, `artifacts` or `traces`."),
        Paging,
    ),
    responses(
        (status = OK, description = "An empty list.", body = Object),
        (status = "default", description = "OpenAI's error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn parts(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Path((id, part)): Path<(String, String)>,
    Params(paging): Params<Paging>,
) -> Result<Json<Value>, ApiError> {
    require_beta(&headers)?;
    task_of(&gateway, &caller, Action::ReadTasks, &id).await?;
    match part.as_str() {
        "subagents" | "artifacts" | "traces" => paging.page(Vec::new()).map(Json),
        _ => Err(ApiError::not_found(format_args!("{part} of the session"))),
    }
}

fn turn_number(session: &Session, id: &str, turn_id: &str) -> Result<u32, ApiError> {
    let unknown = || ApiError::not_found("the turn");
    let turn: TurnId = turn_id.parse().map_err(|_| unknown())?;
    let is_known = turn.session.to_string() == id && session.turn_numbers().any(|number| number == turn.number);
    if is_known { Ok(turn.number) } else { Err(unknown()) }
}

/// The task of a session.
async fn task_of(
    gateway: &Gateway,
    caller: &Caller,
    action: Action,
    id: &str,
) -> Result<(SessionId, TaskRecord), ApiError> {
    let unknown = || ApiError::not_found("the session");
    let id: SessionId = id.parse().map_err(|_| unknown())?;
    match gateway.task(caller, action, &id.task_id()).await {
        Ok(task) => Ok((id, task)),
        Err(error) if error.status == StatusCode::NOT_FOUND => Err(unknown()),
        Err(error) => Err(error),
    }
}

/// A session as it is now.
async fn session(gateway: &Gateway, caller: &Caller, action: Action, id: &str) -> Result<Replayed, ApiError> {
    let (id, task) = task_of(gateway, caller, action, id).await?;
    let _turn = gateway.load.heavy_request(caller).await?;
    replayed(gateway, id, task, None).await
}

/// The agent of a session, which may be gone.
fn agent_of(gateway: &Gateway, task: &TaskRecord) -> Result<Arc<AgentEntry>, ApiError> {
    let agent = gateway.agents.by_name(&task.agent);
    agent.ok_or_else(|| ApiError::not_found("the agent of the session"))
}
