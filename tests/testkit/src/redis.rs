//! A real Redis server that can be killed, frozen and restarted on its port.

use std::{net::SocketAddrV4, path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    certificates::CertificateAuthority,
    files,
    install_root::InstallRoot,
    port::{self, Port},
    process::{Launch, Service},
    tls_proxy::ClientCertificates,
    tools,
};

/// The longest reply that is read.
const REPLY_BYTES: usize = 16 * 1024;
const READY_TIMEOUT: Duration = Duration::from_secs(20);

/// Which data a restarted server finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisData {
    /// All acknowledged writes.
    Keep,
    /// None, as after the loss of the disk.
    Empty,
}

/// TLS of a Redis server, on a port of its own.
#[derive(Debug)]
pub struct RedisTls<'a> {
    /// The authority of the server's certificate, and of its clients'.
    pub authority: &'a CertificateAuthority,
    /// The names in the server's certificate.
    pub names: &'a [&'a str],
    pub clients: ClientCertificates,
}

/// How to start a Redis server. The default: no TLS, no users, a free port.
#[derive(Debug, Default)]
pub struct RedisOptions<'a> {
    /// The port without TLS; a free one when absent.
    pub port: Option<u16>,
    pub tls: Option<RedisTls<'a>>,
    /// ACL users besides the default one, as after `user` in `redis.conf`:
    /// `alice on >secret ~* &* +@all`.
    pub users: &'a [&'a str],
    /// A server that this one replicates.
    pub replica_of: Option<&'a Redis>,
}

/// One Redis server.
#[derive(Debug)]
pub struct Redis {
    service: Service,
    port: Port,
    tls_port: Option<Port>,
    install_root: InstallRoot,
}

impl Redis {
    /// Starts one on a free port of 127.0.0.1. It ends when the value is dropped.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_on(None).await
    }

    /// Like [`start`](Self::start), on a given port if there is one.
    pub async fn start_on(port: Option<u16>) -> anyhow::Result<Self> {
        Self::start_with(RedisOptions {
            port,
            ..RedisOptions::default()
        })
        .await
    }

    /// Like [`start`](Self::start), with TLS, users or as a replica.
    pub async fn start_with(options: RedisOptions<'_>) -> anyhow::Result<Self> {
        let install_root = InstallRoot::of_this_process("redis")?;
        let port = port::given_or_leased(options.port)?;
        let tls_port = options.tls.is_some().then(port::lease).transpose()?;
        let program = if options.tls.is_some() {
            tools::redis_server_with_tls()?
        } else {
            tools::redis_server()?
        };
        let mut launch = launch(&program, &install_root, port.number());
        if let (Some(tls), Some(port)) = (&options.tls, &tls_port) {
            launch = with_tls(launch, tls, port.number())?;
        }
        for user in options.users {
            launch = user.split(' ').fold(launch.argument("--user"), Launch::argument);
        }
        if let Some(master) = options.replica_of {
            let address = master.socket_address();
            launch = launch
                .argument("--replicaof")
                .argument(address.ip())
                .argument(address.port());
        }
        let redis = Self::new(launch, port, tls_port, install_root)?;
        redis.launch().await?;
        Ok(redis)
    }

    pub(crate) fn at(install_root: InstallRoot, port: Port) -> anyhow::Result<Self> {
        let launch = launch(&tools::redis_server()?, &install_root, port.number());
        Self::new(launch, port, None, install_root)
    }

    fn new(launch: Launch, port: Port, tls_port: Option<Port>, install_root: InstallRoot) -> anyhow::Result<Self> {
        let service = Service::new(launch, install_root.lifetime.clone(), &install_root.logs())?;
        Ok(Self {
            service,
            port,
            tls_port,
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

    /// The port with TLS; 0 if the server has none.
    pub fn tls_port(&self) -> u16 {
        self.tls_port.as_ref().map_or(0, Port::number)
    }

    /// The process and its log.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Sends one inline command, as typed into `nc`, and returns the first bytes
    /// of the reply, up to 16 KiB.
    pub async fn command(&self, command: &str) -> anyhow::Result<String> {
        send(self.socket_address(), command).await
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

/// One Sentinel that watches one master and fails over after half a second.
#[derive(Debug)]
pub struct Sentinel {
    _service: Service,
    port: Port,
    _install_root: InstallRoot,
}

impl Sentinel {
    /// Starts one, and waits until it knows the master under this name, and its replicas.
    pub async fn start(name: &str, master: &Redis, replicas: usize) -> anyhow::Result<Self> {
        let install_root = InstallRoot::of_this_process("sentinel")?;
        let port = port::lease()?;
        let address = master.socket_address();
        // Sentinel rewrites its configuration, so it takes no command line instead.
        let config = install_root.dir.join("sentinel.conf");
        files::write(
            &config,
            &format!(
                "port {}\nbind {}\ndir {}\nsentinel monitor {name} {} {} 1\n\
                 sentinel down-after-milliseconds {name} 500\nsentinel failover-timeout {name} 5000\n",
                port.number(),
                install_root.address,
                install_root.dir.display(),
                address.ip(),
                address.port(),
            ),
        )?;
        let launch = Launch::new("sentinel", tools::redis_server()?)
            .argument(config.display())
            .argument("--sentinel");
        let service = Service::new(launch, install_root.lifetime.clone(), &install_root.logs())?;
        service.start()?;
        let own = SocketAddrV4::new(install_root.address, port.number());
        service
            .ready(READY_TIMEOUT, async || {
                let info = send(own, "INFO sentinel").await?;
                let expected = format!("status=ok,address={address},slaves={replicas},");
                ensure!(info.contains(&expected), "the Sentinel knows: {info}");
                Ok(())
            })
            .await?;
        Ok(Self {
            _service: service,
            port,
            _install_root: install_root,
        })
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }
}

async fn send(address: SocketAddrV4, command: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await.context("connect to Redis")?;
    stream
        .write_all(format!("{command}\r\n").as_bytes())
        .await
        .context("send a Redis command")?;
    let mut reply = vec![0; REPLY_BYTES];
    let length = stream.read(&mut reply).await.context("read a Redis reply")?;
    Ok(String::from_utf8_lossy(&reply[..length]).into_owned())
}

fn with_tls(launch: Launch, tls: &RedisTls<'_>, port: u16) -> anyhow::Result<Launch> {
    let server = tls.authority.server(tls.names)?;
    let clients = match tls.clients {
        ClientCertificates::Optional => "optional",
        ClientCertificates::Required => "yes",
    };
    let launch = [
        ("--tls-port", port.to_string()),
        ("--tls-cert-file", server.certificate.display().to_string()),
        ("--tls-key-file", server.key.display().to_string()),
        ("--tls-ca-cert-file", tls.authority.certificate().display().to_string()),
        ("--tls-auth-clients", clients.to_owned()),
    ]
    .into_iter()
    .fold(launch, |launch, (name, value)| launch.argument(name).argument(value));
    Ok(launch)
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
