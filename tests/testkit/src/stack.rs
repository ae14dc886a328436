//! A stack: Steadfast without Kubernetes. Temporal, Redis, the gateway and workers
//! run as child processes; tests drive them by verbs.
//!
//! A test takes a stack, starts an agent with a script for its model, and talks to
//! it as a client does. Every process ends when its value is dropped. A failing
//! test prints the ends of the logs.

mod agent;
mod approval;
mod binary_dir;
mod cli;
mod client;
mod component;
mod connections;
mod encryption_keys;
mod line;
mod operator;
mod python;
mod raw_stream;
mod revision_dir;
mod task;
mod turn_end;
mod viewer;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;

use crate::{
    install_root::InstallRoot,
    port::{self, Port},
    process::Launch,
    redis::Redis,
    temp_dir::TempDir,
    temporal::{Temporal, TemporalOptions, TemporalStorage},
    tls_proxy::TlsProxy,
    tools::PythonEnvironment,
};

use connections::Connections;

pub(crate) use operator::{OperatorSetup, operator};

pub use agent::{Agent, AgentSetup};
pub use approval::PendingApproval;
pub use binary_dir::BinaryDir;
pub use cli::{Chat, Cli, CommandOutput};
pub use client::{Client, GatewayResponse};
pub use component::Component;
pub use connections::{REDIS_USER, TEMPORAL_API_KEY};
pub use encryption_keys::EncryptionKeys;
pub use line::Line;
pub use python::{PythonServer, PythonWorker, example, run_node_script, run_script};
pub use raw_stream::RawStream;
pub use revision_dir::{RevisionDir, activity_tool};
pub use task::Task;
pub use turn_end::TurnEnd;
pub use viewer::{AgentexFrames, Frame, Viewer, ViewerState};

/// The install id of every stack.
pub const INSTALL: &str = "e2e";
/// The Kubernetes namespace of every stack's agents.
pub const NAMESPACE: &str = "default";
/// The `OPENAI_API_KEY` of workers.
pub const API_KEY: &str = "sk-of-the-test";
/// The longest wait for any condition. A passing test never waits this long.
pub const TIMEOUT: Duration = Duration::from_mins(1);

/// What differs from the gateway of most stacks, which lets everybody do everything.
#[derive(Clone, Debug, Default)]
pub struct GatewayOptions {
    /// Who may do what. Absent: everybody everything.
    pub access: Option<GatewayAccess>,
    /// The cluster whose agents it serves and wakes, by its kubeconfig file. Absent: the agents of the stack's directory.
    pub cluster: Option<PathBuf>,
    /// The memory that the gateway can ask for.
    pub memory_bytes: Option<u64>,
    /// Further variables of its environment, in place of flags.
    pub variables: Vec<(&'static str, String)>,
}

/// The API server that the gateway asks who may do what.
#[derive(Clone, Debug)]
pub struct GatewayAccess {
    pub kubeconfig: PathBuf,
    /// The token of the stack's own clients.
    pub token: String,
}

/// The limit of a server with one of its own, which its operators tell the gateway too.
fn history_limit(options: &TemporalOptions) -> Option<String> {
    let pairs = options.dynamic_config.iter();
    pairs
        .filter_map(|pair| pair.strip_prefix("limit.historySize.error="))
        .map(str::to_owned)
        .next_back()
}

/// Temporal, Redis, a gateway, and a directory of revisions in place of Kubernetes.
#[derive(Debug)]
pub struct Stack {
    // Dropped in this order: clients before the services that they use.
    gateway: Arc<Component>,
    gateway_port: Port,
    token: Option<String>,
    connections: Connections,
    redis: Redis,
    temporal: Temporal,
    attachments: TempDir,
    revisions: RevisionDir,
    binaries: BinaryDir,
}

impl Stack {
    /// Starts a stack with the binaries of the running test's profile.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(TemporalOptions::default(), BinaryDir::of_this_test()?).await
    }

    /// Like [`start`](Self::start), with a Temporal that keeps its state when it is killed.
    pub async fn start_durable() -> anyhow::Result<Self> {
        let options = TemporalOptions {
            storage: TemporalStorage::File,
            ..TemporalOptions::default()
        };
        Self::start_with(options, BinaryDir::of_this_test()?).await
    }

    pub async fn start_with(temporal: TemporalOptions, binaries: BinaryDir) -> anyhow::Result<Self> {
        Self::start_with_options(temporal, binaries, GatewayOptions::default()).await
    }

    /// Like [`start_with`](Self::start_with), with another gateway.
    pub async fn start_with_options(
        temporal: TemporalOptions,
        binaries: BinaryDir,
        gateway: GatewayOptions,
    ) -> anyhow::Result<Self> {
        let history_limit = history_limit(&temporal);
        let (temporal, redis) = tokio::try_join!(Temporal::start(temporal), Redis::start())?;
        let mut connections = Connections::plain(&temporal, &redis);
        if let Some(bytes) = history_limit {
            connections.add_history_limit(bytes);
        }
        Self::start_on(temporal, redis, connections, binaries, gateway).await
    }

    /// Like [`start`](Self::start), with another gateway.
    pub async fn start_with_gateway(gateway: GatewayOptions) -> anyhow::Result<Self> {
        Self::start_with_options(TemporalOptions::default(), BinaryDir::of_this_test()?, gateway).await
    }

