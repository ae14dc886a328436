//! Reads the stream of a model call to its end.

use std::time::Duration;

use futures::StreamExt as _;
use steadfast_events::EventKind;
use tokio::time::Instant;

use super::{client::EventStream, failures::with_words, interpreter::Interpreter, progress::Progress};
use crate::failure::CallFailure;

/// How long a stream may be silent after the end of the response. The usage comes in this time, or never.
const SILENCE_AFTER_END: Duration = Duration::from_secs(1);
/// The same while the response holds nothing that is an answer.
const SILENCE_WITHOUT_ANSWER: Duration = Duration::from_secs(10);

/// Why the reading of a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    /// The response or the connection has ended; the interpreter knows whether the response is complete.
    Ended,
    /// `stop` completed first.
    Stopped,
}

/// Reads events until the response ends or `stop` completes, and publishes the events for viewers. A connection that
/// stays open after the response, or breaks, changes nothing.
pub(crate) async fn read_stream(
    stream: &mut EventStream,
    interpreter: &mut Interpreter<'_>,
    stop: &mut (impl Future<Output = ()> + Unpin),
    mut publish: impl FnMut(EventKind),
) -> Result<StreamEnd, CallFailure> {
    // From the last event that said something.
    let mut silent_since = Instant::now();
    loop {
        let silence = match interpreter.progress() {
            Progress::Over => break,
            Progress::Running => None,
            Progress::Finished => Some(SILENCE_AFTER_END),
            Progress::FinishedWithoutAnswer => Some(SILENCE_WITHOUT_ANSWER),
        };
        let silence = async {
            match silence {
                Some(silence) => tokio::time::sleep_until(silent_since + silence).await,
                None => std::future::pending().await,
            }
        };
        let event = tokio::select! {
            biased;
            () = &mut *stop => return Ok(StreamEnd::Stopped),
            event = stream.next() => event,
            () = silence => break,
        };
        match event {
            None => break,
            Some(Ok(event)) => {
                let before = interpreter.progress();
                let mut says_something = false;
                for event in interpreter.read(event, jiff::Timestamp::now()) {
                    says_something = true;
                    publish(event);
                }
                if says_something || before != interpreter.progress() {
                    silent_since = Instant::now();
                }
            }
            Some(Err(_)) if interpreter.progress() != Progress::Running => break,
            Some(Err(failure)) => return Err(with_words(failure, interpreter.words())),
        }
    }
    interpreter.close(jiff::Timestamp::now()).for_each(publish);
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
        assert_eq!(end.unwrap_err(), broken());
        // mistral.rs: an error in words, and then nothing.
        let (end, ..) = read(vec![Ok(json!("n must be greater than 0")), Err(broken())], pending()).await;
        assert_eq!(end.unwrap_err().message, "reset; it said: n must be greater than 0");
    }

    #[tokio::test]
    async fn a_connection_that_stays_open_after_the_response_is_not_waited_for() {
        let usage = json!({"choices": [], "usage": {"prompt_tokens": 5}});
        let ping = || json!({"type": "ping"});
        for (after, tokens) in [(vec![], 0), (vec![ping(), usage], 5), (vec![ping(); 1_000], 0)] {
            let mut interpreter = Interpreter::new(ModelApi::ChatCompletions, CALL);
            let after = futures::stream::iter(after).then(async |event| {
                tokio::time::sleep(Duration::from_millis(100)).await;
                Ok(event)
            });
            let said = futures::stream::iter([Ok(text()), Ok(finished())]);
            let mut stream: EventStream = Box::pin(said.chain(after).chain(futures::stream::pending()));
            let started = Instant::now();
            let end = read_stream(&mut stream, &mut interpreter, &mut pending(), |_| {}).await;
            assert_eq!(end.unwrap(), StreamEnd::Ended);
            assert!(started.elapsed() < SILENCE_AFTER_END * 5, "{:?}", started.elapsed());
            assert_eq!(interpreter.finish().unwrap().usage.input_tokens, tokens);
        }
    }

    #[tokio::test]
    async fn an_answer_that_goes_on_after_an_early_finish_reason_is_read_to_its_end() {
        fn early() -> Value {
            json!({"choices": [{"delta": {"content": "Hi"}, "finish_reason": "stop"}]})
        }
        let words = futures::stream::iter(0..4).then(async |_| {
            tokio::time::sleep(SILENCE_AFTER_END * 2 / 5).await;
            Ok(early())
        });
        let mut interpreter = Interpreter::new(ModelApi::ChatCompletions, CALL);
        let mut stream: EventStream = Box::pin(words.chain(futures::stream::pending()));
        read_stream(&mut stream, &mut interpreter, &mut pending(), |_| {})
            .await
            .unwrap();
        let items = interpreter.finish().unwrap().items;
        assert_eq!(items[0]["content"][0]["text"], "Hi".repeat(4));
    }

    #[tokio::test]
    async fn a_stop_ends_the_reading() {
        let mut interpreter = Interpreter::new(ModelApi::ChatCompletions, CALL);
        let mut stream: EventStream = Box::pin(futures::stream::pending());
        let end = read_stream(&mut stream, &mut interpreter, &mut ready(()), |_| {}).await;
        assert_eq!(end.unwrap(), StreamEnd::Stopped);
    }
}
