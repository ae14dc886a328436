//! The body of a model API's response, read as servers really write it: in any
//! content coding and charset, as any legal event stream, as one whole JSON answer,
//! as a line of JSON for each chunk, or as words that are no stream at all. Hands on
//! plain `data:` frames with one line of JSON each, and `"[DONE]"` at the end.

mod frames;
mod half_characters;
mod json_values;
mod text;

use std::{
    io,
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_stream::try_stream;
use bytes::Bytes;
use futures::{FutureExt as _, Stream, StreamExt as _, TryStreamExt as _, stream};
use reqwest::Response;
use sse_stream::SseByteStream;
use steadfast_crds::model::ModelApi;

use self::{
    frames::{DONE, ErrorFields, frames_of},
    half_characters::HalfCharacters,
    json_values::JsonValues,
    text::TextBody,
};
use super::failures::{client_fault, not_a_stream, stream_unreadable};
use crate::failure::CallFailure;

/// How much of a body that is no stream is quoted.
const EXCERPT_BYTES: usize = 500;

/// How the reading of a body ended; empty while it has not, and for ever where the library above stopped reading.
#[derive(Clone, Debug, Default)]
pub(super) struct Ending(Arc<OnceLock<Result<(), CallFailure>>>);

impl Ending {
    /// Why the stream of events has ended: none if the body has ended well.
    pub(super) fn failure(&self) -> Option<CallFailure> {
        match self.0.get() {
            Some(Ok(())) => None,
            Some(Err(failure)) => Some(failure.clone()),
            None => Some(client_fault("it stopped reading")),
        }
    }

    fn set(&self, ending: Result<(), CallFailure>) {
        // The first one counts.
        let _ = self.0.set(ending);
    }
}

/// The same response with a body of plain frames. Fails if no byte comes for `idle`; a comment is a sign of life.
pub(super) fn plain_frames(
    response: Response,
    api: ModelApi,
    idle: Duration,
    ending: Ending,
) -> Result<Response, CallFailure> {
    let opening = Opening {
        status: response.status(),
        content_type: text::header(&response, "content-type").to_owned(),
    };
    let body = TextBody::new(response, idle)?;
    let frames = guarded(frames(body, opening, api), ending);
    Ok(Response::from(http::Response::new(reqwest::Body::wrap_stream(frames))))
}

/// The text of the body of a failed request, up to a limit.
pub(super) async fn error_text(response: Response, limit_bytes: usize, idle: Duration) -> (String, bool) {
    let mut text = String::new();
    let Ok(mut body) = TextBody::new(response, idle) else {
        return (text, false);
    };
    // What came before a connection broke is better than nothing.
    while let Some(Ok(piece)) = body.next().await {
        text.push_str(&piece);
        if text.len() > limit_bytes {
            text.truncate(text.floor_char_boundary(limit_bytes));
            return (text, true);
        }
    }
    (text, false)
}

/// The head of a response.
struct Opening {
    status: reqwest::StatusCode,
    content_type: String,
}

/// The frames of a body, each one line of JSON.
fn frames(
    mut body: TextBody,
    opening: Opening,
    api: ModelApi,
) -> impl Stream<Item = Result<String, CallFailure>> + Send + 'static {
    try_stream! {
        let mut head = String::new();
        while head.trim_start().is_empty() {
            let Some(piece) = body.next().await else { break };
            head.push_str(&piece?);
        }
        let first = head.trim_start().chars().next();
        if matches!(first, Some('{' | '[')) {
            for await frame in frames_of_json(head, body) {
                yield frame?;
            }
            return;
        }
        if matches!(first, None | Some('<')) {
            let excerpt = excerpt(head, &mut body).await;
            Err(not_a_stream(opening.status, &opening.content_type, &excerpt))?;
            return;
        }
        let looks_like_events = looks_like_events(&head);
        let excerpt = head[..head.floor_char_boundary(EXCERPT_BYTES)].to_owned();
        let mut has_frames = false;
        for await frame in frames_of_events(head, body, api) {
            has_frames = true;
            yield frame?;
        }
        if !has_frames && !looks_like_events {
            Err(not_a_stream(opening.status, &opening.content_type, &excerpt))?;
        }
    }
}

