use std::convert::Infallible;

use futures::TryStreamExt as _;
use tokio::sync::mpsc;

use super::*;

/// The events of a body that arrives in these pieces.
async fn read(pieces: Vec<Vec<u8>>) -> Vec<Sse> {
    let body = stream::iter(pieces).map(|piece| Ok::<_, Infallible>(Bytes::from(piece)));
    events(body, SILENCE_LIMIT).try_collect().await.unwrap()
}

async fn read_text(text: &str) -> Vec<Sse> {
    read(vec![text.into()]).await
}

fn data(data: &str) -> Sse {
    Sse::default().data(data)
}

#[tokio::test]
async fn events_do_not_depend_on_where_the_bytes_are_cut() {
    let text = "retry: 500\n\nid: 7-1\ndata: {\"a\":1}\n\n:ping\n\nid: 7-2\r\nevent: log_reset\r\ndata: ü\r\ndata:x\r\n\r\ndata: 語\n\n";
    let expected = vec![
        Sse::default().retry(500),
        data("{\"a\":1}").id("7-1"),
        data("ü\nx").id("7-2").event("log_reset"),
        data("語"),
    ];
    for size in 1..=text.len() {
        let pieces = text.as_bytes().chunks(size).map(<[u8]>::to_vec).collect();
        assert_eq!(read(pieces).await, expected, "pieces of {size} bytes");
    }
}

#[tokio::test]
async fn a_comment_is_not_an_event_and_does_not_end_one() {
    assert_eq!(
        read_text(":\n\n: ping\n\ndata: a\n: in between\ndata: b\n\n").await,
        [data("a\nb")]
    );
}

#[tokio::test]
async fn every_line_ending_is_read_alike() {
    for end in ["\n", "\r\n", "\r"] {
        let text = ["id: 1", "data: a", "", "data: b", "", ""].join(end);
        assert_eq!(read_text(&text).await, [data("a").id("1"), data("b")], "{end:?}");
    }
}

#[tokio::test]
async fn a_field_without_a_colon_is_empty_and_an_unknown_field_is_ignored() {
    assert_eq!(read_text("data\ndata\nvendor: x\n\n").await, [data("\n")]);
}

#[tokio::test]
async fn only_one_space_after_the_colon_is_removed() {
    assert_eq!(read_text("data:  a\n\n").await, [data(" a")]);
}

#[tokio::test]
async fn the_last_of_several_ids_counts_and_an_id_with_a_null_byte_does_not() {
    assert_eq!(
        read_text("id: 1\nid: 2\ndata: a\n\nid: x\0y\ndata: b\n\n").await,
        [data("a").id("2"), data("b")]
    );
}

#[tokio::test]
async fn a_retry_that_is_not_a_number_is_ignored() {
    assert_eq!(read_text("retry: soon\ndata: a\n\n").await, [data("a")]);
}

#[tokio::test]
async fn a_byte_order_mark_is_skipped_at_the_start_only() {
    assert_eq!(
        read_text("\u{feff}data: a\n\ndata: \u{feff}b\n\n").await,
        [data("a"), data("\u{feff}b")]
    );
}

#[tokio::test]
async fn an_event_without_its_blank_line_is_dropped() {
    assert_eq!(read_text("data: whole\n\nid: 1-1\ndata: half\n").await, [data("whole")]);
}

#[tokio::test]
async fn text_that_is_not_utf_8_ends_the_stream_with_an_error() {
    let body = stream::iter([Ok::<_, Infallible>(Bytes::from_static(
        b"data: a\n\ndata: \xff\n\ndata: b\n\n",
    ))]);
    let mut events = events(body, SILENCE_LIMIT);
    assert_eq!(events.next().await.unwrap().unwrap(), data("a"));
    assert!(matches!(
        events.next().await.unwrap(),
        Err(sse_stream::Error::Utf8Parse(_))
    ));
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn comments_keep_a_quiet_stream_open_and_silence_ends_it() {
    let limit = Duration::from_secs(1);
    let (sender, mut receiver) = mpsc::channel::<Bytes>(1);
    let body = stream::poll_fn(move |context| receiver.poll_recv(context)).map(Ok::<_, Infallible>);
    let mut events = events(body, limit);
    let gateway = tokio::spawn(async move {
        for _ in 0..15 {
            tokio::time::sleep(limit / 10).await;
            sender.send(Bytes::from_static(b":ping\n\n")).await.unwrap();
        }
        sender.send(Bytes::from_static(b"data: a\n\n")).await.unwrap();
        sender
    });
    assert_eq!(events.next().await.unwrap().unwrap(), data("a"));
    let _open_connection = gateway.await.unwrap();
    let error = events.next().await.unwrap().unwrap_err();
    assert_eq!(error.source().unwrap().to_string(), "the gateway sent nothing for 1 s");
}
