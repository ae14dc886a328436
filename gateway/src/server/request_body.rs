//! What a handler leaves of a request's body. hyper closes a connection when a response is done and the body is not, and
//! a client that sends the head and the body apart would use the connection for its next request, or break while it sends.
//! So the rest is read, within bounds, before the response goes out.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::StreamExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::{sync::oneshot, time::timeout};

/// How much of a body that nobody wants is read, so that its sender receives the response.
const MAX_DISCARDED_BYTES: usize = 64 * 1024 * 1024;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(10);

/// The body as a handler gets it. Dropped before its end, it comes back as a [`Rest`].
#[derive(Debug)]
pub(super) struct RequestBody {
    incoming: Option<Incoming>,
    rest: Option<oneshot::Sender<Incoming>>,
}

/// What a handler has left of a body.
#[derive(Debug)]
pub(super) struct Rest(Option<oneshot::Receiver<Incoming>>);

impl RequestBody {
    pub(super) fn new(incoming: Incoming) -> (Self, Rest) {
        let (rest, left) = if incoming.is_end_stream() {
            (None, None)
        } else {
            let (rest, left) = oneshot::channel();
            (Some(rest), Some(left))
        };
        let body = Self {
            incoming: Some(incoming),
            rest,
        };
        (body, Rest(left))
    }
}

impl Rest {
    /// Reads it and keeps nothing of it. A body that a response still needs stays where it is.
    pub(super) async fn discard(self) {
        let Some(mut left) = self.0 else { return };
        let Ok(incoming) = left.try_recv() else { return };
        let mut pieces = axum::body::Body::new(incoming).into_data_stream();
        let discard = async {
            let mut discarded = 0;
            while let Some(Ok(piece)) = pieces.next().await {
                discarded += piece.len();
                if discarded > MAX_DISCARDED_BYTES {
                    return;
                }
            }
        };
        let _ = timeout(DISCARD_TIMEOUT, discard).await;
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.incoming {
            Some(incoming) => Pin::new(incoming).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if !self.is_end_stream()
            && let (Some(incoming), Some(rest)) = (self.incoming.take(), self.rest.take())
        {
            // Nobody waits for it when the connection has ended.
            let _ = rest.send(incoming);
        }
    }
}
