//! Responses of server-sent events.

use std::{convert::Infallible, fmt::Display, io::Write as _, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, header},
    response::{
        IntoResponse as _, Response,
        sse::{Event, Sse},
    },
};
use futures::{Stream, StreamExt as _};
use serde::Serialize;

use super::keep_alive::{PING, kept_alive};

/// A comment (HTML Standard, section 9.2.6). It ends with one newline: after an event with an id,
/// agentex-client 0.28 takes every empty line for an event, and fails on one without data
/// (`findings/agentex-client-comment-events.sh`).
const COMMENT: Bytes = Bytes::from_static(b": ping\n");

/// A response that is open for as long as there are events.
pub(super) fn response(events: impl Stream<Item = Event> + Send + 'static) -> Response {
    response_with_ping(events, PING)
}

/// The same for clients that give up sooner.
pub(super) fn response_with_ping(events: impl Stream<Item = Event> + Send + 'static, ping: Duration) -> Response {
    let response = Sse::new(events.map(Ok::<_, Infallible>)).into_response();
    kept_open(response, ping)
}

/// The same of events that are written already: each piece is whole events.
pub(super) fn response_of(events: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let response = Body::from_stream(events.map(Ok::<_, Infallible>)).into_response();
    kept_open(response, PING)
}

fn kept_open(response: Response, ping: Duration) -> Response {
    let mut response = kept_alive(response, ping, COMMENT);
    let kind = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Writes events as they go over the wire (HTML Standard, section 9.2.6).
#[derive(Debug, Default)]
pub(super) struct EventWriter(Vec<u8>);

impl EventWriter {
    /// The field `id`, if there is one.
    pub(super) fn id(mut self, id: Option<impl Display>) -> Self {
        if let Some(id) = id {
            let _ = writeln!(self.0, "id: {id}");
        }
        self
    }

    /// The field `event`. A name contains no end of a line.
    pub(super) fn name(mut self, name: &str) -> Self {
        let _ = writeln!(self.0, "event: {name}");
        self
    }

    /// The data as JSON, which has no end of a line.
    pub(super) fn json<T: Serialize>(mut self, data: &T) -> Self {
        let begin = self.0.len();
        self.0.extend_from_slice(b"data: ");
        if serde_json::to_writer(&mut self.0, data).is_err() {
            self.0.truncate(begin);
            return self;
        }
        self.0.push(b'\n');
        self
    }

    /// The data as text of any number of lines.
    pub(super) fn text(mut self, data: &str) -> Self {
        for line in data.split(['\r', '\n']) {
            let _ = writeln!(self.0, "data: {line}");
        }
        self
    }

    /// Ends this event, and begins another.
    pub(super) fn next(mut self) -> Self {
        self.0.push(b'\n');
        self
    }

    /// All events.
    pub(super) fn end(self) -> Bytes {
        let mut written = self.next().0;
        written.shrink_to_fit();
        written.into()
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    #[tokio::test]
    async fn a_silent_stream_sends_comments_that_end_with_one_newline() {
        let response = response_with_ping(stream::pending(), Duration::from_millis(1));
        let mut chunks = response.into_body().into_data_stream();
        for _ in 0..2 {
            assert_eq!(chunks.next().await.unwrap().unwrap(), ": ping\n");
        }
    }

    #[test]
    fn events_are_written_field_by_field_and_no_line_of_the_data_is_lost() {
        let event = EventWriter::default().id(Some("1-2")).name("delta").text("{\n}");
        let events = event.next().id(None::<u8>).json(&["a\nb"]).end();
        let expected = "id: 1-2\nevent: delta\ndata: {\ndata: }\n\ndata: [\"a\\nb\"]\n\n";
        assert_eq!(events, expected);
    }

    #[tokio::test]
    async fn events_pass_unchanged_and_the_stream_ends_with_them() {
        let events = stream::iter([Bytes::from_static(b"data: 1\n\n")]);
        let chunks = response_of(events).into_body().into_data_stream();
        let chunks: Vec<Bytes> = chunks.map(Result::unwrap).collect().await;
        assert_eq!(chunks, ["data: 1\n\n"]);
    }
}
