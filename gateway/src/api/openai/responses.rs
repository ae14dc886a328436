//! `/v1/responses`: a message to an agent, and the turn that answers it, live, later, or once more.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response, sse::Event as SseEvent},
};
use futures::{Stream, StreamExt as _, stream::BoxStream};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use steadfast_eventlog::reader::From;
use steadfast_events::{Author, Message, Verdict};
use tokio::time::{Instant, timeout_at};
use utoipa::IntoParams;
use uuid::Uuid;

use super::{DONE, conversations::begun, input_error, read_metadata};
use crate::{
    access::{Action, Session},
    acknowledgement,
    agents::AgentEntry,
    api::{
        approvals::decide::decide_approval,
        extractors::{Params, UnreadBody},
        rpc::params::{MAX_NAME_BYTES, idempotency_key},
        server_sent_events::response,
        tasks::interrupt_task,
        turn::{
            self, Sent, Thread, Turn, beginning, last_message, take_in, text, turn_status, until_ended, updates_of,
        },
    },
    app::Gateway,
    attachments::MessageAttachments,
    error::{ApiError, ErrorBody},
    follow::Update,
    openai::{
        ids::{ConversationId, ResponseId},
        input::{Answer, Input},
        responses::{ResponseHead, ResponseWriter, StreamEvent},
        side_request,
        transcript::user_item,
    },
    task::TaskRecord,
    turn_writer::TurnWriter as _,
};

/// Whose value names the message that a chat UI wants answered: another one asks again.
const MESSAGE_HEADER: &str = "x-openwebui-message-id";

/// The body of a request. Settings of the model are those of the agent: what a client sends of them is ignored.
#[derive(Debug, Default, Deserialize)]
struct CreateBody {
    model: Option<String>,
    input: Option<Value>,
    instructions: Option<String>,
    #[serde(default)]
    stream: Option<bool>,
    #[serde(default)]
    background: Option<bool>,
    previous_response_id: Option<String>,
    conversation: Option<Value>,
    metadata: Option<Map<String, Value>>,
    tools: Option<Vec<Value>>,
}

