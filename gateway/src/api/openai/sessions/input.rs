//! What a client sends to a session: messages, answers, decisions, and the wish to stop.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};
use steadfast_events::{Verdict, id::user_message_id};
use uuid::Uuid;

use super::{
    replay::{Replayed, replayed},
    task_of,
};
use crate::{
    access::{Action, Caller},
    api::{
        approvals::decide::decide_approval,
        extractors::UnreadBody,
        openai::{
            agents::{not_supported, require_beta},
            input_error,
        },
        rpc::params::idempotency_key,
        tasks::interrupt_task,
        turn::text,
    },
    app::Gateway,
    attachments::{self, MessageAttachments},
    error::{ApiError, ErrorBody},
    openai::{ids::SessionId, input::Input},
    send::{Outcome, OutgoingMessage},
    task::TaskRecord,
};

const MAX_EVENTS: usize = 20;
const DISMISSED: &str = "dismissed";

#[derive(Debug, Default, Deserialize)]
struct SendBody {
    #[serde(default)]
    events: Vec<Value>,
}

/// Sends events to a session, one after the other. Those before one that fails have been taken.
#[utoipa::path(
    post,
    path = "/v1/agents/sessions/{session_id}/events",
    operation_id = "send_to_session",
    tag = "openai",
    params(("session_id" = String, Path, description = "Id of the session.")),
    request_body(content = Object, description = "OpenAI's request: `events`, 20 at most."),
    responses(
        (status = ACCEPTED, description = "The session has the events.", body = Object),
        (status = FORBIDDEN, description = "The caller may not decide the approval.", body = ErrorBody),
        (status = CONFLICT, description = "The session has ended, or another decision came first.", body = ErrorBody),
        (status = "default", description = "OpenAI's error.", body = ErrorBody),
    ),
)]
pub(in crate::api) async fn send(
    State(gateway): State<Arc<Gateway>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: UnreadBody,
) -> Result<Response, ApiError> {
    let (id, task) = task_of(&gateway, &caller, Action::WriteTasks, &id).await?;
    let body = body.read(&gateway, &caller).await?;
    require_beta(&headers)?;
    let SendBody { events } = body.read()?;
    if events.is_empty() || events.len() > MAX_EVENTS {
        return Err(ApiError::bad_request(format!("events must be 1 to {MAX_EVENTS}")).param("events"));
    }
    let key = idempotency_key(&headers)?;
    let sender = Sender {
        gateway: &gateway,
        caller: &caller,
        id,
        task,
    };
    for (index, event) in events.iter().enumerate() {
        sender
            .send(event, key.map(|key| format!("{key}/{index}")))
            .await
            .map_err(|error| error.param("events"))?;
    }
    Ok((StatusCode::ACCEPTED, Json(json!({}))).into_response())
}

struct Sender<'a> {
    gateway: &'a Gateway,
    caller: &'a Caller,
    id: SessionId,
    task: TaskRecord,
}

