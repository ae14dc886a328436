#![allow(clippy::unwrap_used, reason = "tests")]

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

fn frame(data: &str) -> Frame {
    Frame {
        id: None,
        name: None,
        data: data.to_owned(),
    }
}

#[test]
fn events_resets_and_other_frames_are_told_apart() {
    let event = r#"{"type":"turn_started","turn":1,"agent":"a","time":"2026-11-23T00:00:00Z"}"#;
    assert!(matches!(parse_frame(&frame(event)).unwrap(), Some(Item::Event(_))));
    let reset = r#"{"type":"log_reset","messages":[]}"#;
    assert!(matches!(parse_frame(&frame(reset)).unwrap(), Some(Item::Reset(messages)) if messages.is_empty()));
    assert!(
        parse_frame(&frame(r#"{"type":"connected","taskId":"t"}"#))
            .unwrap()
            .is_none()
    );
    assert!(parse_frame(&frame("<html>")).is_err());
}

/// The next request's head, in lower case, and the connection to answer on.
async fn next_request(listener: &TcpListener) -> (String, TcpStream) {
    let (mut connection, _) = listener.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await.unwrap());
    }
    (String::from_utf8(head).unwrap().to_lowercase(), connection)
}

async fn answer(connection: &mut TcpStream, status: &str, body: &str) {
    let response = format!("HTTP/1.1 {status}\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{body}");
    connection.write_all(response.as_bytes()).await.unwrap();
}

fn turn_started(number: u32) -> String {
    format!(
        "id: 7-{number}\ndata: {{\"type\":\"turn_started\",\"turn\":{number},\"agent\":\"a\",\"time\":\"2026-11-23T00:00:00Z\"}}\n\n"
    )
}

/// What a follower saw, in short: turn numbers, and the states of the connection.
async fn seen(items: &mut mpsc::Receiver<Item>, count: usize) -> Vec<String> {
    let mut seen = Vec::new();
    while seen.len() < count {
        seen.push(match items.recv().await.unwrap() {
            Item::Event(event) => event.turn.to_string(),
            Item::Reset(_) => "reset".to_owned(),
            Item::Interrupted(_) => "interrupted".to_owned(),
            Item::Resumed => "resumed".to_owned(),
            Item::Failed(error) => format!("{error:#}").lines().next().unwrap().to_owned(),
        });
    }
    seen
}

async fn gateway() -> (Gateway, TcpListener) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    (Gateway::new(server, Some("t0ken".to_owned())).unwrap(), listener)
}

#[tokio::test]
async fn a_broken_stream_goes_on_after_the_last_whole_event() {
    let (gateway, listener) = gateway().await;
    let mut items = stream_task(gateway, "task-1");

    let (head, mut connection) = next_request(&listener).await;
    assert!(
        head.starts_with("get /tasks/task-1/stream?format=events http/1.1"),
        "{head}"
    );
    assert!(
        head.contains("last-event-id: 0\r\n") && head.contains("authorization: bearer t0ken\r\n"),
        "{head}"
    );
    let cut = format!("{}{}{}", turn_started(1), turn_started(2), &turn_started(3)[..20]);
    answer(&mut connection, "200 OK", &cut).await;
    drop(connection);

    // Away for a moment: no word of it to the viewer beyond the first.
    let (_, mut connection) = next_request(&listener).await;
    answer(&mut connection, "503 Service Unavailable", "{}").await;
    drop(connection);

    let (head, mut connection) = next_request(&listener).await;
    assert!(head.contains("last-event-id: 7-2\r\n"), "{head}");
    answer(&mut connection, "200 OK", &turn_started(3)).await;

    assert_eq!(seen(&mut items, 5).await, ["1", "2", "interrupted", "resumed", "3"]);
}

#[tokio::test]
async fn a_refusal_ends_the_following() {
    let (gateway, listener) = gateway().await;
    let server = gateway.server.clone();
    let mut items = stream_task(gateway, "task-1");
    let (_, mut connection) = next_request(&listener).await;
    answer(
        &mut connection,
        "404 Not Found",
        r#"{"message":"no such task","code":404,"data":null}"#,
    )
    .await;
    drop(connection);
    let expected = format!("the gateway at {server} answered 404 Not Found: no such task");
    assert_eq!(seen(&mut items, 1).await, [expected]);
    assert!(items.recv().await.is_none());
}
