//! A real Redis server that can be killed, frozen and restarted on its port.

use std::{net::SocketAddrV4, path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    files,
    install_root::InstallRoot,
    port::Port,
    process::{Launch, Service},
    tools,
};

const READY_TIMEOUT: Duration = Duration::from_secs(20);

/// Which data a restarted server finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisData {
    /// All acknowledged writes.
    Keep,
    /// None, as after the loss of the disk.
    Empty,
}

/// One Redis server.
#[derive(Debug)]
pub struct Redis {
    service: Service,
    port: Port,
    install_root: InstallRoot,
}

impl Redis {
    /// Starts one on a free port of 127.0.0.1. It ends when the value is dropped.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_on(None).await
    }

    /// Like [`start`](Self::start), on a given port if there is one.
    pub async fn start_on(port: Option<u16>) -> anyhow::Result<Self> {
        let redis = Self::at(InstallRoot::of_this_process("redis")?, Port::given_or_leased(port)?)?;
        redis.launch().await?;
        Ok(redis)
    }

    pub(crate) fn at(install_root: InstallRoot, port: Port) -> anyhow::Result<Self> {
        let launch = launch(&tools::installed("redis-server")?, &install_root, port.number());
        let service = Service::new(launch, install_root.lifetime.clone(), &install_root.logs())?;
        Ok(Self {
            service,
            port,
            install_root,
        })
    }

    /// Starts the server unless it runs, and waits until it answers.
    pub(crate) async fn launch(&self) -> anyhow::Result<()> {
        files::create_dir(&self.install_root.data())?;
        self.service.start()?;
        self.service
            .ready(READY_TIMEOUT, async || {
                let reply = self.command("PING").await?;
                // A server that still loads its file answers with an error.
                ensure!(reply == "+PONG\r\n", "the reply to PING is {reply:?}");
                Ok(())
            })
            .await
    }

    /// `redis://<address>:<port>`.
    pub fn url(&self) -> String {
        format!("redis://{}", self.socket_address())
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The process and its log.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Sends one inline command, as typed into `nc`, and returns the first bytes
    /// of the reply, up to 1 KiB.
    pub async fn command(&self, command: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(self.socket_address())
            .await
            .context("connect to Redis")?;
        stream
            .write_all(format!("{command}\r\n").as_bytes())
            .await
            .context("send a Redis command")?;
        let mut reply = [0; 1024];
        let length = stream.read(&mut reply).await.context("read a Redis reply")?;
        Ok(String::from_utf8_lossy(&reply[..length]).into_owned())
    }

    /// `kill -9`. The port stays reserved.
    pub async fn kill(&self) -> anyhow::Result<()> {
        self.service.kill().await
    }

    /// SIGSTOP: connections stay open, and no command is answered.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.service.freeze()
    }

    /// SIGCONT, after `freeze`.
    pub fn thaw(&self) -> anyhow::Result<()> {
        self.service.thaw()
    }

    /// Kills the server if it runs, and starts it again on the same port.
    pub async fn restart(&self, data: RedisData) -> anyhow::Result<()> {
        self.kill().await?;
        if data == RedisData::Empty {
            files::remove_dir(&self.install_root.data())?;
        }
        self.launch().await
    }

    fn socket_address(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.install_root.address, self.port())
    }
}

/// An append-only file without fsync: acknowledged writes survive `kill -9`, as
/// they are in the page cache, and no write waits for the disk.
fn launch(program: &Path, install_root: &InstallRoot, port: u16) -> Launch {
    [
        ("--bind", install_root.address.to_string()),
        ("--port", port.to_string()),
        ("--dir", install_root.data().display().to_string()),
        ("--appendonly", "yes".to_owned()),
        ("--appendfsync", "no".to_owned()),
        ("--save", String::new()),
        ("--protected-mode", "no".to_owned()),
        ("--daemonize", "no".to_owned()),
    ]
    .into_iter()
    .fold(Launch::new("redis", program), |launch, (name, value)| {
        launch.argument(name).argument(value)
    })
    .in_network(install_root.network.as_deref())
}
