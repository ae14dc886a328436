use std::{future::pending, panic::panic_any};

use super::*;

/// The frames of a body that comes in these chunks.
async fn read(chunks: Vec<&[u8]>, idle: Duration) -> (Vec<String>, Option<CallFailure>) {
    let chunks: Vec<io::Result<Bytes>> = chunks
        .into_iter()
        .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
        .collect();
    read_stream(stream::iter(chunks).boxed(), idle).await
}

async fn read_stream(
    chunks: stream::BoxStream<'static, io::Result<Bytes>>,
    idle: Duration,
) -> (Vec<String>, Option<CallFailure>) {
    let response = Response::from(http::Response::new(reqwest::Body::wrap_stream(chunks)));
    let ending = Ending::default();
    let response = plain_frames(response, ModelApi::ChatCompletions, idle, ending.clone()).unwrap();
    let mut bytes = response.bytes_stream();
    let mut text = String::new();
    while let Some(Ok(chunk)) = bytes.next().await {
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    let frames = text.split_terminator("\n\n");
    let frames = frames.map(|frame| frame.strip_prefix("data: ").unwrap().to_owned());
    (frames.collect(), ending.failure())
}

const IDLE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn every_legal_form_of_an_event_stream_is_read_wherever_it_is_cut() {
    let expected = vec![
        r#"{"a": "né 雪"}"#.to_owned(),
        r#"{"b": 2}"#.to_owned(),
        DONE.to_owned(),
    ];
    let stream = "data: {\"a\": \"né 雪\"}\n\n: a comment\n:\nid\nretry: 5\nunknown: field\ndata:{\"b\":\ndata: 2}\n\nevent: x\n\ndata\n\ndata: [DONE]";
    for line_end in ["\n", "\r", "\r\n"] {
        for mark in ["", "\u{feff}"] {
            let body = format!("{mark}{}", stream.replace('\n', line_end));
            for at in 0..=body.len() {
                let (one, other) = body.as_bytes().split_at(at);
                let (frames, failure) = read(vec![one, other], IDLE).await;
                assert_eq!((&frames, failure), (&expected, None), "{line_end:?} {at}");
            }
        }
    }
}

#[tokio::test]
async fn the_halves_of_a_character_are_one_character() {
    let body = "data: {\"a\": \"Hi \\ud83d\"}\n\ndata: {\"a\": \"\\ude00\"}\n\ndata: {\"a\": \"!\", \"p\": NaN}\n\ndata: [DONE]\n\n";
    let (frames, failure) = read(vec![body.as_bytes()], IDLE).await;
    let texts = frames[..3].iter().map(|frame| {
        let value: serde_json::Value = serde_json::from_str(frame).unwrap();
        value["a"].as_str().unwrap().to_owned()
    });
    assert_eq!((texts.collect::<String>().as_str(), failure), ("Hi 😀!", None));
}

#[tokio::test]
async fn what_follows_the_end_is_not_read() {
    let body = stream::iter([Ok(Bytes::from_static(b"data: [DONE]\n\n"))]).chain(stream::pending());
    assert_eq!(read_stream(body.boxed(), IDLE).await, (vec![DONE.to_owned()], None));
}

#[tokio::test]
async fn json_is_read_whole_in_lines_and_in_an_array() {
    for (body, frames) in [
        ("{\n \"a\": [1]\n}", vec![r#"{  "a": [1] }"#, DONE]),
        ("{\"a\": 1}\n{\"b\": 2}\n", vec![r#"{"a": 1}"#, r#"{"b": 2}"#, DONE]),
        ("[{\"a\": 1},\n{\"b\": 2}]", vec![r#"{"a": 1}"#, r#"{"b": 2}"#, DONE]),
        // The connection broke: this is no end.
        ("{\"a\": 1}\n{\"b\": ", vec![r#"{"a": 1}"#]),
    ] {
        let (read, failure) = read(vec![body.as_bytes()], IDLE).await;
        assert_eq!(
            (read, failure),
            (frames.into_iter().map(str::to_owned).collect(), None),
            "{body}"
        );
    }
}

#[tokio::test]
async fn an_error_of_an_older_server_is_an_error() {
    let body = "error: {\"code\":400,\"message\":\"too long\"}\n\ndata: [DONE]\n\n";
    let (frames, _) = read(vec![body.as_bytes()], IDLE).await;
    assert_eq!(frames, [r#"{"error":{"code":400,"message":"too long"}}"#, DONE]);
}

#[tokio::test]
async fn a_comment_is_a_sign_of_life_and_silence_is_a_failure() {
    let idle = Duration::from_secs(2);
    let comments = stream::iter(0..4).then(move |_| async move {
        tokio::time::sleep(idle * 2 / 5).await;
        Ok(Bytes::from_static(b": ping\n\n"))
    });
    let text = stream::iter([Ok(Bytes::from_static(b"data: 1\n\n"))]);
    let (frames, failure) = read_stream(comments.chain(text).chain(stream::pending()).boxed(), idle).await;
    assert_eq!(frames, ["1"]);
    assert_eq!(failure.unwrap().category, "model_idle");
}

#[tokio::test]
async fn a_connection_that_breaks_is_a_failure_of_the_connection() {
    let body = stream::iter([Ok(Bytes::from_static(b"data: 1\n\n")), Err(io::Error::other("reset"))]);
    let (frames, failure) = read_stream(body.boxed(), IDLE).await;
    assert_eq!(frames, ["1"]);
    assert_eq!(failure.unwrap().category, "model_connection");
}

#[tokio::test]
async fn a_panic_of_a_library_is_a_failure_of_this_attempt() {
    let ending = Ending::default();
    let frames = stream::iter([0, 1]).map(|number| match number {
        0 => Ok("1".to_owned()),
        _ => panic_any("a fault of a library"),
    });
    let read: Vec<io::Result<Bytes>> = guarded(frames, ending.clone()).collect().await;
    assert_eq!((read.len(), read[1].is_err()), (2, true));
    let failure = ending.failure().unwrap();
    assert_eq!(failure.category, "model_client_fault");
    assert_eq!(failure.retry, crate::failure::RetryClass::Transient { delay: None });
}

#[tokio::test]
async fn the_ending_is_unknown_while_the_body_is_read() {
    let ending = Ending::default();
    let mut frames = Box::pin(guarded(stream::once(pending()), ending.clone()));
    assert!(frames.next().now_or_never().is_none());
    assert_eq!(ending.failure().unwrap().category, "model_client_fault");
}
