//! An HTTP server of the bench itself, on a thread of its own, so that the driver does not slow it.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    thread::JoinHandle,
};

use anyhow::Context as _;
use axum::Router;
use tokio::sync::oneshot;

use crate::port::{self, Port};

/// A server on 127.0.0.1. It ends when the value is dropped.
#[derive(Debug)]
pub(super) struct LocalServer {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _port: Port,
}

impl LocalServer {
    pub(super) fn start(name: &str, app: Router) -> anyhow::Result<Self> {
        let port = port::lease()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.number()))
            .with_context(|| format!("bind the port of the {name}"))?;
        listener.set_nonblocking(true).context("prepare a listener")?;
        let address = listener.local_addr().context("read the address of a listener")?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .with_context(|| format!("start the runtime of the {name}"))?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name(name.replace(' ', "-"))
            .spawn(move || runtime.block_on(serve(listener, app, stopped)))
            .with_context(|| format!("start the thread of the {name}"))?;
        Ok(Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
            _port: port,
        })
    }

    /// `http://<address>:<port>`.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for LocalServer {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // An error means that the server has ended already.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the thread of a server panicked");
        }
    }
}

/// Serves until `stopped`. Then breaks off open responses.
async fn serve(listener: TcpListener, app: Router, stopped: oneshot::Receiver<()>) {
    let served = async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        axum::serve(axum::serve::ListenerExt::tap_io(listener, no_delay), app).await
    };
    tokio::select! {
        outcome = served => {
            if let Err(error) = outcome {
                tracing::error!("a server of the bench ended: {error}");
            }
        }
        _ = stopped => {}
    }
}

/// Nagle's algorithm would hold back small chunks, such as tokens.
fn no_delay(stream: &mut tokio::net::TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("{error}");
    }
}
