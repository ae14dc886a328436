//! Serves HTTP/1.1 within limits that no handler can set: the number of connections, the time for
//! the head of a request, the time for which a client may take nothing, and the time that open
//! requests have at the end.

mod request_body;
mod write_timeout;

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{Request, StatusCode},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

use self::{request_body::RequestBody, write_timeout::WriteTimeout};

/// Streams are most of them; each holds a connection for as long as its viewer stays.
const CONNECTIONS: usize = 4096;
/// For the head of a request, and for a connection without a request: longer than a client takes,
/// and short enough for one that only holds the connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// For the head of a request, with a token of the longest kind; every connection may hold as much.
const HEAD_BYTES: usize = 32 * 1024;
/// How long a client may take nothing of what there is for it: longer than a network is away, and shorter than the time
/// in which a viewer whose permission is gone must be told.
const WRITE_TIMEOUT: Duration = Duration::from_mins(1);
/// How long open requests may take after `stop`.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
/// After an error such as too many open files, which a moment later may be over.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Serves a router. More connections than the limit wait until one ends.
#[derive(Clone, Debug)]
pub struct Server {
    router: Router,
    connections: usize,
    head_timeout: Duration,
    write_timeout: Duration,
    drain_timeout: Duration,
}

impl Server {
    pub fn new(router: Router) -> Self {
        Self {
            router,
            connections: CONNECTIONS,
            head_timeout: HEAD_TIMEOUT,
            write_timeout: WRITE_TIMEOUT,
            drain_timeout: DRAIN_TIMEOUT,
        }
    }

    /// The number of connections at a time.
    #[must_use]
    pub fn connections(self, connections: usize) -> Self {
        Self { connections, ..self }
    }

    /// The time for the head of a request, and for a connection without a request.
    #[must_use]
    pub fn head_timeout(self, head_timeout: Duration) -> Self {
        Self { head_timeout, ..self }
    }

    /// How long a client may take nothing of what there is for it.
    #[must_use]
    pub fn write_timeout(self, write_timeout: Duration) -> Self {
        Self { write_timeout, ..self }
    }

    /// Serves until `stop`; then takes no more requests and waits for those that are open.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(self.connections));
        let connections = TaskTracker::new();
        while let Some((place, stream, peer)) = next_connection(&listener, &places, &stop).await {
            connections.spawn(self.clone().connection(place, stream, peer, stop.clone()));
        }
        drop(listener);
        connections.close();
        if timeout(self.drain_timeout, connections.wait()).await.is_err() {
            tracing::warn!(
                connections = connections.len(),
                "the drain time is over; exiting while requests are open"
            );
        }
    }

    async fn connection(
        self,
        _place: OwnedSemaphorePermit,
        stream: TcpStream,
        peer: SocketAddr,
        stop: CancellationToken,
    ) {
        let router = self.router;
        let service = service_fn(move |request: Request<Incoming>| {
            let (head, body) = request.into_parts();
            let (body, rest) = RequestBody::new(body);
            let mut request = Request::from_parts(head, Body::new(body));
            request.extensions_mut().insert(ConnectInfo(peer));
            // A router is always ready and never fails.
            let answer = router.clone().oneshot(request);
            async move {
                let response = answer.await.unwrap_or_else(|never| match never {});
                // What did not arrive in time is not awaited once more.
                if response.status() != StatusCode::REQUEST_TIMEOUT {
                    rest.discard().await;
                }
                Ok::<_, Infallible>(response)
            }
        });
        // Pinned where it is made: a variable before would be a second place for it.
        let mut connection = std::pin::pin!(
            http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(self.head_timeout)
                .max_buf_size(HEAD_BYTES)
                // A buffer takes more where more has arrived.
                .max_header_size(HEAD_BYTES)
                .serve_connection(TokioIo::new(WriteTimeout::new(stream, self.write_timeout)), service,)
        );
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, error = &error as &dyn std::error::Error, "a connection broke");
        }
    }
}

/// The next connection, when there is a place for it; `None` after `stop`.
async fn next_connection(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<(OwnedSemaphorePermit, TcpStream, SocketAddr)> {
    let next = async {
        let place = places.clone().acquire_owned().await.ok()?;
        loop {
            match accept(listener).await {
                Ok((stream, peer)) => return Some((place, stream, peer)),
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "cannot accept a connection; trying again"
                    );
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    stop.run_until_cancelled(next).await.flatten()
}

async fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = listener.accept().await?;
    // A token must not wait until a packet is full.
    stream.set_nodelay(true)?;
    Ok((stream, peer))
}