/// Sends a message to an agent. The turn goes on when the client leaves.
#[utoipa::path(
    post,
    path = "/v1/responses",
    operation_id = "create_response",
    tag = "openai",
    request_body(content = Object, description = "OpenAI's request; `model` is the name of an agent."),
    responses(
        (status = OK, description = "OpenAI's response, or server-sent events of it.", body = Object),
        (status = "default", description = "OpenAI's error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn create(
    State(gateway): State<Arc<Gateway>>,
    Extension(session): Extension<Session>,
    headers: HeaderMap,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    let read = body.read(&gateway, &session.caller).await?;
    let mut body: CreateBody = read.read()?;
    refuse_tools(body.tools.as_deref())?;
    let input = Input::of_response(body.input.take().as_ref(), body.instructions.as_deref())
        .map_err(|error| input_error(error, "input"))?;
    let previous = body.previous_response_id.as_deref().map(response_id).transpose()?;
    refuse_contradictions(&body, previous, &input)?;
    let metadata = read_metadata(body.metadata)?;
    let (stream, background) = (body.stream.unwrap_or_default(), body.background.unwrap_or_default());
    let key = idempotency_key(&headers)?;
    let head = |agent: &AgentEntry, id: ResponseId| ResponseHead {
        id,
        created_at: created_at(id).unwrap_or_else(|| Timestamp::now().as_second()),
        model: agent.client_name.clone(),
        background,
        previous,
        metadata: metadata.clone().unwrap_or_else(|| json!({})),
    };

    if let Some(previous) = previous
        && !input.answers.is_empty()
    {
        let task = task_of(&gateway, &session, Action::WriteTasks, previous).await?;
        let agent = agent_of(&gateway, &task)?;
        decide(&gateway, &session, input.answers).await?;
        let id = previous.next_part();
        let start = beginning(&gateway, &task.own_log(), &id.message_id()).await?;
        let updates = updates_of(&gateway, &session, task, start.unwrap_or(From::Start)).await?;
        return answer(ResponseWriter::new(head(&agent, id)), updates, stream, background).await;
    }
    let place = Place {
        model: body.model.as_deref(),
        conversation: body.conversation.as_ref(),
        previous,
    };
    let (agent, thread, resent) = thread(&gateway, &session, &headers, &place, &input, key).await?;
    if let Some(answer) = side_request::answer(&input, &headers) {
        let id = ResponseId {
            task: Uuid::now_v7(),
            message: Uuid::now_v7(),
            part: 0,
        };
        return Ok(told(ResponseWriter::new(head(&agent, id)), &answer, stream));
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
        resent,
    };
    let sent = turn.send(thread).await?;
    // The turn may take long, and the memory of large attachments is for others then.
    drop((read, input));
    let id = id_of(&sent)?;
    let writer = ResponseWriter::new(head(&agent, id));
    if background && !stream {
        return Ok(Json(writer.response()).into_response());
    }
    let updates = sent
        .updates(&gateway, &session)
        .await
        .map_err(|error| error.retryable(false))?;
    answer(writer, updates, stream, background).await
}

/// Refuses what cannot be done together: a part of it would be lost.
fn refuse_contradictions(body: &CreateBody, previous: Option<ResponseId>, input: &Input) -> Result<(), ApiError> {
    if previous.is_some() && body.conversation.as_ref().is_some_and(|given| !given.is_null()) {
        return Err(ApiError::bad_request(
            "give one of previous_response_id and conversation: each names the conversation",
        )
        .param("conversation"));
    }
    if input.answers.is_empty() {
        return Ok(());
    }
    if previous.is_none() {
        return Err(ApiError::bad_request("an mcp_approval_response needs previous_response_id").param("input"));
    }
    if input.has_message() {
        return Err(ApiError::bad_request(
            "an mcp_approval_response and a message are two requests: the turn goes on with the answer, and the \
             message is its next turn",
        )
        .param("input"));
    }
    Ok(())
}

/// A response that no agent gives, and that nobody can ask for later.
fn told(mut writer: ResponseWriter, answer: &str, stream: bool) -> Response {
    let told = writer.tell(answer);
    if !stream {
        return Json(writer.response()).into_response();
    }
    let events: Vec<SseEvent> = told.iter().filter_map(|event| numbered_after(event, None)).collect();
    response(futures::stream::iter(events))
}

/// Decides what the client answers.
async fn decide(gateway: &Gateway, session: &Session, answers: Vec<Answer>) -> Result<(), ApiError> {
    for Answer {
        approval_id,
        approve,
        reason,
    } in answers
    {
        let verdict = if approve { Verdict::Approved } else { Verdict::Rejected };
        decide_approval(gateway, &session.caller, approval_id, verdict, reason, Value::Null)
            .await
            .map_err(|error| error.param("input"))?;
    }
    Ok(())
}

/// Where a request wants its message.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place<'a> {
    pub(super) model: Option<&'a str>,
    pub(super) conversation: Option<&'a Value>,
    pub(super) previous: Option<ResponseId>,
}

/// The agent, the task for the message, and what makes the message the same when it is sent again.
pub(super) async fn thread(
    gateway: &Gateway,
    session: &Session,
    headers: &HeaderMap,
    place: &Place<'_>,
    input: &Input,
    key: Option<&str>,
) -> Result<(Arc<AgentEntry>, Thread, Option<String>), ApiError> {
    let Place {
        model,
        conversation,
        previous,
    } = *place;
    let caller = &session.caller;
    if let Some(previous) = previous {
        let task = task_of(gateway, session, Action::WriteTasks, previous).await?;
        let agent = match model {
            Some(model) => agent(gateway, session, Some(model)).await?,
            None => agent_of(gateway, &task)?,
        };
        if last_message(gateway, &task)
            .await?
            .is_some_and(|last| last != previous.message_id())
        {
            return Err(ApiError::bad_request(
                "the conversation has gone on after this response: give the id of its last one, or begin another \
                 conversation",
            )
            .param("previous_response_id"));
        }
        return Ok((agent, Thread::Of(Box::new(task)), None));
    }
    let agent = agent(gateway, session, model).await?;
    let conversation = match conversation {
        None | Some(Value::Null) => None,
        Some(Value::String(id)) => Some(id.as_str()),
        Some(conversation) => Some(conversation["id"].as_str().unwrap_or_default()),
    };
    if let Some(id) = conversation {
        let id: ConversationId = id
            .parse()
            .map_err(|_| ApiError::not_found("the conversation").param("conversation"))?;
        let begun = begun(gateway, caller, Action::WriteTasks, id).await;
        let thread = match begun.map_err(|error| error.param("conversation"))? {
            Some(task) => Thread::Of(Box::new(task)),
            None => Thread::New {
                id: id.0,
                name: None,
                may_be_repeated: true,
            },
        };
        return Ok((agent, thread, None));
    }
    let named = gateway.conversation_headers.iter().find_map(|name| {
        let value = headers.get(name)?.to_str().ok()?;
        (1..=MAX_NAME_BYTES).contains(&value.len()).then_some(value)
    });
    let (id, name, resent) = match (named, key) {
        (Some(name), _) => (
            agent.named_task_id(caller.name(), name),
            Some(name.to_owned()),
            Some(resent(headers, input)),
        ),
        (None, Some(key)) => (agent.keyed_task_id(caller.name(), key), None, None),
        (None, None) => (Uuid::now_v7(), None, None),
    };
    let thread = Thread::New {
        id,
        name,
        may_be_repeated: named.is_some() || key.is_some(),
    };
    Ok((agent, thread, resent))
}

