//! Reads requests: bodies within a limit, queries, the content of a message and the trace
//! context.

use std::time::Duration;

use axum::{
    body::BodyDataStream,
    extract::{FromRequest, FromRequestParts, Query, Request},
    http::{HeaderMap, request::Parts},
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Map, Value};
use steadfast_events::{Content, TextFormat};
use utoipa::ToSchema;

use crate::error::ApiError;

/// Longest text or data of a message.
pub(super) const MAX_MESSAGE_BYTES: usize = 1024 * 1024;
/// Room for the longest message when every character of it is escaped.
const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;
/// How much of a body that is too long is read, so that its sender receives the error.
const MAX_DRAINED_BYTES: usize = 64 * 1024 * 1024;
const MAX_REASON_CHARS: usize = 1000;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// A whole request body.
pub(super) struct BoundedBody(pub(super) Bytes);

impl<S: Sync> FromRequest<S> for BoundedBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let mut stream = request.into_body().into_data_stream();
        let mut body = BytesMut::new();
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|_| ApiError::bad_request("the request body ended early"))?;
            if body.len() + piece.len() > MAX_BODY_BYTES {
                // A response before the end of the body would break the sender's connection.
                let _ = tokio::time::timeout(DRAIN_TIMEOUT, drain(stream)).await;
                return Err(ApiError::too_large(format!(
                    "a request body is at most {MAX_BODY_BYTES} bytes long"
                )));
            }
            body.extend_from_slice(&piece);
        }
        Ok(Self(body.freeze()))
    }
}

/// The query of a request. A malformed query is an error like any other.
pub(super) struct Params<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Query(params) =
            Query::try_from_uri(&parts.uri).map_err(|error| ApiError::bad_request(error.body_text()))?;
        Ok(Self(params))
    }
}

async fn drain(mut stream: BodyDataStream) {
    let mut drained = 0;
    while let Some(Ok(piece)) = stream.next().await {
        drained += piece.len();
        if drained > MAX_DRAINED_BYTES {
            return;
        }
    }
}

impl BoundedBody {
    /// The body as JSON of a type. An empty body is the default value.
    pub(super) fn read<T: DeserializeOwned + Default>(&self) -> Result<T, ApiError> {
        if self.0.is_empty() {
            return Ok(T::default());
        }
        // By way of a map: a struct could be read from an array too.
        serde_json::from_slice::<Map<String, Value>>(&self.0)
            .and_then(|body| serde_json::from_value(Value::Object(body)))
            .map_err(|error| ApiError::bad_request(format!("the body must be a JSON object: {error}")))
    }
}

/// The body of a request that may give a reason.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(super) struct ReasonBody {
    /// The reason; longer ones are cut.
    #[schema(max_length = 1000)]
    #[serde(default, deserialize_with = "cut_reason")]
    pub(super) reason: Option<String>,
}

/// A reason of at most [`MAX_REASON_CHARS`].
pub(super) fn cut_reason<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let reason = Option::<String>::deserialize(deserializer)?;
    Ok(reason.map(|reason| reason.chars().take(MAX_REASON_CHARS).collect()))
}

/// Why the content of a message is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ContentError {
    #[error("content is required")]
    Missing,
    #[error("content is not a message: {0}")]
    Malformed(String),
    #[error("the text of a message must not be empty")]
    Empty,
    #[error("a message is at most {MAX_MESSAGE_BYTES} bytes long")]
    TooLarge,
    #[error("attachments are not supported")]
    Attachments,
    #[error("only the author \"user\" may send messages")]
    NotTheUser,
}

