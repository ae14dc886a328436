//! The server over loopback: clients that are slow, idle, or too many.

use std::{net::SocketAddr, time::Duration};

use axum::http::StatusCode;
use steadfast_gateway::Server;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::support::{TIMEOUT, without_services};

const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: gateway\r\n\r\n";

struct Served {
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

async fn serve(configure: impl FnOnce(Server) -> Server) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let server = configure(Server::new(without_services().router));
    let serving = tokio::spawn(server.serve(listener, stop.clone()));
    Served { address, stop, serving }
}

impl Served {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

/// Sends a request on an open connection and reads the status of the response.
async fn status(connection: &mut TcpStream) -> StatusCode {
    connection.write_all(REQUEST).await.unwrap();
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