    /// Like [`start_durable`](Self::start_durable), with programs that encrypt by the key of this id. The keys must
    /// outlive the stack.
    pub async fn start_encrypted(keys: &EncryptionKeys, key_id: &str) -> anyhow::Result<Self> {
        let options = TemporalOptions {
            storage: TemporalStorage::File,
            ..TemporalOptions::default()
        };
        let (temporal, redis) = tokio::try_join!(Temporal::start(options), Redis::start())?;
        let connections = Connections::plain(&temporal, &redis).encrypted(keys, key_id);
        let gateway = GatewayOptions::default();
        Self::start_on(temporal, redis, connections, BinaryDir::of_this_test()?, gateway).await
    }

    /// Like [`start`](Self::start), with TLS, client certificates and authentication at Temporal and Redis.
    pub async fn start_secured() -> anyhow::Result<Self> {
        let temporal = Temporal::start(TemporalOptions::default()).await?;
        let (connections, redis) = Connections::secured(&temporal).await?;
        let gateway = GatewayOptions::default();
        Self::start_on(temporal, redis, connections, BinaryDir::of_this_test()?, gateway).await
    }

    async fn start_on(
        temporal: Temporal,
        redis: Redis,
        mut connections: Connections,
        binaries: BinaryDir,
        options: GatewayOptions,
    ) -> anyhow::Result<Self> {
        let attachments = TempDir::new("attachments")?;
        connections.add_attachments(attachments.path());
        let revisions = RevisionDir::new()?;
        let gateway_port = port::lease()?;
        let admin_port = port::lease()?;
        let launch = Launch::new("gateway", binaries.gateway()?)
            .flag("listen", format_args!("127.0.0.1:{}", gateway_port.number()))
            .variable("STEADFAST_INSTALL", INSTALL)
            .variable("STEADFAST_DEFAULT_NAMESPACE", NAMESPACE)
            .variable(
                "STEADFAST_ADMIN_ADDRESS",
                format_args!("127.0.0.1:{}", admin_port.number()),
            )
            .variable("STEADFAST_LOG_FORMAT", "compact");
        let launch = match &options.cluster {
            None => launch.path_flag("revisions", revisions.path()),
            Some(kubeconfig) => launch.variable("KUBECONFIG", kubeconfig.display()),
        };
        let launch = match &options.access {
            None => launch.argument("--insecure-allow-anonymous"),
            Some(access) => launch.variable("KUBECONFIG", access.kubeconfig.display()),
        };
        let launch = options
            .variables
            .iter()
            .fold(launch, |launch, (name, value)| launch.variable(name, value));
        let launch = connections.apply(launch).memory_limit(options.memory_bytes);
        let install_root = InstallRoot::of_this_process("gateway")?;
        let gateway = Arc::new(Component::new(launch, admin_port, install_root)?);
        gateway.launch().await?;
        Ok(Self {
            gateway,
            gateway_port,
            token: options.access.map(|access| access.token),
            connections,
            redis,
            temporal,
            attachments,
            revisions,
            binaries,
        })
    }

    /// The directory of the attachments.
    pub fn attachments(&self) -> &Path {
        self.attachments.path()
    }

    pub fn temporal(&self) -> &Temporal {
        &self.temporal
    }

    /// The TLS proxy before Temporal; only a secured stack has one.
    pub fn temporal_proxy(&self) -> Option<&TlsProxy> {
        self.connections.temporal_proxy()
    }

    pub fn redis(&self) -> &Redis {
        &self.redis
    }

    pub fn gateway(&self) -> &Component {
        &self.gateway
    }

    /// `http://127.0.0.1:<port>` of the gateway.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.gateway_port.number())
    }

    /// A client of the gateway.
    pub fn client(&self) -> anyhow::Result<Client> {
        match &self.token {
            None => Client::new(self.url()),
            Some(token) => Client::with_token(self.url(), token),
        }
    }

    /// The program `steadfast` with this gateway.
    pub fn cli(&self) -> anyhow::Result<Cli> {
        Ok(Cli::new(self.binaries.cli()?, self.url()))
    }

    /// The operator of the agents' namespace in the cluster of this kubeconfig file. It is not started yet.
    pub fn operator(&self, kubeconfig: &Path) -> anyhow::Result<Component> {
        self.operator_of(&self.binaries, kubeconfig)
    }

    /// The same with the operator of other programs.
    pub(crate) fn operator_of(&self, binaries: &BinaryDir, kubeconfig: &Path) -> anyhow::Result<Component> {
        let setup = OperatorSetup::new(kubeconfig).watching(NAMESPACE);
        operator(binaries, &setup, |launch| self.connections.apply(launch))
    }

    /// Publishes the agent's first revision and starts its workers.
    pub async fn agent(&self, setup: AgentSetup) -> anyhow::Result<Agent> {
        let name = setup.name().to_owned();
        Agent::start(self, setup)
            .await
            .with_context(|| format!("start agent {name:?}"))
    }

    /// Starts a Temporal worker in Python that runs the activities of tools.
    pub fn python_worker(&self, script: &Path, variables: &[(&str, &str)]) -> anyhow::Result<PythonWorker> {
        self.python_worker_of(PythonEnvironment::Clients, script, variables)
    }

    /// Like [`python_worker`](Self::python_worker), in another environment.
    pub(crate) fn python_worker_of(
        &self,
        environment: PythonEnvironment,
        script: &Path,
        variables: &[(&str, &str)],
    ) -> anyhow::Result<PythonWorker> {
        PythonWorker::start(&self.temporal, environment, script, variables)
    }
}