async fn excerpt(mut head: String, body: &mut TextBody) -> String {
    while head.len() < EXCERPT_BYTES
        && let Some(Ok(piece)) = body.next().await
    {
        head.push_str(&piece);
    }
    head.truncate(head.floor_char_boundary(EXCERPT_BYTES));
    head
}

/// Whether a body begins with a comment or a field of an event stream.
fn looks_like_events(head: &str) -> bool {
    let head = head.trim_start();
    let fields = ["data", "event", "id", "retry", "error"];
    head.starts_with(':') || fields.iter().any(|field| head.starts_with(field))
}

/// A body of JSON: an answer that is whole is its own end.
fn frames_of_json(
    head: String,
    mut body: TextBody,
) -> impl Stream<Item = Result<String, CallFailure>> + Send + 'static {
    try_stream! {
        let mut values = JsonValues::default();
        let mut halves = HalfCharacters::default();
        let mut piece = head;
        loop {
            for value in values.push(&piece) {
                for frame in frames_of("", &halves.join(&value), ModelApi::ChatCompletions)? {
                    yield frame;
                }
            }
            piece = match body.next().await {
                Some(piece) => piece?,
                None => break,
            };
        }
        if !values.is_open() {
            yield DONE.to_owned();
        }
    }
}

/// A body of events. The last one counts even without the empty line after it.
fn frames_of_events(
    head: String,
    mut body: TextBody,
    api: ModelApi,
) -> impl Stream<Item = Result<String, CallFailure>> + Send + 'static {
    let text = try_stream! {
        let mut fields = ErrorFields::default();
        yield Bytes::from(fields.push(&head));
        while let Some(piece) = body.next().await {
            yield Bytes::from(fields.push(&piece?));
        }
        yield Bytes::from_static(b"\n\n");
    };
    let text: stream::BoxStream<'static, Result<Bytes, CallFailure>> = text.boxed();
    let events = SseByteStream::new(text).map_err(|error| match error {
        sse_stream::Error::Body(source) => match source.downcast::<CallFailure>() {
            Ok(failure) => *failure,
            Err(source) => stream_unreadable(&source),
        },
        error => stream_unreadable(&error),
    });
    try_stream! {
        let mut halves = HalfCharacters::default();
        for await event in events {
            let event = event?;
            let name = event.event.unwrap_or_default();
            for frame in frames_of(&name, &halves.join(&event.data.unwrap_or_default()), api)? {
                let is_end = frame == DONE;
                yield frame;
                if is_end {
                    return;
                }
            }
        }
    }
}

/// The frames as bytes of an event stream. A panic of a library that reads them is a failure of this attempt: in the
/// task of the library above it would only look like the end of the stream.
fn guarded(
    frames: impl Stream<Item = Result<String, CallFailure>> + Send + 'static,
    ending: Ending,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::unfold((Some(frames.boxed()), ending), |(frames, ending)| async move {
        let mut frames = frames?;
        let next = AssertUnwindSafe(frames.next()).catch_unwind().await;
        let failure = match next {
            Ok(Some(Ok(frame))) => {
                let frame = Bytes::from(format!("data: {frame}\n\n"));
                return Some((Ok(frame), (Some(frames), ending)));
            }
            Ok(None) => {
                ending.set(Ok(()));
                return None;
            }
            Ok(Some(Err(failure))) => failure,
            Err(_) => client_fault("a panic while the response was read"),
        };
        ending.set(Err(failure));
        Some((Err(io::Error::other("the body of the response ended")), (None, ending)))
    })
}

#[cfg(test)]
mod tests;