impl Sender<'_> {
    async fn send(&self, event: &Value, key: Option<String>) -> Result<(), ApiError> {
        let kind = event["type"].as_str().unwrap_or_default();
        if self.task.status.is_terminal() {
            return Err(ApiError::new(StatusCode::CONFLICT, "the session has ended").retryable(false));
        }
        match kind.strip_prefix("agent.session.input.") {
            Some("message") => self.message(event, key).await,
            Some("cancel") => self.cancel().await,
            Some("tool_result") => self.tool_result(event).await,
            Some("mcp_approval_request_result") => self.approval_result(event).await,
            _ => Err(not_supported(
                "events are messages, cancel, tool_result and mcp_approval_request_result",
            )),
        }
    }

    async fn message(&self, event: &Value, key: Option<String>) -> Result<(), ApiError> {
        let input = Input::of_response(Some(&event["input"]), None).map_err(|error| input_error(error, "events"))?;
        if !input.is_message() {
            return Err(ApiError::bad_request(
                "the input of agent.session.input.message is messages of the user: a session has what was said before, \
                 and answers are events of their own",
            ));
        }
        let id = match &key {
            Some(key) => user_message_id(&self.task.id, self.caller.name(), key),
            None => Uuid::now_v7().to_string(),
        };
        let message = OutgoingMessage {
            task: &self.task,
            log: self.task.own_log(),
            id,
            key: None,
            may_be_repeated: key.is_some(),
        };
        let namespace = &self.task.agent.namespace;
        let attachments = MessageAttachments {
            given: input.attachments(),
            param: "events",
        };
        let content = text(input.message().to_owned());
        let content = attachments::attach(self.gateway, namespace, &self.task.id, content, attachments).await?;
        match message.send(self.gateway, self.caller, &content).await? {
            Some(Outcome::Rejected(reason)) => Err(ApiError::new(
                StatusCode::CONFLICT,
                format!("the session rejected the message: {reason}"),
            )
            .retryable(false)),
            Some(Outcome::Accepted(_)) | None => Ok(()),
        }
    }

    /// An interrupt stops the turn that runs. An idle session has none.
    async fn cancel(&self) -> Result<(), ApiError> {
        if matches!(self.now().await?.session.status(), "in_progress" | "requires_action") {
            interrupt_task(self.gateway, &self.task, Some("canceled by a client".to_owned())).await?;
        }
        Ok(())
    }

    /// The answer to a question that the client took for a function.
    async fn tool_result(&self, event: &Value) -> Result<(), ApiError> {
        let call_id = event["call_id"].as_str().unwrap_or_default();
        let Replayed { session, .. } = self.now().await?;
        // Clients know these words, and try again for a moment.
        let unknown =
            || ApiError::bad_request(format!("Unknown pending tool call: {call_id}")).code("invalid_request_error");
        let asked = session.asked(call_id).ok_or_else(unknown)?;
        let has_form = !asked.form.is_null();
        if event["success"] == false {
            let reason = text_of(&event["error"]);
            return self.decide(call_id, Verdict::Rejected, Some(reason), Value::Null).await;
        }
        let output = text_of(&event["output"]);
        let (reason, answer) = if has_form {
            let answer = serde_json::from_str(&output).unwrap_or(Value::String(output));
            (None, answer)
        } else {
            (Some(output).filter(|output| !output.is_empty()), Value::Null)
        };
        self.decide(call_id, Verdict::Approved, reason, answer).await
    }

    async fn approval_result(&self, event: &Value) -> Result<(), ApiError> {
        let request_id = event["request_id"].as_str().unwrap_or_default();
        let (verdict, reason) = match event["response"]["decision"].as_str() {
            Some("approve") => (Verdict::Approved, None),
            Some("deny") => (Verdict::Rejected, None),
            Some("cancel") => (Verdict::Rejected, Some(DISMISSED.to_owned())),
            _ => return Err(ApiError::bad_request("decision is approve, deny or cancel")),
        };
        self.decide(request_id, verdict, reason, Value::Null).await
    }

    async fn decide(
        &self,
        approval_id: &str,
        verdict: Verdict,
        reason: Option<String>,
        answer: Value,
    ) -> Result<(), ApiError> {
        let decided = decide_approval(
            self.gateway,
            self.caller,
            approval_id.to_owned(),
            verdict,
            reason,
            answer,
        )
        .await;
        match decided {
            Ok(()) => Ok(()),
            Err(error) if error.status == StatusCode::UNPROCESSABLE_ENTITY => Err(ApiError::bad_request(error.message)),
            // Who sees the session knows that it asks.
            Err(error) if error.status == StatusCode::NOT_FOUND && self.asks(approval_id).await? => Err(ApiError::new(
                StatusCode::FORBIDDEN,
                "you may not decide the approvals of this agent",
            )),
            Err(error) => Err(error),
        }
    }

    async fn asks(&self, approval_id: &str) -> Result<bool, ApiError> {
        Ok(self.now().await?.session.asked(approval_id).is_some())
    }

    async fn now(&self) -> Result<Replayed, ApiError> {
        let _turn = self.gateway.load.heavy_request(self.caller).await?;
        replayed(self.gateway, self.id, self.task.clone(), None).await
    }
}

/// A text, or the texts of parts.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
            texts.join("\n")
        }
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
