//! Reads the stream of a model call to its end.

use futures::StreamExt as _;
use steadfast_events::EventKind;

use super::{client::EventStream, interpreter::Interpreter};
use crate::failure::CallFailure;

/// Why the reading of a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    /// The response or the connection has ended; the interpreter knows whether the response is complete.
    Ended,
    /// `stop` completed first.
    Stopped,
}

/// Reads events until the response ends or `stop` completes, and publishes the events for viewers.
pub(crate) async fn read_stream(
    stream: &mut EventStream,
    interpreter: &mut Interpreter<'_>,
    stop: &mut (impl Future<Output = ()> + Unpin),
    mut publish: impl FnMut(EventKind),
) -> Result<StreamEnd, CallFailure> {
    while !interpreter.is_finished() {
        let event = tokio::select! {
            event = stream.next() => event,
            () = &mut *stop => return Ok(StreamEnd::Stopped),
        };
        match event {
            None => break,
            Some(Ok(event)) => interpreter.read(event, jiff::Timestamp::now()).for_each(&mut publish),
            // A connection that breaks after the end of the response changes nothing.
            Some(Err(_)) if interpreter.has_ended() => break,
            Some(Err(failure)) => return Err(failure),
        }
    }
    Ok(StreamEnd::Ended)
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use serde_json::{Value, json};
    use steadfast_crds::model::ModelApi;

    use super::*;
    use crate::model::test_support::CALL;

    async fn read(
        events: Vec<Result<Value, CallFailure>>,
        mut stop: impl Future<Output = ()> + Unpin,
    ) -> (Result<StreamEnd, CallFailure>, Interpreter<'static>, usize) {
        let mut interpreter = Interpreter::new(ModelApi::ChatCompletions, CALL);
        let mut published = 0;
        let mut stream: EventStream = Box::pin(futures::stream::iter(events));
        let end = read_stream(&mut stream, &mut interpreter, &mut stop, |_| published += 1).await;
        (end, interpreter, published)
    }

    fn text() -> Value {
        json!({"choices": [{"delta": {"content": "Hi"}}]})
    }

    fn finished() -> Value {
        json!({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    }

    fn broken() -> CallFailure {
        CallFailure::transient("model_connection", "reset")
    }

    #[tokio::test]
    async fn a_connection_that_breaks_after_the_response_is_no_failure() {
        let (end, interpreter, published) = read(vec![Ok(text()), Ok(finished()), Err(broken())], pending()).await;
        assert_eq!((end.unwrap(), published), (StreamEnd::Ended, 3));
        assert_eq!(interpreter.finish().unwrap().items.len(), 1);
    }

    #[tokio::test]
    async fn a_connection_that_breaks_within_the_response_is_a_failure() {
        let (end, ..) = read(vec![Ok(text()), Err(broken())], pending()).await;
        assert_eq!(end.unwrap_err().category, "model_connection");
    }

    #[tokio::test]
    async fn a_stop_ends_the_reading() {
        let mut interpreter = Interpreter::new(ModelApi::ChatCompletions, CALL);
        let mut stream: EventStream = Box::pin(futures::stream::pending());
        let end = read_stream(&mut stream, &mut interpreter, &mut ready(()), |_| {}).await;
        assert_eq!(end.unwrap(), StreamEnd::Stopped);
    }
}
