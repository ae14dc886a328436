//! Reads requests: bodies within a limit, queries and the content of a message.

use std::convert::Infallible;

use axum::{
    body::{Body, BodyDataStream, HttpBody as _},
    extract::{FromRequest, FromRequestParts, Query, Request},
    http::{StatusCode, request::Parts},
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Map, Value};
use steadfast_attachment_store::SETTING;
use steadfast_attachments::{Given, Refusal};
use steadfast_bounds::json;
use steadfast_events::{Content, TextFormat};
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::{
    access::Caller, agentex::attachments, app::Gateway, error::ApiError, load::Permit, send::MAX_MESSAGE_BYTES,
};

/// The longest message with room for what surrounds it, and for characters that are escaped.
pub(super) const MAX_BODY_BYTES: u32 = 2 * 1024 * 1024;
/// The same where attachments are stored: they come in base64 within the JSON of a message.
const MAX_BODY_BYTES_WITH_ATTACHMENTS: u32 = MAX_BODY_BYTES + 14 * 1024 * 1024;
/// Bodies up to this length are read at once; longer ones wait for their share of the memory.
const SHORT_BODY_BYTES: usize = 64 * 1024;
/// A body whose length nobody announced is counted in steps of this size, however small its pieces are.
const COUNTED_BYTES: u64 = 16 * 1024;
/// A value uses some 100 bytes when it is parsed, however short its text is.
const MAX_VALUES: usize = 100_000;
const MAX_REASON_CHARS: usize = 1000;
/// Members of a body that are looked at for the one that is wrong.
const MAX_NAMED_MEMBERS: usize = 32;

/// The body of a request as it arrives. It is read after the caller's permission has been checked.
pub(super) struct UnreadBody(Body);

impl<S: Sync> FromRequest<S> for UnreadBody {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        Ok(Self(request.into_body()))
    }
}

impl UnreadBody {
    /// The whole body, if it arrives in time and is not too long.
    pub(super) async fn read(self, gateway: &Gateway, caller: &Caller) -> Result<JsonBody, ApiError> {
        let limit = if gateway.attachments.is_some() {
            MAX_BODY_BYTES_WITH_ATTACHMENTS
        } else {
            MAX_BODY_BYTES
        };
        self.read_within(limit, gateway, caller).await
    }

    /// The same with a limit of its own.
    pub(super) async fn read_within(
        self,
        limit: u32,
        gateway: &Gateway,
        caller: &Caller,
    ) -> Result<JsonBody, ApiError> {
        let declared = self.0.size_hint().exact();
        let mut pieces = self.0.into_data_stream();
        let time_limit = gateway.load.times.body;
        let collected = timeout(time_limit, collect(&mut pieces, declared, limit, gateway, caller)).await;
        collected.unwrap_or_else(|_| {
            Err(ApiError::new(
                StatusCode::REQUEST_TIMEOUT,
                format!("the request body did not arrive within {} s", time_limit.as_secs_f32()),
            ))
        })
    }
}

async fn collect(
    pieces: &mut BodyDataStream,
    declared: Option<u64>,
    limit: u32,
    gateway: &Gateway,
    caller: &Caller,
) -> Result<JsonBody, ApiError> {
    let too_large = || {
        let hint = if gateway.attachments.is_none() {
            format!("; with attachments it may be longer, if {SETTING} is set")
        } else {
            String::new()
        };
        ApiError::too_large(format!(
            "a request body is at most {limit} bytes long; an escaped character counts as several{hint}"
        ))
    };
    if declared.is_some_and(|declared| declared > u64::from(limit)) {
        return Err(too_large());
    }
    // What the sender announces is counted before any of it is read, the rest as it arrives.
    let mut counted = declared.unwrap_or_default();
    gateway.load.rates.body(caller, counted).await?;
    // What is parsed uses a multiple of the bytes, so a body counts for more than it is, and for the most where it does
    // not say how long it is.
    let declared = declared.and_then(|declared| u32::try_from(declared).ok());
    let share = declared.map_or(limit, |declared| declared.max(MAX_BODY_BYTES.min(limit)));
    let mut bytes = BytesMut::new();
    let mut memory = None;
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|_| ApiError::bad_request("the request body ended early"))?;
        let length = bytes.len() + piece.len();
        if length > limit as usize {
            return Err(too_large());
        }
        while length as u64 > counted {
            gateway.load.rates.body(caller, COUNTED_BYTES).await?;
            counted += COUNTED_BYTES;
        }
        if length > SHORT_BODY_BYTES && memory.is_none() {
            memory = Some(gateway.load.body(caller, share).await?);
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(JsonBody {
        bytes: bytes.freeze(),
        _memory: memory,
    })
}

