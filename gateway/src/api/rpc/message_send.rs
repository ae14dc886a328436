//! `message/send`: a message to the agent, and the answer in the response: whole, or line by line
//! as it comes (NDJSON, one JSON-RPC response per line).

use std::{convert::Infallible, sync::Arc};

use axum::{
    Json,
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream::BoxStream};
use serde_json::{Map, Value, json, value::RawValue};
use uuid::Uuid;

use super::{INTERNAL_ERROR, error_object, params};
use crate::{
    access::Session,
    agentex::{message_turn::MessageTurn, wire::TaskMessage},
    agents::AgentEntry,
    api::{
        keep_alive::{PING, kept_alive},
        turn::{Thread, Turn, take_in, until_ended},
    },
    app::Gateway,
    attachments::MessageAttachments,
    error::ApiError,
    follow::Update,
    messages,
    start::MAX_PARAMS_BYTES,
    task::TaskRecord,
    turn_writer::TurnWriter as _,
};

/// Readers of NDJSON skip it.
const EMPTY_LINE: Bytes = Bytes::from_static(b"\n");

pub(super) async fn send_message(
    gateway: &Arc<Gateway>,
    session: &Session,
    agent: &AgentEntry,
    headers: &HeaderMap,
    id: &Value,
    params: &Map<String, Value>,
) -> Result<Response, ApiError> {
    let caller = &session.caller;
    let key = params::idempotency_key(headers)?;
    let (content, given) = params::content(params)?;
    let stream = match params.get("stream") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(stream)) => *stream,
        Some(_) => return Err(ApiError::bad_request("stream must be true or false")),
    };
    let task_params = params::object(params, "task_params", MAX_PARAMS_BYTES)?;
    let thread = match params::task_reference(params)? {
        Some(params::TaskReference::Id(_)) => Thread::Of(Box::new(params::task(gateway, caller, agent, params).await?)),
        Some(params::TaskReference::Name(name)) => Thread::New {
            id: agent.named_task_id(caller.name(), &name),
            name: Some(name),
            may_be_repeated: true,
        },
        None => Thread::New {
            id: match key {
                Some(key) => agent.keyed_task_id(caller.name(), key),
                None => Uuid::now_v7(),
            },
            name: None,
            may_be_repeated: key.is_some(),
        },
    };
    let turn = Turn {
        gateway,
        session,
        headers,
        agent,
        opening: content.clone(),
        message: content,
        attachments: MessageAttachments {
            given: &given,
            param: "content",
        },
        params: task_params.as_ref(),
        metadata: None,
        key,
        resent: None,
    };
    let sent = turn.send(thread).await?;
    let (task, message_id) = (sent.task.clone(), sent.message_id.to_string());
    let writer = MessageTurn::new(message_id, task.to_wire(None));
    // The message was sent: another request would be another message.
    let updates = sent
        .updates(gateway, session)
        .await
        .map_err(|error| error.retryable(false))?;
    if stream {
        return Ok(lines(response_lines(writer, updates, id.clone())));
    }
    whole(gateway, &task, writer, updates, id).await
}

async fn whole(
    gateway: &Gateway,
    task: &TaskRecord,
    mut writer: MessageTurn,
    mut updates: BoxStream<'static, Update>,
    id: &Value,
) -> Result<Response, ApiError> {
    until_ended(&mut writer, &mut updates).await?;
    drop(updates);
    if let Some(reason) = writer.failure() {
        return Err(ApiError::new(StatusCode::FAILED_DEPENDENCY, reason).retryable(false));
    }
    let messages = Box::pin(messages::messages(gateway, task)).await?;
    let answer = writer.answer(&messages).into_iter();
    let answer: Vec<TaskMessage<'_>> = answer.map(|message| TaskMessage::new(&task.id, message)).collect();
    Ok(Json(json!({ "jsonrpc": "2.0", "id": id, "result": answer, "error": null })).into_response())
}

/// One JSON-RPC response per update, and one with the error where there is one.
fn response_lines(
    mut writer: MessageTurn,
    mut updates: BoxStream<'static, Update>,
    id: Value,
) -> impl Stream<Item = Bytes> + Send + 'static {
    async_stream::stream! {
        while !writer.has_ended() {
            let Some(update) = updates.next().await else {
                yield failure(&id, "the gateway stops; the turn goes on");
                return;
            };
            if let Update::Error(reason) = &update {
                yield failure(&id, reason);
                return;
            }
            for update in take_in(&mut writer, update) {
                yield line(&id, &update);
            }
        }
        if let Some(reason) = writer.failure() {
            yield failure(&id, &reason);
        }
    }
}

fn line(id: &Value, update: &RawValue) -> Bytes {
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{update},\"error\":null}}\n").into()
}

fn failure(id: &Value, reason: &str) -> Bytes {
    let error = error_object(INTERNAL_ERROR, reason, &Value::Null);
    let response = json!({ "jsonrpc": "2.0", "id": id, "result": null, "error": error });
    format!("{response}\n").into()
}

fn lines(lines: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"))];
    let body = Body::from_stream(lines.map(Ok::<_, Infallible>));
    kept_alive((kind, body).into_response(), PING, EMPTY_LINE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agentex::wire::Frame;

    #[test]
    fn a_line_is_one_response_with_the_id_of_the_request() {
        let update = serde_json::value::to_raw_value(&Frame::Error { message: "a\nb" }).unwrap();
        for id in [json!("x\n"), json!(7), Value::Null] {
            for bytes in [line(&id, &update), failure(&id, "no\nmore")] {
                let text = std::str::from_utf8(&bytes).unwrap();
                assert_eq!(text.matches('\n').count(), 1, "{text:?}");
                let response: Value = serde_json::from_str(text).unwrap();
                assert_eq!(response["id"], id);
            }
        }
    }
}
