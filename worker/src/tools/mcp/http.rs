//! One HTTP exchange with an MCP server: sends a message, follows redirects within the
//! host, and reads the messages of the answer. Knows nothing of what they mean.

use std::{collections::VecDeque, io, sync::Arc, time::Duration};

use async_stream::try_stream;
use bytes::Bytes;
use futures::{StreamExt as _, stream::BoxStream};
use reqwest::{
    Method, Response, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION},
};
use serde_json::Value;
use sse_stream::{Sse, SseByteStream};
use steadfast_bounds::json;
use steadfast_egress::EgressPolicy;
use steadfast_process::ErrorChain;
use url::Url;

use super::{address::ServerAddress, error::McpError};
use crate::egress::{
    body_decoder::BodyDecoder,
    connection_fault::find_denial,
    response_body::{ReadBodyError, read_text},
};

/// Header of the session of the protocols before 2026-07-28.
pub(super) const SESSION: &str = "mcp-session-id";

/// Most redirects that are followed for one message.
const MAXIMUM_REDIRECTS: usize = 5;
/// Longest answer.
const MAXIMUM_ANSWER_BYTES: usize = 16 << 20;
/// Longest text of an HTTP error that is searched for a JSON-RPC error.
const MAXIMUM_ERROR_BYTES: usize = 64 << 10;
/// How much of an unreadable answer a message quotes.
const MAXIMUM_QUOTE_BYTES: usize = 200;
/// Pause before a stream is resumed, if the server does not say.
const DEFAULT_RESUME_DELAY: Duration = Duration::from_secs(1);
/// Longest pause before a stream is resumed.
const MAXIMUM_RESUME_DELAY: Duration = Duration::from_secs(10);

/// The way to one server. Cheap to clone.
#[derive(Clone)]
pub(super) struct Wire {
    pub(super) http: reqwest::Client,
    pub(super) policy: EgressPolicy,
    pub(super) address: Arc<ServerAddress>,
}

/// The answer to one HTTP request.
pub(super) struct Reply {
    /// The session that the server has begun.
    pub(super) session: Option<HeaderValue>,
    pub(super) messages: Messages,
}

/// The messages of an answer, in order.
pub(super) enum Messages {
    Body(VecDeque<Value>),
    Events(Events),
}

/// An event stream.
pub(super) struct Events {
    stream: BoxStream<'static, Result<Sse, sse_stream::Error>>,
    last_id: Option<String>,
    retry: Option<Duration>,
}

impl Wire {
    pub(super) async fn post(&self, message: &Value, headers: HeaderMap) -> Result<Reply, McpError> {
        let response = self.send(Method::POST, Some(message.to_string()), headers).await?;
        read(response).await
    }

    /// Opens the stream of a session, or continues one.
    pub(super) async fn get(&self, headers: HeaderMap) -> Result<Reply, McpError> {
        let response = self.send(Method::GET, None, headers).await?;
        read(response).await
    }

    /// Ends a session.
    pub(super) async fn delete(&self, headers: HeaderMap) -> Result<(), McpError> {
        self.send(Method::DELETE, None, headers).await.map(drop)
    }

    async fn send(&self, method: Method, body: Option<String>, protocol: HeaderMap) -> Result<Response, McpError> {
        let mut headers = self.address.headers.clone();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        if body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        headers.extend(protocol);
        let mut url = self.address.url.clone();
        for _ in 0..=MAXIMUM_REDIRECTS {
            let mut request = self.http.request(method.clone(), url.clone()).headers(headers.clone());
            if let Some(body) = &body {
                request = request.body(body.clone());
            }
            let response = request.send().await.map_err(|error| not_answered(&error))?;
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            match redirect(&url, response.status(), location) {
                None => return Ok(response),
                Some(Ok(target)) => {
                    self.policy
                        .check_url(&target)
                        .map_err(|denied| McpError::Denied(denied.to_string()))?;
                    url = target;
                }
                Some(Err(reason)) => return Err(McpError::Denied(format!("{} {reason}", self.address.host))),
            }
        }
        Err(McpError::Denied(format!(
            "{} redirects more than {MAXIMUM_REDIRECTS} times",
            self.address.host
        )))
    }
}

fn not_answered(error: &reqwest::Error) -> McpError {
    if let Some(denied) = find_denial(error) {
        return McpError::Denied(denied.to_string());
    }
    let text = ErrorChain(error).to_string();
    if error.is_connect() || error.is_builder() {
        McpError::NotConnected(text)
    } else {
        McpError::Broken(text)
    }
}