/// Reads the content of a message that a client sends.
pub(super) fn read_content(content: Option<&Value>) -> Result<Content, ContentError> {
    #[derive(Deserialize)]
    struct SentContent {
        r#type: Option<String>,
        author: Option<String>,
        content: Option<String>,
        format: Option<TextFormat>,
        data: Option<Map<String, Value>>,
        attachments: Option<Vec<Value>>,
    }
    let content = match content {
        None | Some(Value::Null) => return Err(ContentError::Missing),
        Some(content) => content,
    };
    let inbound = SentContent::deserialize(content).map_err(|error| ContentError::Malformed(error.to_string()))?;
    if inbound.author.is_some_and(|author| author != "user") {
        return Err(ContentError::NotTheUser);
    }
    if inbound.attachments.is_some_and(|attachments| !attachments.is_empty()) {
        return Err(ContentError::Attachments);
    }
    let kind = inbound
        .r#type
        .as_deref()
        .unwrap_or(if inbound.data.is_some() { "data" } else { "text" });
    match (kind, inbound.content, inbound.data) {
        ("text", Some(text), _) if text.trim().is_empty() => Err(ContentError::Empty),
        ("text", Some(text), _) if text.len() > MAX_MESSAGE_BYTES => Err(ContentError::TooLarge),
        ("text", Some(text), _) => Ok(Content::Text {
            text,
            format: inbound.format.unwrap_or_default(),
        }),
        ("data", _, Some(data)) => {
            let data = Value::Object(data);
            if data.to_string().len() > MAX_MESSAGE_BYTES {
                return Err(ContentError::TooLarge);
            }
            Ok(Content::Data { data })
        }
        ("text", None, _) => Err(ContentError::Malformed("a text needs a field \"content\"".to_owned())),
        ("data", _, None) => Err(ContentError::Malformed("data needs a field \"data\"".to_owned())),
        (kind, ..) => Err(ContentError::Malformed(format!(
            "type {kind:?} cannot be sent; send \"text\" or \"data\""
        ))),
    }
}

/// The W3C trace context of a request. A malformed one is ignored, as the standard demands.
pub(super) fn traceparent(headers: &HeaderMap) -> Option<String> {
    const ID_LENGTHS: [usize; 3] = [32, 16, 2];
    let text = headers.get("traceparent")?.to_str().ok()?;
    let mut parts = text.split('-');
    if parts.next()? != "00" {
        return None;
    }
    for length in ID_LENGTHS {
        let part = parts.next()?;
        let is_hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_id = length > 2;
        if part.len() != length || !part.bytes().all(is_hexadecimal) || (is_id && part.bytes().all(|byte| byte == b'0'))
        {
            return None;
        }
    }
    parts.next().is_none().then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(content: &Value) -> Result<Content, ContentError> {
        read_content(Some(content))
    }

    #[test]
    fn a_malformed_trace_context_is_ignored() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", value.parse().unwrap());
            traceparent(&headers)
        };
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(read(good).as_deref(), Some(good));
        assert_eq!(traceparent(&HeaderMap::new()), None);
        for bad in [
            "",
            "00",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_text_and_data_can_be_sent() {
        let text = |text: &str, format| {
            Ok(Content::Text {
                text: text.to_owned(),
                format,
            })
        };
        assert_eq!(
            read(&json!({"type": "text", "author": "user", "content": "Hi"})),
            text("Hi", TextFormat::Plain)
        );
        assert_eq!(
            read(&json!({"content": "Hi", "format": "markdown"})),
            text("Hi", TextFormat::Markdown)
        );
        assert_eq!(
            read(&json!({"data": {"n": 1}, "author": "user"})),
            Ok(Content::Data { data: json!({"n": 1}) })
        );
    }

    #[test]
    fn content_that_is_no_message_is_refused() {
        assert_eq!(read_content(None), Err(ContentError::Missing));
        assert_eq!(read(&Value::Null), Err(ContentError::Missing));
        for empty in ["", " \n"] {
            assert_eq!(
                read(&json!({"type": "text", "content": empty})),
                Err(ContentError::Empty)
            );
        }
        let long = "x".repeat(MAX_MESSAGE_BYTES + 1);
        assert_eq!(
            read(&json!({"type": "text", "content": long})),
            Err(ContentError::TooLarge)
        );
        assert_eq!(
            read(&json!({"type": "data", "data": {"x": long}})),
            Err(ContentError::TooLarge)
        );
        assert_eq!(
            read(&json!({"content": "Hi", "author": "agent"})),
            Err(ContentError::NotTheUser)
        );
        assert_eq!(
            read(&json!({"content": "Hi", "attachments": [{}]})),
            Err(ContentError::Attachments)
        );
        for malformed in [
            json!("Hi"),
            json!({"type": "text"}),
            json!({"type": "data"}),
            json!({"type": "tool_request"}),
            json!({"content": 1}),
        ] {
            assert!(
                matches!(read(&malformed), Err(ContentError::Malformed(_))),
                "{malformed}"
            );
        }
    }
}
