//! The network between a browser and a server of this machine, which can be lost.

use std::net::Ipv4Addr;

use anyhow::Context as _;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// A port that leads to another one. It ends when the value is dropped.
pub struct Link {
    port: u16,
    is_up: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Link {
    /// A link to the server at this URL, `http://127.0.0.1:PORT`.
    pub async fn to(url: &str) -> anyhow::Result<Self> {
        let server: u16 = url
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok())
            .with_context(|| format!("find the port in {url}"))?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let (is_up, state) = watch::channel(true);
        Ok(Self {
            port,
            is_up,
            accepting: tokio::spawn(accept(listener, server, state)),
        })
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Ends all connections, and lets none through.
    pub fn lose(&self) {
        self.is_up.send_replace(false);
    }

    pub fn restore(&self) {
        self.is_up.send_replace(true);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.accepting.abort();
        self.lose();
    }
}

async fn accept(listener: TcpListener, server: u16, state: watch::Receiver<bool>) {
    while let Ok((connection, _)) = listener.accept().await {
        // One that comes while the link is lost is dropped.
        if *state.borrow() {
            tokio::spawn(forward(connection, server, state.clone()));
        }
    }
}

async fn forward(mut browser: TcpStream, server: u16, mut state: watch::Receiver<bool>) {
    let forwarded = async {
        let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await?;
        copy_bidirectional(&mut browser, &mut server).await
    };
    tokio::select! {
        // How a connection ends is the business of its two ends.
        _ = forwarded => {}
        _ = state.wait_for(|is_up| !is_up) => {}
    }
}
