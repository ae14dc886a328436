//! The server over loopback: clients that are slow, idle, or too many.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::Path,
    http::StatusCode,
    routing::{get, post},
};
use futures::stream;
use steadfast_gateway::Server;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::support::{TIMEOUT, without_services};

const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: gateway\r\n\r\n";

pub(super) struct Served {
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

pub(super) async fn serve(configure: impl FnOnce(Server) -> Server) -> Served {
    serve_routes(without_services().router, configure).await
}

async fn serve_routes(routes: Router, configure: impl FnOnce(Server) -> Server) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let server = configure(Server::new(routes));
    let serving = tokio::spawn(server.serve(listener, stop.clone()));
    Served { address, stop, serving }
}

impl Served {
    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// Sends a request on an open connection and reads the status of the response.
pub(super) async fn status(connection: &mut TcpStream) -> StatusCode {
    answer(connection, REQUEST).await
}

pub(super) async fn answer(connection: &mut TcpStream, request: &[u8]) -> StatusCode {
    connection.write_all(request).await.unwrap();
    let mut response = vec![0; 1024];
    let length = timeout(TIMEOUT, connection.read(&mut response)).await.unwrap().unwrap();
    let status = std::str::from_utf8(&response[..length])
        .unwrap()
        .split(' ')
        .nth(1)
        .unwrap();
    status.parse().unwrap()
}

/// Waits until the server closes the connection.
async fn closed(connection: &mut TcpStream) {
    let mut rest = Vec::new();
    let _ = timeout(TIMEOUT, connection.read_to_end(&mut rest))
        .await
        .expect("an end in time");
}

#[tokio::test]
async fn a_connection_without_a_whole_head_is_closed() {
    const HEAD_TIMEOUT: Duration = Duration::from_millis(300);
    let served = serve(|server| server.head_timeout(HEAD_TIMEOUT)).await;
    let (mut silent, mut slow, mut idle) = (served.connect().await, served.connect().await, served.connect().await);
    assert_eq!(status(&mut idle).await, StatusCode::OK);
    let begin = Instant::now();
    let drip = async {
        // A byte now and then does not keep the connection.
        for byte in REQUEST {
            if slow.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(HEAD_TIMEOUT / 10).await;
        }
        closed(&mut slow).await;
    };
    tokio::join!(closed(&mut silent), drip, closed(&mut idle));
    assert!(begin.elapsed() >= HEAD_TIMEOUT / 2, "{:?}", begin.elapsed());
    assert_eq!(status(&mut served.connect().await).await, StatusCode::OK);
}

#[tokio::test]
async fn a_connection_goes_on_after_an_answer_to_a_request_whose_body_came_later_than_its_head() {
    let routes = without_services().router;
    // A handler that does not read the body, and one that never runs.
    let routes = routes.route("/ignores", post(async || "ok"));
    let routes = routes.route("/numbered/{number}", post(async |_: Path<u8>, body: String| body));
    let served = serve_routes(routes, |server| server).await;
    for target in [
        "POST /nothing",
        "POST /healthz",
        "PUT /tasks/a",
        "POST /ignores",
        "POST /numbered/x",
    ] {
        let mut connection = served.connect().await;
        let head = format!("{target} HTTP/1.1\r\nhost: gateway\r\ncontent-length: 2\r\n\r\n");
        connection.write_all(head.as_bytes()).await.unwrap();
        // The server has read the head by the time it has answered another connection.
        for _ in 0..3 {
            assert_eq!(status(&mut served.connect().await).await, StatusCode::OK);
        }
        let answered = answer(&mut connection, b"{}").await;
        assert_eq!(answered.is_success(), target == "POST /ignores", "{target}: {answered}");
        assert_eq!(status(&mut connection).await, StatusCode::OK, "{target}");
    }
}

#[tokio::test]
async fn a_head_longer_than_32_kib_is_refused() {
    let served = serve(|server| server).await;
    for (length, expected) in [
        (31 * 1024, StatusCode::OK),
        (33 * 1024, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
    ] {
        let mut connection = served.connect().await;
        let head = format!(
            "GET /healthz HTTP/1.1\r\nhost: gateway\r\nx-long: {}\r\n\r\n",
            "x".repeat(length)
        );
        assert_eq!(answer(&mut connection, head.as_bytes()).await, expected, "{length}");
    }
}

/// A route whose one response never ends by itself, and what tells that it is gone.
fn endless() -> (axum::routing::MethodRouter, oneshot::Receiver<Infallible>) {
    const PIECE: &[u8] = &[b'x'; 64 * 1024];
    let (is_open, gone) = oneshot::channel();
    let is_open = Arc::new(Mutex::new(Some(is_open)));
    let respond = move || {
        let is_open = is_open.lock().unwrap().take();
        let pieces = stream::repeat_with(move || {
            assert!(is_open.is_some(), "one response");
            Ok::<_, Infallible>(PIECE)
        });
        std::future::ready(Body::from_stream(pieces))
    };
    (get(respond), gone)
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_let_go_and_one_that_reads_is_served() {
    const WRITE_TIMEOUT: Duration = Duration::from_millis(300);
    let ((stalled_route, stalled_gone), (read_route, mut read_gone)) = (endless(), endless());
    let routes = Router::new()
        .route("/stalled", stalled_route)
        .route("/read", read_route);
    let served = serve_routes(routes, |server| server.write_timeout(WRITE_TIMEOUT)).await;
    let (mut stalled, mut reading) = (served.connect().await, served.connect().await);
    for (connection, path) in [(&mut stalled, "/stalled"), (&mut reading, "/read")] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: gateway\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
    }
    let mut bytes = vec![0; 1024 * 1024];
    let read = async { while reading.read(&mut bytes).await.unwrap() > 0 {} };
    tokio::select! {
        () = read => panic!("the connection of who reads has ended"),
        gone = timeout(TIMEOUT, stalled_gone) => assert!(gone.is_ok(), "who takes nothing still has a connection"),
    }
    assert!(
        read_gone
            .try_recv()
            .is_err_and(|error| error == oneshot::error::TryRecvError::Empty)
    );
    assert!(reading.read(&mut bytes).await.unwrap() > 0);
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_a_place() {
    let served = serve(|server| server.connections(2)).await;
    let (mut first, mut second) = (served.connect().await, served.connect().await);
    assert_eq!(status(&mut first).await, StatusCode::OK);
    assert_eq!(status(&mut second).await, StatusCode::OK);
    let mut third = served.connect().await;
    third.write_all(REQUEST).await.unwrap();
    let mut byte = [0];
    let early = timeout(Duration::from_millis(200), third.read(&mut byte)).await;
    assert!(early.is_err(), "the third connection was served beside two others");
    drop(first);
    timeout(TIMEOUT, third.read_exact(&mut byte)).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_server_that_stops_closes_idle_connections_and_takes_no_new_ones() {
    let served = serve(|server| server).await;
    let mut idle = served.connect().await;
    assert_eq!(status(&mut idle).await, StatusCode::OK);
    served.stop.cancel();
    closed(&mut idle).await;
    timeout(TIMEOUT, served.serving).await.expect("an end in time").unwrap();
    assert!(TcpStream::connect(served.address).await.is_err());
}
