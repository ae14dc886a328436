//! A real Redis server that can be killed, frozen and brought back on its port.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::files;
use crate::port::Port;
use crate::process::{Launch, Service};
use crate::site::Site;
use crate::tools;

const READY_TIMEOUT: Duration = Duration::from_secs(20);

/// What a restarted server finds of what it held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisData {
    /// Everything that was acknowledged.
    Keep,
    /// Nothing, as after the loss of a disk.
    Empty,
}

/// One Redis server.
#[derive(Debug)]
pub struct Redis {
    service: Service,
    port: Port,
    site: Site,
}

impl Redis {
    /// On a free port of 127.0.0.1; gone when dropped.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_on(None).await
    }

    /// The same on a given port.
    pub async fn start_on(port: Option<u16>) -> anyhow::Result<Self> {
        let redis = Self::at(Site::of_this_process("redis")?, Port::given_or_leased(port)?)?;
        redis.launch().await?;
        Ok(redis)
    }

    pub(crate) fn at(site: Site, port: Port) -> anyhow::Result<Self> {
        let launch = launch(&tools::installed("redis-server")?, &site, port.number());
        let service = Service::new(launch, site.lifetime.clone(), &site.logs())?;
        Ok(Self { service, port, site })
    }

    /// Starts it unless it runs, and waits until it answers.
    pub(crate) async fn launch(&self) -> anyhow::Result<()> {
        files::make_folder(&self.site.data())?;
        self.service.start()?;
        self.service.ready(READY_TIMEOUT, || ping(self.socket_address())).await
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

    /// `kill -9`. Its port stays reserved.
    pub async fn kill(&self) -> anyhow::Result<()> {
        self.service.kill().await
    }

    /// SIGSTOP: connections stay open and nothing is answered.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.service.freeze()
    }

    /// Ends a freeze.
    pub fn thaw(&self) -> anyhow::Result<()> {
        self.service.thaw()
    }

    /// Kills it if it runs and starts it again on the same port.
    pub async fn restart(&self, data: RedisData) -> anyhow::Result<()> {
        self.kill().await?;
        if data == RedisData::Empty {
            files::remove_folder(&self.site.data())?;
        }
        self.launch().await
    }

    fn socket_address(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.address(), self.port())
    }

    fn address(&self) -> Ipv4Addr {
        self.site.address
    }
}

/// An append-only file without fsync: what was acknowledged survives `kill -9`
/// (the page cache holds it), and nothing waits for the disk.
fn launch(program: &Path, site: &Site, port: u16) -> Launch {
    [
        ("--bind", site.address.to_string()),
        ("--port", port.to_string()),
        ("--dir", site.data().display().to_string()),
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
    .in_network(site.network.as_deref())
}

/// Ready means `+PONG`: a server that still loads its file answers otherwise.
async fn ping(address: SocketAddrV4) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address).await.context("connect")?;
    stream.write_all(b"PING\r\n").await.context("send PING")?;
    let mut answer = [0; 7];
    stream
        .read_exact(&mut answer)
        .await
        .context("read the answer to PING")?;
    if &answer != b"+PONG\r\n" {
        bail!("PING was answered by {:?}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}
