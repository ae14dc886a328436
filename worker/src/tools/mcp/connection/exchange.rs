//! One request and its answer: over the stream of the request, over that of the session, or continued after a break.
//! Meanwhile the server may ask.

use std::time::Duration;

use futures::future::{Either, pending};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Answer, LAST_EVENT_ID, Peer, Protocol};
use crate::tools::mcp::{
    elicitation::{self, Asked, Elicitations},
    error::McpError,
    http::{Messages, rpc_error},
};

/// How often an answer that ends early is continued.
const MAXIMUM_RESUMES: usize = 5;
/// JSON-RPC: there is no such method.
const METHOD_NOT_FOUND: i64 = -32601;

/// A request that waits for its answer.
pub(super) struct Exchange<'a> {
    pub(super) peer: &'a Peer,
    pub(super) id: u64,
    pub(super) elicitations: &'a Elicitations,
}

impl Exchange<'_> {
    pub(super) async fn answer(&self, message: &Value, headers: HeaderMap, method: &str) -> Result<Answer, McpError> {
        // Some servers ask over the stream of the session, and some even answer there.
        let side = if method == "tools/call" && self.peer.has_session() {
            Either::Left(self.side_stream())
        } else {
            Either::Right(pending())
        };
        tokio::select! {
            biased;
            answer = self.own_stream(message, headers) => answer,
            answer = side => answer,
        }
    }

    /// The answer to the message itself.
    async fn own_stream(&self, message: &Value, headers: HeaderMap) -> Result<Answer, McpError> {
        let sent = self.peer.wire.post(message, headers).await;
        let mut messages = match sent {
            Ok(reply) => reply.messages,
            Err(error) if self.peer.has_session() && is_session_lost(&error) => {
                return Err(McpError::SessionLost);
            }
            Err(error) => return Err(error),
        };
        let mut unread = None;
        let mut resumes = 0;
        loop {
            let end = match messages.next().await {
                Ok(Some(message)) => {
                    match self.take(message, Stream::Own).await? {
                        Taken::Answer(answer) => return Ok(answer),
                        Taken::Unknown(message) => unread = Some(message),
                        Taken::Nothing => {}
                    }
                    continue;
                }
                Ok(None) => McpError::Broken("the answer ended early".to_owned()),
                Err(error) => error,
            };
            // Whatever it is, it is the answer.
            if let Some(answer) = unread {
                return Ok(Answer::Result(answer));
            }
            messages = self.resumed(messages.resumption(), &mut resumes).await.ok_or(end)?;
        }
    }

    /// Continues an answer that ended early. A server of an older protocol may end it on purpose.
    async fn resumed(&self, resumption: Option<(String, Duration)>, resumes: &mut usize) -> Option<Messages> {
        let (last_id, delay) = resumption?;
        if matches!(self.peer.protocol, Protocol::Newest) {
            return None;
        }
        let last_id = HeaderValue::from_str(&last_id).ok()?;
        while *resumes < MAXIMUM_RESUMES {
            *resumes += 1;
            sleep(delay).await;
            let mut headers = self.peer.session_headers();
            headers.insert(HeaderName::from_static(LAST_EVENT_ID), last_id.clone());
            match self.peer.wire.get(headers).await {
                Ok(reply) => return Some(reply.messages),
                Err(McpError::Broken(_) | McpError::NotConnected(_) | McpError::Status(500..)) => {}
                Err(_) => return None,
            }
        }
        None
    }

    /// The stream of the session: ends only with an answer.
    async fn side_stream(&self) -> Result<Answer, McpError> {
        if let Ok(reply) = self.peer.wire.get(self.peer.session_headers()).await {
            let mut messages = reply.messages;
            while let Ok(Some(message)) = messages.next().await {
                if let Taken::Answer(answer) = self.take(message, Stream::OfSession).await? {
                    return Ok(answer);
                }
            }
        }
        pending().await
    }

    async fn take(&self, message: Value, stream: Stream) -> Result<Taken, McpError> {
        if let Some(method) = message.get("method").and_then(Value::as_str) {
            let Some(id) = message.get("id").filter(|id| !id.is_null()) else {
                return Ok(Taken::Nothing);
            };
            return self.answer_server(method, id, &message["params"]).await;
        }
        if stream == Stream::OfSession && !self.is_own(&message["id"]) {
            return Ok(Taken::Nothing);
        }
        if let Some(error) = rpc_error(&message) {
            return Err(error);
        }
        Ok(match message {
            Value::Object(mut response) if response.contains_key("result") => {
                Taken::Answer(Answer::Result(response.remove("result").unwrap_or_default()))
            }
            other => Taken::Unknown(other),
        })
    }

    fn is_own(&self, id: &Value) -> bool {
        id.as_u64() == Some(self.id) || id.as_str() == Some(self.id.to_string().as_str())
    }

    /// Answers a request of the server.
    async fn answer_server(&self, method: &str, id: &Value, params: &Value) -> Result<Taken, McpError> {
        let answer = match method {
            "ping" => json!({"jsonrpc": "2.0", "id": id, "result": {}}),
            elicitation::CREATE => match self.elicitations.ask(params) {
                Asked::Person(request) => return Ok(Taken::Answer(Answer::Question(request))),
                Asked::Answered(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
            },
            _ => {
                let error = json!({"code": METHOD_NOT_FOUND, "message": "this client does not have the method"});
                json!({"jsonrpc": "2.0", "id": id, "error": error})
            }
        };
        if let Err(error) = self.peer.wire.post(&answer, self.peer.session_headers()).await {
            tracing::debug!(?error, method, "request of an MCP server not answered");
        }
        Ok(Taken::Nothing)
    }
}

/// Whether the server does not know the session. It says so before it acts.
fn is_session_lost(error: &McpError) -> bool {
    match error {
        McpError::Status(404) => true,
        McpError::Rpc { message, .. } => message.to_ascii_lowercase().contains("session not found"),
        _ => false,
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Stream {
    Own,
    OfSession,
}

enum Taken {
    Answer(Answer),
    /// A message that is neither an answer nor a request.
    Unknown(Value),
    Nothing,
}
