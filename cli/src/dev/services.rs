//! Starts Temporal, Valkey, the gateway, the stand-in for a model and the workers,
//! and waits until they are ready.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use tokio::{net::TcpStream, task::JoinHandle, time::sleep};
use url::Url;

use super::{
    INSTALL,
    child::{Child, Launch, end_of_log, from_here},
    fleet::{Fleet, LocalAgent},
    programs::Programs,
    state_dir::StateDir,
    tool_workers::{OwnWorkers, TemporalAt},
};

/// From the start of a program until it is ready.
const READY_TIMEOUT: Duration = Duration::from_mins(1);
const POLL_PERIOD: Duration = Duration::from_millis(50);
/// The namespace of Temporal that its development server has.
const TEMPORAL_NAMESPACE: &str = "default";
/// One shard of few workers needs no pauses between polls.
const DYNAMIC_CONFIG: [&str; 4] = [
    "history.transferProcessorMaxPollRPS=1000",
    "history.timerProcessorMaxPollRPS=1000",
    "matching.numTaskqueueReadPartitions=1",
    "matching.numTaskqueueWritePartitions=1",
];

/// The running programs. They end when the value is dropped.
#[derive(Debug)]
pub(super) struct Services {
    /// In the order in which they end: clients before the services that they use.
    workers: Mutex<BTreeMap<String, Child>>,
    _gateway: Child,
    _stand_in: Option<AbortOnDrop>,
    _valkey: Child,
    _temporal: Child,
    ports: Ports,
    namespace: String,
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    temporal: u16,
    temporal_ui: u16,
    valkey: u16,
    gateway: u16,
    stand_in: u16,
}

#[derive(Debug)]
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Services {
    pub(super) async fn start(
        programs: &Programs,
        state: &StateDir,
        port: Option<u16>,
        fleet: &Fleet,
        own_workers: &OwnWorkers,
    ) -> anyhow::Result<Self> {
        let ports = Ports {
            temporal: free_port()?,
            temporal_ui: free_port()?,
            valkey: free_port()?,
            gateway: port.map_or_else(free_port, Ok)?,
            stand_in: free_port()?,
        };
        let gateway_admin = free_port()?;
        let temporal = Child::start(temporal(programs, state, ports, fleet))?;
        let valkey = Child::start(valkey(programs, state, ports, fleet))?;
        let gateway = Child::start(gateway(programs, state, ports, gateway_admin, fleet))?;
        let stand_in = serve_stand_in(fleet, ports.stand_in).await?;
        let services = Self {
            workers: Mutex::default(),
            _gateway: gateway,
            _stand_in: stand_in,
            _valkey: valkey,
            _temporal: temporal,
            ports,
            namespace: fleet.namespace().to_owned(),
        };
        until_listening("Temporal", ports.temporal, &state.log("temporal")).await?;
        until_listening("Valkey", ports.valkey, &state.log("valkey")).await?;
        let mut ready = vec![("gateway".to_owned(), gateway_admin, state.log("gateway"))];
        for agent in fleet.agents() {
            let admin = services.start_worker(agent, programs, state, fleet, own_workers)?;
            ready.push((format!("worker of {}", agent.name), admin, state.log(&agent.name)));
        }
        for (name, admin, log) in ready {
            until_ready(&name, admin, &log).await?;
        }
        Ok(services)
    }

    /// Starts the worker of an agent, in place of the one that runs. Returns the port of its probes.
    pub(super) fn start_worker(
        &self,
        agent: &LocalAgent,
        programs: &Programs,
        state: &StateDir,
        fleet: &Fleet,
        own_workers: &OwnWorkers,
    ) -> anyhow::Result<u16> {
        let admin = free_port()?;
        let own = own_workers.of(&agent.name);
        let mut launch = Launch::new(
            format!("the worker of {}", agent.name),
            own.map_or(programs.worker.as_path(), |own| own.program.as_path()),
            state,
            &agent.name,
        );
        launch.arguments = own.map(|own| own.arguments.clone()).unwrap_or_default();
        launch.variables = fleet.variables_of(agent);
        let mut launch = self
            .connected(launch, state)
            .variable("STEADFAST_NAMESPACE", &self.namespace)
            .variable("STEADFAST_AGENT", &agent.name)
            .variable("STEADFAST_ADMIN_ADDRESS", &local(admin))
            .variable("STEADFAST_DRAIN_TIMEOUT_SECONDS", &5)
            // Models, tools and MCP servers of a developer run on this machine.
            .variable("STEADFAST_INSECURE_ALLOW_LOOPBACK", &true)
            .variable("STEADFAST_ALLOW_CLUSTER_SERVICES", &true);
        if agent.stand_in.is_some() {
            launch = launch.variable(
                "STEADFAST_MODEL_BASE_URL",
                &format_args!("http://{}/v1", local(self.ports.stand_in)),
            );
        }
        let child = Child::start(launch)?;
        self.workers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(agent.name.clone(), child);
        Ok(admin)
    }

    /// Whether the worker of an agent runs with these variables.
    pub(super) fn worker_has(&self, agent: &str, variables: &BTreeMap<String, String>) -> bool {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.get(agent).is_some_and(|worker| {
            let running = &worker.launch().variables;
            variables.iter().all(|(name, value)| running.get(name) == Some(value))
        })
    }

    pub(super) fn gateway_url(&self) -> anyhow::Result<Url> {
        let url = format!("http://{}", local(self.ports.gateway));
        url.parse().context("the URL of the gateway")
    }

    /// Where Temporal is.
    pub(super) fn temporal(&self, programs: &Programs) -> TemporalAt {
        TemporalAt {
            program: programs.temporal.clone(),
            address: local(self.ports.temporal).to_string(),
            namespace: TEMPORAL_NAMESPACE,
        }
    }

    /// Where people reach the services.
    pub(super) fn addresses(&self) -> [String; 3] {
        [
            format!("gateway      http://{}", local(self.ports.gateway)),
            format!("Temporal     {}", local(self.ports.temporal)),
            format!("Temporal UI  http://{}", local(self.ports.temporal_ui)),
        ]
    }

    fn connected(&self, launch: Launch, state: &StateDir) -> Launch {
        connected(launch, self.ports, state)
    }
}