/// A whole request body.
pub(super) struct JsonBody {
    bytes: Bytes,
    /// Held while the request is handled: what is parsed uses a multiple of the bytes.
    _memory: Option<Permit>,
}

impl JsonBody {
    /// The bytes as they came.
    pub(super) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The body as any JSON value.
    pub(super) fn value(&self) -> Result<Value, String> {
        refuse_many_values(&self.bytes)?;
        json::read(&self.bytes).map_err(|error| format!("the body is not JSON that can be read: {error}"))
    }

    /// The body as JSON of a type. An empty body is the default value.
    pub(super) fn read<T: DeserializeOwned + Default>(&self) -> Result<T, ApiError> {
        if self.bytes.is_empty() {
            return Ok(T::default());
        }
        refuse_many_values(&self.bytes).map_err(ApiError::bad_request)?;
        // By way of a map: a struct could be read from an array too.
        let body: Map<String, Value> = json::read(&self.bytes)
            .map_err(|error| ApiError::bad_request(format!("the body must be a JSON object: {error}")))?;
        let wrong = |error| match wrong_member::<T>(&self.bytes) {
            Some(name) => format!("{name} is not what it should be: {error}"),
            None => format!("the body is not what it should be: {error}"),
        };
        serde_json::from_value(Value::Object(body)).map_err(|error| ApiError::bad_request(wrong(error)))
    }
}

/// The member without which a body could be read; `None` if there is more than one, or if it takes long to find.
fn wrong_member<T: DeserializeOwned>(bytes: &[u8]) -> Option<String> {
    if bytes.len() > SHORT_BODY_BYTES {
        return None;
    }
    let body: Map<String, Value> = json::read(bytes).ok()?;
    let is_wrong = |name: &&String| {
        let mut others = body.clone();
        others.remove(*name);
        serde_json::from_value::<T>(Value::Object(others)).is_ok()
    };
    body.keys().take(MAX_NAMED_MEMBERS).find(is_wrong).cloned()
}

/// Counts what begins or separates values, before anything is parsed.
fn refuse_many_values(json: &[u8]) -> Result<(), String> {
    let (mut values, mut in_text, mut is_escaped) = (0, false, false);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = in_text,
            b'"' => in_text = !in_text,
            b',' | b'[' | b'{' if !in_text => values += 1,
            _ => {}
        }
    }
    if values > MAX_VALUES {
        Err(format!("the body has more than {MAX_VALUES} JSON values"))
    } else {
        Ok(())
    }
}

/// The query of a request. A malformed query is an error like any other.
pub(super) struct Params<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Query(params) =
            Query::try_from_uri(&parts.uri).map_err(|error| ApiError::bad_request(of_query(&error.body_text())))?;
        Ok(Self(params))
    }
}

