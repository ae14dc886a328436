//! A gateway for tests: a listener whose connections the test answers by hand.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::GatewayClient;

/// A client and the listener that it connects to.
pub(super) async fn client() -> (GatewayClient, TcpListener) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    (GatewayClient::new(server, Some("t0ken".to_owned())).unwrap(), listener)
}

/// The head of the next request, in lower case, and its connection.
pub(super) async fn next_request(listener: &TcpListener) -> (String, TcpStream) {
    let (mut connection, _) = listener.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    // A connection that is closed with an unread body is reset.
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    connection.read_exact(&mut vec![0; length]).await.unwrap();
    (head, connection)
}

pub(super) async fn respond(connection: &mut TcpStream, status: &str, body: &str) {
    let response = format!("HTTP/1.1 {status}\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{body}");
    connection.write_all(response.as_bytes()).await.unwrap();
}