fn temporal(programs: &Programs, state: &StateDir, ports: Ports, fleet: &Fleet) -> Launch {
    let mut launch = Launch::new("Temporal", &programs.temporal, state, "temporal");
    launch.variables = fleet.passed_on();
    let mut launch = ["server", "start-dev", "--ip", "127.0.0.1", "--log-level", "warn"]
        .into_iter()
        .fold(launch, Launch::argument)
        .argument("--port")
        .argument(ports.temporal.to_string())
        .argument("--ui-port")
        .argument(ports.temporal_ui.to_string())
        .argument("--db-filename")
        .argument(state.temporal_database());
    for value in DYNAMIC_CONFIG {
        launch = launch.argument("--dynamic-config-value").argument(value);
    }
    launch
}

fn valkey(programs: &Programs, state: &StateDir, ports: Ports, fleet: &Fleet) -> Launch {
    let mut launch = Launch::new("Valkey", &programs.valkey, state, "valkey");
    launch.variables = fleet.passed_on();
    [
        "--bind",
        "127.0.0.1",
        "--appendonly",
        "yes",
        "--save",
        "",
        "--daemonize",
        "no",
    ]
    .into_iter()
    .fold(launch, Launch::argument)
    .argument("--port")
    .argument(ports.valkey.to_string())
    .argument("--dir")
    .argument(state.valkey())
}

fn gateway(programs: &Programs, state: &StateDir, ports: Ports, admin: u16, fleet: &Fleet) -> Launch {
    let mut launch = Launch::new("the gateway", &programs.gateway, state, "gateway");
    launch.variables = fleet.passed_on();
    connected(launch, ports, state)
        // The gateway listens on this machine only.
        .argument("--insecure-allow-anonymous")
        .variable("STEADFAST_LISTEN", &local(ports.gateway))
        .variable("STEADFAST_DEFAULT_NAMESPACE", &fleet.namespace())
        .variable("STEADFAST_ADMIN_ADDRESS", &local(admin))
}

fn connected(launch: Launch, ports: Ports, state: &StateDir) -> Launch {
    launch
        .argument("--revisions")
        .argument(state.revisions())
        .variable("STEADFAST_INSTALL", &INSTALL)
        .variable("TEMPORAL_ADDRESS", &local(ports.temporal))
        .variable("TEMPORAL_NAMESPACE", &TEMPORAL_NAMESPACE)
        .variable("REDIS_URL", &format_args!("redis://{}", local(ports.valkey)))
        .variable("STEADFAST_LOG_FORMAT", "compact")
}

/// Serves the stand-in for a model if an agent needs it.
async fn serve_stand_in(fleet: &Fleet, port: u16) -> anyhow::Result<Option<AbortOnDrop>> {
    if fleet.agents().all(|agent| agent.stand_in.is_none()) {
        return Ok(None);
    }
    let listener = tokio::net::TcpListener::bind(local(port))
        .await
        .context("open a port for the stand-in of a model")?;
    let app = steadfast_stand_in_model::router(fleet.fixtures()?);
    let served = tokio::spawn(async move {
        // Ends with this program.
        let _ = axum::serve(listener, app).await;
    });
    Ok(Some(AbortOnDrop(served)))
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// A port that nobody uses at the moment.
fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind(local(0)).context("find a free port")?;
    Ok(listener.local_addr().context("find a free port")?.port())
}

async fn until_listening(name: &str, port: u16, log: &Path) -> anyhow::Result<()> {
    until(name, log, async || TcpStream::connect(local(port)).await.is_ok()).await
}

/// Waits until the program's readiness probe succeeds.
async fn until_ready(name: &str, port: u16, log: &Path) -> anyhow::Result<()> {
    let http = reqwest::Client::builder()
        .timeout(Duration::from_secs(2))
        .no_proxy()
        .build()
        .context("set up the HTTP client")?;
    let url = format!("http://{}/readyz", local(port));
    until(name, log, async || {
        let response = http.get(&url).send().await;
        response.is_ok_and(|response| response.status().is_success())
    })
    .await
}

async fn until(name: &str, log: &Path, ready: impl AsyncFn() -> bool) -> anyhow::Result<()> {
    let begin = Instant::now();
    while !ready().await {
        if begin.elapsed() > READY_TIMEOUT {
            bail!(
                "{name} is not ready after {} s; the end of {}:\n{}",
                READY_TIMEOUT.as_secs(),
                from_here(log).display(),
                end_of_log(log)
            );
        }
        sleep(POLL_PERIOD).await;
    }
    Ok(())
}