/// What makes a message of a client that sends the conversation again each time the same.
fn resent(headers: &HeaderMap, input: &Input) -> String {
    let message = headers.get(MESSAGE_HEADER).and_then(|value| value.to_str().ok());
    format!("conversation/{}/{}", input.fingerprint(), message.unwrap_or_default())
}

/// Tools are those of the agent.
pub(super) fn refuse_tools(tools: Option<&[Value]>) -> Result<(), ApiError> {
    if tools.is_some_and(|tools| !tools.is_empty()) {
        return Err(ApiError::bad_request(
            "the tools of an agent are those of its Agent resource; a request cannot bring tools along",
        )
        .param("tools")
        .code("unsupported_parameter"));
    }
    Ok(())
}

pub(super) fn id_of(sent: &Sent) -> Result<ResponseId, ApiError> {
    let task = sent.task.id.parse();
    Ok(ResponseId {
        task: task.map_err(|error| ApiError::internal("the id of the task is no UUID", error))?,
        message: sent.message_id,
        part: 0,
    })
}

async fn agent(gateway: &Gateway, session: &Session, model: Option<&str>) -> Result<Arc<AgentEntry>, ApiError> {
    let Some(model) = model.filter(|model| !model.is_empty()) else {
        return Err(ApiError::bad_request("model is required: the name of an agent").param("model"));
    };
    let agent = gateway.agents.by_client_name(model);
    let agent = gateway.agent(&session.caller, Action::WriteTasks, agent).await;
    agent.map_err(|error| error.param("model").code("model_not_found"))
}

fn agent_of(gateway: &Gateway, task: &TaskRecord) -> Result<Arc<AgentEntry>, ApiError> {
    let agent = gateway.agents.by_name(&task.agent);
    agent.ok_or_else(|| ApiError::not_found("the agent of the conversation").param("previous_response_id"))
}

fn response_id(text: &str) -> Result<ResponseId, ApiError> {
    text.parse().map_err(|_| ApiError::not_found("the response"))
}

async fn task_of(gateway: &Gateway, session: &Session, action: Action, id: ResponseId) -> Result<TaskRecord, ApiError> {
    let task = gateway.task(&session.caller, action, &id.task_id()).await;
    task.map_err(|error| {
        if error.status == StatusCode::NOT_FOUND {
            ApiError::not_found("the response")
        } else {
            error
        }
    })
}

/// The seconds in the id of the message, where it has them.
fn created_at(id: ResponseId) -> Option<i64> {
    let (seconds, _) = id.message.get_timestamp()?.to_unix();
    i64::try_from(seconds).ok()
}

/// A stream, or the response when its turn has ended.
async fn answer(
    mut writer: ResponseWriter,
    mut updates: BoxStream<'static, Update>,
    stream: bool,
    background: bool,
) -> Result<Response, ApiError> {
    if stream {
        return Ok(response(events(writer, updates, None)));
    }
    if background {
        return Ok(Json(writer.response()).into_response());
    }
    until_ended(&mut writer, &mut updates).await?;
    Ok(Json(writer.response()).into_response())
}

