use super::*;
use crate::api::test_server::{client, next_request, respond};

fn parse(data: &str) -> anyhow::Result<Option<StreamItem>> {
    parse_event(&Sse::default().data(data))
}

#[test]
fn events_resets_and_events_of_the_connection_are_distinguished() {
    let event = r#"{"type":"turn_started","turn":1,"agent":"a","time":"2026-11-23T00:00:00Z"}"#;
    assert!(matches!(parse(event).unwrap(), Some(StreamItem::Event(_))));
    let reset = r#"{"type":"log_reset","messages":[]}"#;
    assert!(matches!(parse(reset).unwrap(), Some(StreamItem::Reset(messages)) if messages.is_empty()));
    assert!(parse(r#"{"type":"connected","taskId":"t"}"#).unwrap().is_none());
    assert!(parse_event(&Sse::default().retry(500)).unwrap().is_none());
    assert!(parse("<html>").is_err());
}

fn turn_started(number: u32) -> String {
    format!(
        "id: 7-{number}\ndata: {{\"type\":\"turn_started\",\"turn\":{number},\"agent\":\"a\",\"time\":\"2026-11-23T00:00:00Z\"}}\n\n"
    )
}

/// The next items, in short: turn numbers and states of the connection.
async fn received(items: &mut mpsc::Receiver<StreamItem>, count: usize) -> Vec<String> {
    let mut received = Vec::new();
    while received.len() < count {
        received.push(match items.recv().await.unwrap() {
            StreamItem::Event(event) => event.turn.to_string(),
            StreamItem::Reset(_) => "reset".to_owned(),
            StreamItem::Disconnected(_) => "disconnected".to_owned(),
            StreamItem::Reconnected => "reconnected".to_owned(),
            StreamItem::Failed(error) => format!("{error:#}").lines().next().unwrap().to_owned(),
        });
    }
    received
}

#[tokio::test]
async fn a_broken_stream_resumes_after_the_last_complete_event() {
    let (client, listener) = client().await;
    let mut items = follow_task(client, "task-1");

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
    respond(&mut connection, "200 OK", &cut).await;
    drop(connection);

    // An unavailable gateway is not reported a second time.
    let (_, mut connection) = next_request(&listener).await;
    respond(&mut connection, "503 Service Unavailable", "{}").await;
    drop(connection);

    let (head, mut connection) = next_request(&listener).await;
    assert!(head.contains("last-event-id: 7-2\r\n"), "{head}");
    respond(&mut connection, "200 OK", &turn_started(3)).await;

    assert_eq!(
        received(&mut items, 5).await,
        ["1", "2", "disconnected", "reconnected", "3"]
    );
}

#[tokio::test]
async fn a_refused_stream_ends_with_an_error() {
    let (client, listener) = client().await;
    let server = client.server.clone();
    let mut items = follow_task(client, "task-1");
    let (_, mut connection) = next_request(&listener).await;
    respond(
        &mut connection,
        "404 Not Found",
        r#"{"message":"no such task","code":404,"data":null}"#,
    )
    .await;
    drop(connection);
    let expected = format!("the gateway at {server} answered 404 Not Found: no such task");
    assert_eq!(received(&mut items, 1).await, [expected]);
    assert!(items.recv().await.is_none());
}

#[tokio::test]
async fn the_stream_of_a_task_that_has_ended_is_not_asked_for_again() {
    let (client, listener) = client().await;
    let mut items = follow_task(client, "task-1");
    let (_, mut connection) = next_request(&listener).await;
    respond(&mut connection, "200 OK", &turn_started(1)).await;
    drop(connection);
    let (head, mut connection) = next_request(&listener).await;
    assert!(head.contains("last-event-id: 7-1\r\n"), "{head}");
    respond(&mut connection, "204 No Content", "").await;
    drop(connection);
    assert_eq!(received(&mut items, 2).await, ["1", "disconnected"]);
    assert!(items.recv().await.is_none());
}