/// Where a message is sent again: 301, 307 and 308 say that the server has not taken it. Only the path and the query
/// are the server's choice, and https in place of http: a server behind a proxy often names its own scheme and port.
fn redirect(from: &Url, status: StatusCode, location: Option<&str>) -> Option<Result<Url, &'static str>> {
    if !matches!(status.as_u16(), 301 | 307 | 308) {
        return None;
    }
    let Some(target) = location.and_then(|location| from.join(location).ok()) else {
        return Some(Err("redirects to no address"));
    };
    if target.host() != from.host() {
        return Some(Err(
            "redirects to another host, which is not followed; give the address of that host as the tool's URL",
        ));
    }
    let mut next = from.clone();
    next.set_path(target.path());
    next.set_query(target.query());
    let same_port = from.port() == target.port();
    if from.scheme() == "http" && target.scheme() == "https" && same_port && next.set_scheme("https").is_err() {
        return Some(Err("redirects to an address that cannot be used"));
    }
    Some(Ok(next))
}

async fn read(response: Response) -> Result<Reply, McpError> {
    let status = response.status();
    let session = response.headers().get(SESSION).cloned();
    if !status.is_success() {
        return Err(http_error(response).await);
    }
    let media_type = media_type(&response);
    let messages = if media_type == "text/event-stream" {
        Messages::Events(Events::new(response)?)
    } else {
        Messages::Body(body_messages(response, &media_type).await?)
    };
    Ok(Reply { session, messages })
}

async fn http_error(response: Response) -> McpError {
    let status = response.status().as_u16();
    if matches!(status, 401 | 403) {
        return McpError::Unauthorized;
    }
    let body = read_text(response, MAXIMUM_ERROR_BYTES).await.unwrap_or_default();
    let error = json::read_foreign(body.text.as_bytes()).ok();
    match error.as_ref().and_then(rpc_error) {
        // The status says more than a code of the server's own: try again later, or not.
        Some(error) if !matches!(status, 408 | 425 | 429 | 502..=504) => error,
        _ => McpError::Status(status),
    }
}

/// The error of a message, if it is one.
pub(super) fn rpc_error(message: &Value) -> Option<McpError> {
    let error = message.get("error").filter(|error| !error.is_null())?;
    let (code, text) = match error {
        Value::Object(error) => (
            error.get("code").and_then(Value::as_i64).unwrap_or_default(),
            error
                .get("message")
                .and_then(Value::as_str)
                .unwrap_or("an error without words"),
        ),
        Value::String(text) => (0, text.as_str()),
        _ => (0, "an error without words"),
    };
    let mut message = text.to_owned();
    // Servers put what the caller should know into the data, such as the parameter that is wrong.
    if let Some(data) = error.get("data").filter(|data| !data.is_null()) {
        let data = data.as_str().map_or_else(|| data.to_string(), str::to_owned);
        if !message.contains(&data) {
            message = format!("{message}: {data}");
        }
    }
    Some(McpError::Rpc { code, message })
}

fn media_type(response: &Response) -> String {
    let value = response.headers().get(CONTENT_TYPE);
    let value = value.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default();
    media_type.trim().to_ascii_lowercase()
}

async fn body_messages(response: Response, media_type: &str) -> Result<VecDeque<Value>, McpError> {
    let body = read_text(response, MAXIMUM_ANSWER_BYTES)
        .await
        .map_err(|error| match &error {
            ReadBodyError::Connection(broken) => McpError::Broken(ErrorChain(broken).to_string()),
            // The server has answered.
            ReadBodyError::Coding(coding) => McpError::Unreadable(ErrorChain(coding).to_string()),
        })?;
    if body.is_cut {
        return Err(too_large());
    }
    let text = body.text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Ok(VecDeque::new());
    }
    match read_message(text) {
        // Protocol 2025-03-26 had batches.
        Ok(Value::Array(messages)) => Ok(messages.into()),
        Ok(message) => Ok(VecDeque::from([message])),
        Err(_) if media_type.ends_with("json") => Ok(VecDeque::from([Value::String(text.to_owned())])),
        Err(_) => {
            let quote = &text[..text.floor_char_boundary(MAXIMUM_QUOTE_BYTES)];
            let media_type = if media_type.is_empty() {
                "no media type"
            } else {
                media_type
            };
            Err(McpError::Unreadable(format!("{media_type}: {quote:?}")))
        }
    }
}

/// A message, which may be laxer than JSON: servers in JavaScript cut texts within a character, those in Python write
/// `NaN`.
fn read_message(text: &str) -> serde_json::Result<Value> {
    serde_json::from_str(text).or_else(|error| json::read_foreign(text.as_bytes()).map_err(|_| error))
}

fn too_large() -> McpError {
    McpError::Unreadable(format!("it is longer than {} MiB", MAXIMUM_ANSWER_BYTES >> 20))
}