/// The events of a stream with numbers greater than `after`.
fn events(
    mut writer: ResponseWriter,
    mut updates: BoxStream<'static, Update>,
    after: Option<u64>,
) -> impl Stream<Item = SseEvent> + Send + 'static {
    async_stream::stream! {
        for event in writer.begin() {
            if let Some(event) = numbered_after(&event, after) {
                yield event;
            }
        }
        while !writer.has_ended() {
            let Some(update) = updates.next().await else { return };
            if let Update::Error(reason) = &update {
                yield sse(&writer.error(reason));
                return;
            }
            for event in take_in(&mut writer, update) {
                // The last one has the whole response: a client that counted otherwise still gets it.
                if writer.has_ended() && event.data["response"].is_object() {
                    yield sse(&event);
                } else if let Some(event) = numbered_after(&event, after) {
                    yield event;
                }
            }
        }
        yield SseEvent::default().data(DONE);
    }
}

fn numbered_after(event: &StreamEvent, after: Option<u64>) -> Option<SseEvent> {
    let number = event.data["sequence_number"].as_u64();
    (after.is_none() || number > after).then(|| sse(event))
}

fn sse(event: &StreamEvent) -> SseEvent {
    SseEvent::default().event(event.kind).data(event.data.to_string())
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct Retrieval {
    /// Whether the events of the response are streamed, from the first one or after `starting_after`.
    stream: Option<bool>,
    /// `sequence_number` of the last event that the client has.
    starting_after: Option<u64>,
}

/// A response as it is now, or its events once more and then live.
#[utoipa::path(
    get,
    path = "/v1/responses/{response_id}",
    operation_id = "get_response",
    tag = "openai",
    params(("response_id" = String, Path, description = "Id of the response."), Retrieval),
    responses(
        (status = OK, description = "OpenAI's response, or server-sent events of it.", body = Object),
        (status = "default", description = "OpenAI's error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn by_id(
    State(gateway): State<Arc<Gateway>>,
    Extension(session): Extension<Session>,
    Path(id): Path<String>,
    Params(retrieval): Params<Retrieval>,
) -> Result<Response, ApiError> {
    let id = response_id(&id)?;
    let task = task_of(&gateway, &session, Action::ReadTasks, id).await?;
    let start = beginning(&gateway, &task.own_log(), &id.message_id()).await?;
    let head = head_of(&gateway, &task, id);
    if retrieval.stream.unwrap_or_default() {
        if start.is_none() {
            messages_of(&gateway, &task, id).await?;
        }
        let updates = updates_of(&gateway, &session, task, start.unwrap_or(From::Start)).await?;
        return Ok(response(events(
            ResponseWriter::new(head),
            updates,
            retrieval.starting_after,
        )));
    }
    let writer = read(&gateway, &session, &task, id, start).await?;
    Ok(Json(writer.response()).into_response())
}

fn head_of(gateway: &Gateway, task: &TaskRecord, id: ResponseId) -> ResponseHead {
    ResponseHead {
        id,
        created_at: created_at(id).unwrap_or_else(|| task.created_at.as_second()),
        model: gateway.agents.naming().client_name(&task.agent),
        background: true,
        previous: None,
        metadata: task.metadata.clone().unwrap_or_else(|| json!({})),
    }
}

/// The response as the log has it now, or Temporal where the log lost it.
async fn read(
    gateway: &Gateway,
    session: &Session,
    task: &TaskRecord,
    id: ResponseId,
    start: Option<From>,
) -> Result<ResponseWriter, ApiError> {
    let _turn = gateway.load.heavy_request(&session.caller).await?;
    let mut writer = ResponseWriter::new(head_of(gateway, task, id));
    writer.begin();
    if let Some(From::After(mut last)) = start {
        while !writer.has_ended() {
            let page = gateway.log.page_after(&task.own_log(), Some(last)).await?;
            let Some(end) = page.last() else { break };
            last = end.id;
            for entry in &page {
                writer.apply(&entry.event);
            }
        }
    } else {
        writer.catch_up(&messages_of(gateway, task, id).await?, None);
    }
    if task.status.is_terminal() {
        writer.end_unseen(turn_status(task.status));
    }
    Ok(writer)
}

/// The messages of the task, if it was ever sent the message of a response.
async fn messages_of(gateway: &Gateway, task: &TaskRecord, id: ResponseId) -> Result<Vec<Message>, ApiError> {
    let messages = turn::messages_of(gateway, task, &id.message_id()).await?;
    messages.ok_or_else(|| ApiError::not_found("the response"))
}

/// Interrupts the turn of a response; the conversation goes on. Harmless when the turn has ended.
#[utoipa::path(
    post,
    path = "/v1/responses/{response_id}/cancel",
    operation_id = "cancel_response",
    tag = "openai",
    params(("response_id" = String, Path, description = "Id of the response.")),
    responses(
        (status = OK, description = "OpenAI's response; it may still be in progress.", body = Object),
        (status = CONFLICT, description = "The turn has not begun.", body = ErrorBody),
        (status = "default", description = "OpenAI's error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn cancel(
    State(gateway): State<Arc<Gateway>>,
    Extension(session): Extension<Session>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let id = response_id(&id)?;
    let task = task_of(&gateway, &session, Action::WriteTasks, id).await?;
    let start = beginning(&gateway, &task.own_log(), &id.message_id()).await?;
    let mut writer = read(&gateway, &session, &task, id, start).await?;
    if writer.has_ended() {
        return Ok(Json(writer.response()));
    }
    if !writer.is_running() {
        // An interrupt stops the turn that runs, whose ever it is.
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "the response waits for its turn: cancel it when it runs",
        )
        .retryable(false));
    }
    let mut updates = updates_of(&gateway, &session, task.clone(), start.unwrap_or(From::Start)).await?;
    interrupt_task(&gateway, &task, Some("canceled by a client".to_owned())).await?;
    let mut live = ResponseWriter::new(head_of(&gateway, &task, id));
    let deadline = Instant::now() + acknowledgement::TIMEOUT;
    while let Ok(Some(update)) = timeout_at(deadline, updates.next()).await {
        take_in(&mut live, update);
        if live.has_ended() {
            writer = live;
            break;
        }
    }
    Ok(Json(writer.response()))
}

/// What the turn of a response answers.
#[utoipa::path(
    get,
    path = "/v1/responses/{response_id}/input_items",
    operation_id = "list_input_items",
    tag = "openai",
    params(("response_id" = String, Path, description = "Id of the response.")),
    responses(
        (status = OK, description = "OpenAI's list of items.", body = Object),
        (status = "default", description = "OpenAI's error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn input_items(
    State(gateway): State<Arc<Gateway>>,
    Extension(session): Extension<Session>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let id = response_id(&id)?;
    let task = task_of(&gateway, &session, Action::ReadTasks, id).await?;
    let _turn = gateway.load.heavy_request(&session.caller).await?;
    let message_id = id.message_id();
    let messages = messages_of(&gateway, &task, id).await?;
    let items: Vec<Value> = messages
        .iter()
        .filter(|message| message.author == Author::User && message.id == message_id)
        .map(user_item)
        .collect();
    let item_id = items.first().map(|item| item["id"].clone());
    Ok(Json(json!({
        "object": "list", "data": items, "first_id": item_id, "last_id": item_id, "has_more": false,
    })))
}

/// A response is a turn of a conversation: it goes with the whole of it.
#[utoipa::path(
    delete,
    path = "/v1/responses/{response_id}",
    operation_id = "delete_response",
    tag = "openai",
    params(("response_id" = String, Path, description = "Id of the response.")),
    responses(
        (status = BAD_REQUEST, description = "Not supported: `DELETE /tasks/{task_id}` erases the conversation.", body = ErrorBody),
        (status = "default", description = "OpenAI's error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn delete(
    State(gateway): State<Arc<Gateway>>,
    Extension(session): Extension<Session>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let id = response_id(&id)?;
    let task = task_of(&gateway, &session, Action::ReadTasks, id).await?;
    Err(ApiError::bad_request(format!(
        "a response cannot be deleted alone; DELETE /tasks/{} erases its conversation",
        task.id
    ))
    .code("not_supported"))
}