/// What is wrong with a query, without the words of the library before it.
fn of_query(text: &str) -> String {
    let reason = text.split_once(": ").map_or(text, |(_, reason)| reason);
    format!("the query cannot be read: {reason}")
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
    #[error(transparent)]
    Attachment(#[from] Refusal),
    #[error("attachments go with a text, which may be empty")]
    AttachmentsOfData,
    #[error("only the author \"user\" may send messages")]
    NotTheUser,
}

/// Reads the content of a message that a client sends, and what it brings along.
pub(super) fn read_message(content: Option<&Value>) -> Result<(Content, Vec<Given>), ContentError> {
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
        // A struct could be read from an array too.
        Some(content) if !content.is_object() => {
            return Err(ContentError::Malformed("it must be an object".to_owned()));
        }
        Some(content) => content,
    };
    let inbound = SentContent::deserialize(content).map_err(|error| ContentError::Malformed(error.to_string()))?;
    if inbound.author.is_some_and(|author| author != "user") {
        return Err(ContentError::NotTheUser);
    }
    let given = attachments::read(&inbound.attachments.unwrap_or_default())?;
    let kind = inbound
        .r#type
        .as_deref()
        .unwrap_or(if inbound.data.is_some() { "data" } else { "text" });
    let content = match (kind, inbound.content, inbound.data) {
        ("text", None, _) if !given.is_empty() => Ok(Content::text("", TextFormat::Plain)),
        ("text", Some(text), _) if text.trim().is_empty() && given.is_empty() => Err(ContentError::Empty),
        ("text", Some(text), _) if text.len() > MAX_MESSAGE_BYTES => Err(ContentError::TooLarge),
        ("text", Some(text), _) => Ok(Content::text(text, inbound.format.unwrap_or_default())),
        ("data", ..) if !given.is_empty() => Err(ContentError::AttachmentsOfData),
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
    };
    Ok((content?, given))
}

#[cfg(test)]
impl JsonBody {
    pub(super) fn of(body: &'static str) -> Self {
        Self {
            bytes: Bytes::from_static(body.as_bytes()),
            _memory: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::stream;
    use serde_json::json;

    use super::*;
    use crate::load::{Load, Times};

    #[tokio::test]
    async fn a_body_that_does_not_arrive_is_not_awaited_for_ever() {
        let gateway = Gateway {
            load: Load::with_times(Times {
                body: Duration::from_millis(20),
                ..Times::default()
            }),
            ..Gateway::without_services()
        };
        let begins = stream::iter([Ok::<_, std::io::Error>("{")]).chain(stream::pending());
        let body = UnreadBody(Body::from_stream(begins));
        let error = body.read(&gateway, &Caller::Anonymous).await.err().unwrap();
        assert_eq!(
            (error.status, error.message.as_str()),
            (
                StatusCode::REQUEST_TIMEOUT,
                "the request body did not arrive within 0.02 s"
            )
        );
    }

    fn read(content: &Value) -> Result<Content, ContentError> {
        read_message(Some(content)).map(|(content, _)| content)
    }

    #[test]
    fn values_are_counted_and_the_commas_of_a_text_are_not() {
        let list = |values: usize| format!("[{}0]", "0,".repeat(values - 1));
        assert_eq!(refuse_many_values(list(MAX_VALUES).as_bytes()), Ok(()));
        assert!(refuse_many_values(list(MAX_VALUES + 1).as_bytes()).is_err());
        let text = format!(r#"{{"text":"a \"quoted\" list: {}"}}"#, "0,[{".repeat(MAX_VALUES));
        assert_eq!(refuse_many_values(text.as_bytes()), Ok(()));
    }

    #[test]
    fn a_text_and_data_can_be_sent() {
        let text = |text: &str, format| Ok(Content::text(text, format));
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
        let attachments = json!([{"url": "https://example.com/a.png"}]);
        for content in [
            json!({ "content": "", "attachments": attachments }),
            json!({ "attachments": attachments }),
        ] {
            let (text, given) = read_message(Some(&content)).unwrap();
            assert_eq!((text, given.len()), (Content::text("", TextFormat::Plain), 1));
        }
    }

    #[test]
    fn content_that_is_no_message_is_refused() {
        assert_eq!(read_message(None), Err(ContentError::Missing));
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
            read(&json!({"data": {}, "attachments": [{"url": "https://example.com/a.png"}]})),
            Err(ContentError::AttachmentsOfData)
        );
        let nothing = read(&json!({"content": "Hi", "attachments": [{}]}));
        assert!(matches!(nothing, Err(ContentError::Attachment(_))), "{nothing:?}");
        for malformed in [
            json!("Hi"),
            json!(["text", "user", "Hi", null, null, null]),
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