impl Messages {
    /// The next message; text that is no JSON is a string. `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Value>, McpError> {
        match self {
            Self::Body(messages) => Ok(messages.pop_front()),
            Self::Events(events) => events.next().await,
        }
    }

    /// The event after which the server may continue the stream elsewhere, and how long to wait before.
    pub(super) fn resumption(&self) -> Option<(String, Duration)> {
        let Self::Events(events) = self else { return None };
        let delay = events.retry.unwrap_or(DEFAULT_RESUME_DELAY).min(MAXIMUM_RESUME_DELAY);
        events.last_id.clone().map(|id| (id, delay))
    }
}

impl Events {
    fn new(response: Response) -> Result<Self, McpError> {
        let decoder = BodyDecoder::new(response.headers(), MAXIMUM_ANSWER_BYTES);
        let mut decoder = decoder.map_err(|error| McpError::Unreadable(ErrorChain(&error).to_string()))?;
        let bytes = try_stream! {
            let mut bytes_left = MAXIMUM_ANSWER_BYTES;
            let mut chunks = response.bytes_stream();
            loop {
                let chunk = chunks.next().await.transpose().map_err(io::Error::other)?;
                let text = match &chunk {
                    Some(chunk) => decoder.push(chunk),
                    None => decoder.finish(),
                };
                let text = text.map_err(io::Error::other)?;
                let left = bytes_left.checked_sub(text.len()).filter(|_| !decoder.is_full());
                bytes_left = left.ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?;
                yield Bytes::from(text);
                if chunk.is_none() {
                    break;
                }
            }
        };
        let bytes: BoxStream<'static, io::Result<Bytes>> = bytes.boxed();
        Ok(Self {
            stream: SseByteStream::new(bytes).boxed(),
            last_id: None,
            retry: None,
        })
    }

    async fn next(&mut self) -> Result<Option<Value>, McpError> {
        while let Some(event) = self.stream.next().await {
            let event = event.map_err(|error| {
                let text = ErrorChain(&error).to_string();
                if text.contains("too large") {
                    too_large()
                } else {
                    McpError::Broken(text)
                }
            })?;
            if let Some(id) = event.id.filter(|id| !id.is_empty()) {
                self.last_id = Some(id);
            }
            if let Some(retry) = event.retry {
                self.retry = Some(Duration::from_millis(retry));
            }
            let data = event.data.unwrap_or_default();
            if !data.trim().is_empty() {
                return Ok(Some(read_message(&data).unwrap_or(Value::String(data))));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn followed(from: &str, status: u16, location: &str) -> Option<Result<String, &'static str>> {
        let status = StatusCode::from_u16(status).unwrap();
        let target = redirect(&from.parse().unwrap(), status, Some(location));
        target.map(|target| target.map(|url| url.to_string()))
    }

    #[test]
    fn a_redirect_within_the_host_is_followed() {
        let target = |url: &str| Some(Ok(url.to_owned()));
        for status in [301, 307, 308] {
            assert_eq!(
                followed("http://h/mcp?k=1", status, "/mcp/?k=1"),
                target("http://h/mcp/?k=1")
            );
        }
        assert_eq!(followed("http://h/mcp", 308, "https://h/mcp"), target("https://h/mcp"));
        // A server behind a proxy names its own scheme and port.
        assert_eq!(
            followed("https://h/mcp", 307, "http://h/mcp/"),
            target("https://h/mcp/")
        );
        assert_eq!(
            followed("https://h/mcp", 301, "http://h:8080/mcp/"),
            target("https://h/mcp/")
        );
        assert_eq!(
            followed("http://h:80/mcp", 307, "https://h:8443/x"),
            target("http://h/x")
        );
    }

    #[test]
    fn a_redirect_to_another_host_and_one_that_changes_the_method_are_not_followed() {
        assert!(followed("http://h/mcp", 307, "http://other/mcp").unwrap().is_err());
        assert!(followed("http://h/mcp", 308, "//other/mcp").unwrap().is_err());
        for status in [200, 302, 303, 304] {
            assert_eq!(followed("http://h/mcp", status, "/login"), None);
        }
    }

    #[test]
    fn the_error_of_a_message_has_its_data() {
        let error = |message: Value| rpc_error(&message);
        let rpc = |code: i64, message: &str| {
            Some(McpError::Rpc {
                code,
                message: message.to_owned(),
            })
        };
        assert_eq!(
            error(json!({"error": {"code": -32602, "message": "bad", "data": {"field": "a"}}})),
            rpc(-32602, "bad: {\"field\":\"a\"}")
        );
        assert_eq!(error(json!({"error": "gone"})), rpc(0, "gone"));
        assert_eq!(error(json!({"error": null, "result": {}})), None);
    }
}
