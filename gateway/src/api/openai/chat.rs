//! `/v1/chat/completions`: the same turns for clients that know nothing else. A client sends the
//! conversation again with each request; a header with its id makes it one task.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response, sse::Event as SseEvent},
};
use futures::{Stream, StreamExt as _, stream::BoxStream};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    DONE, input_error,
    responses::{Place, id_of, refuse_tools, thread},
};
use crate::{
    access::Session,
    api::{
        extractors::UnreadBody,
        rpc::params::idempotency_key,
        server_sent_events::response,
        turn::{Turn, take_in, text, until_ended},
    },
    app::Gateway,
    attachments::MessageAttachments,
    error::{ApiError, ErrorBody},
    follow::Update,
    openai::{
        chat::{CompletionError, CompletionHead, CompletionWriter},
        input::Input,
        side_request,
    },
    turn_writer::TurnWriter as _,
};

/// The body of a request. Settings of the model are those of the agent: what a client sends of them is ignored.
#[derive(Debug, Default, Deserialize)]
struct CreateBody {
    model: Option<String>,
    messages: Option<Value>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    tools: Option<Vec<Value>>,
    n: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

/// Sends the newest message of a chat to an agent. The turn goes on when the client leaves.
#[utoipa::path(
    post,
    path = "/v1/chat/completions",
    operation_id = "create_chat_completion",
    tag = "openai",
    request_body(content = Object, description = "OpenAI's request; `model` is the name of an agent."),
    responses(
        (status = OK, description = "OpenAI's chat completion, or server-sent events of its chunks.", body = Object),
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
    if body.n.is_some_and(|choices| choices != 1) {
        return Err(ApiError::bad_request("n must be 1: a turn has one answer").param("n"));
    }
    let input = Input::of_chat(body.messages.take().as_ref()).map_err(|error| input_error(error, "messages"))?;
    let stream = body.stream.unwrap_or_default();
    let include_usage = body
        .stream_options
        .unwrap_or_default()
        .include_usage
        .unwrap_or_default();
    let key = idempotency_key(&headers)?;
    let place = Place {
        model: body.model.as_deref(),
        ..Place::default()
    };
    let (agent, thread, resent) = thread(&gateway, &session, &headers, &place, &input, key).await?;
    let mut head = CompletionHead {
        id: "chatcmpl-side-request".to_owned(),
        created: Timestamp::now().as_second(),
        model: agent.client_name.clone(),
        include_usage: include_usage && stream,
    };
    if let Some(answer) = side_request::answer(&input, &headers) {
        return Ok(told(head, &answer, stream));
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
            param: "messages",
        },
        params: None,
        metadata: None,
        key,
        resent,
    };
    let sent = turn.send(thread).await?;
    // The turn may take long, and the memory of large attachments is for others then.
    drop((read, input));
    let id = id_of(&sent)?;
    head.id = id.to_string().replacen("resp_", "chatcmpl-", 1);
    let writer = CompletionWriter::new(head, &id.message_id());
    let updates = sent
        .updates(&gateway, &session)
        .await
        .map_err(|error| error.retryable(false))?;
    if stream {
        return Ok(response(chunks(writer, updates)));
    }
    whole(writer, updates).await
}

/// A completion that no agent gives.
fn told(head: CompletionHead, answer: &str, stream: bool) -> Response {
    let mut writer = CompletionWriter::new(head, "");
    let chunks = writer.tell(answer);
    if stream {
        let events = chunks
            .into_iter()
            .map(|chunk| SseEvent::default().data(chunk.to_string()));
        let done = std::iter::once(SseEvent::default().data(DONE));
        return response(futures::stream::iter(events.chain(done)));
    }
    Json(writer.completion().unwrap_or(Value::Null)).into_response()
}

async fn whole(mut writer: CompletionWriter, mut updates: BoxStream<'static, Update>) -> Result<Response, ApiError> {
    until_ended(&mut writer, &mut updates).await?;
    match writer.completion() {
        Ok(completion) => Ok(Json(completion).into_response()),
        Err(CompletionError::Failed(error)) => Err(ApiError::new(
            StatusCode::FAILED_DEPENDENCY,
            format!("{}: {}", error.category, error.message),
        )
        .retryable(false)
        .code("turn_failed")),
        Err(CompletionError::Running) => Err(ApiError::overloaded("the turn goes on").retryable(false)),
    }
}

fn chunks(
    mut writer: CompletionWriter,
    mut updates: BoxStream<'static, Update>,
) -> impl Stream<Item = SseEvent> + Send + 'static {
    async_stream::stream! {
        for chunk in writer.begin() {
            yield SseEvent::default().data(chunk.to_string());
        }
        while !writer.has_ended() {
            let Some(update) = updates.next().await else { return };
            if let Update::Error(reason) = &update {
                let error = json!({"error": {"message": reason, "type": "server_error", "param": null, "code": null}});
                yield SseEvent::default().data(error.to_string());
                return;
            }
            for chunk in take_in(&mut writer, update) {
                yield SseEvent::default().data(chunk.to_string());
            }
        }
        yield SseEvent::default().data(DONE);
    }
}
