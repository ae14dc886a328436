//! Starts Temporal, Valkey, the gateway, the stand-in for a model and the workers,
//! and waits until they are ready.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use steadfast_ports::Port;
use tokio::{net::TcpStream, task::JoinHandle, time::sleep};
use url::Url;

use super::{
    INSTALL,
    child::{Child, Launch, end_of_log, from_here},
    fleet::Fleet,
    local_worker::LocalWorker,
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
    workers: Mutex<BTreeMap<String, Worker>>,
    _gateway: Child,
    _stand_in: Option<AbortOnDrop>,
    _valkey: Child,
    _temporal: Child,
    ports: Ports,
    namespace: String,
}

#[derive(Debug)]
struct Ports {
    temporal: Port,
    temporal_ui: Port,
    valkey: Port,
    gateway: Port,
    gateway_admin: Port,
    stand_in: Port,
}

/// A worker, and the port of its probes, which is its own as long as it runs.
#[derive(Debug)]
struct Worker {
    child: Child,
    _admin: Port,
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
        let leases = &programs.ports;
        let ports = Ports {
            temporal: Port::lease(leases)?,
            temporal_ui: Port::lease(leases)?,
            valkey: Port::lease(leases)?,
            gateway: port.map(Port::fixed).map_or_else(|| Port::lease(leases), Ok)?,
            gateway_admin: Port::lease(leases)?,
            stand_in: Port::lease(leases)?,
        };
        let temporal = Child::start(temporal(programs, state, &ports, fleet))?;
        let valkey = Child::start(valkey(programs, state, &ports, fleet))?;
        let gateway = Child::start(gateway(programs, state, &ports, fleet))?;
        let stand_in = serve_stand_in(fleet, &ports.stand_in).await?;
        let services = Self {
            workers: Mutex::default(),
            _gateway: gateway,
            _stand_in: stand_in,
            _valkey: valkey,
            _temporal: temporal,
            ports,
            namespace: fleet.namespace().to_owned(),
        };
        until_listening("Temporal", &services.ports.temporal, &state.log("temporal")).await?;
        until_listening("Valkey", &services.ports.valkey, &state.log("valkey")).await?;
        let gateway_probes = local(&services.ports.gateway_admin);
        let mut ready = vec![("gateway".to_owned(), gateway_probes, state.log("gateway"))];
        for (key, worker) in fleet.workers() {
            let probes = services.start_worker(&worker, programs, state, own_workers)?;
            ready.push((worker.home.describe(), probes, state.log(&key)));
        }
        for (name, probes, log) in ready {
            until_ready(&name, probes, &log).await?;
        }
        Ok(services)
    }

    /// Starts a worker, in place of the one that runs. Returns the address of its probes.
    pub(super) fn start_worker(
        &self,
        worker: &LocalWorker,
        programs: &Programs,
        state: &StateDir,
        own_workers: &OwnWorkers,
    ) -> anyhow::Result<SocketAddr> {
        let admin = Port::lease(&programs.ports)?;
        let probes = local(&admin);
        let key = worker.home.key();
        let own = worker.agents.iter().find_map(|agent| own_workers.of(agent));
        let mut launch = Launch::new(
            worker.home.describe(),
            own.map_or(programs.worker.as_path(), |own| own.program.as_path()),
            state,
            &key,
        );
        launch.arguments = own.map(|own| own.arguments.clone()).unwrap_or_default();
        launch.variables = worker.variables.clone();
        let (variable, name) = worker.home.variable();
        let mut launch = self
            .connected(launch, state)
            .variable("STEADFAST_NAMESPACE", &self.namespace)
            .variable(variable, &name)
            .variable("STEADFAST_ADMIN_ADDRESS", &probes)
            .variable("STEADFAST_DRAIN_TIMEOUT_SECONDS", &5)
            // Models, tools and MCP servers of a developer run on this machine.
            .variable("STEADFAST_INSECURE_ALLOW_LOOPBACK", &true)
            .variable("STEADFAST_ALLOW_CLUSTER_SERVICES", &true);
        if worker.has_stand_in {
            launch = launch.variable(
                "STEADFAST_MODEL_BASE_URL",
                &format_args!("http://{}/v1", local(&self.ports.stand_in)),
            );
        }
        let started = Worker {
            child: Child::start(launch)?,
            _admin: admin,
        };
        self.workers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, started);
        Ok(probes)
    }

    /// Whether the worker with this key runs with these variables.
    pub(super) fn worker_has(&self, key: &str, variables: &BTreeMap<String, String>) -> bool {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.get(key).is_some_and(|worker| {
            let running = &worker.child.launch().variables;
            variables.iter().all(|(name, value)| running.get(name) == Some(value))
        })
    }

    pub(super) fn gateway_url(&self) -> anyhow::Result<Url> {
        let url = format!("http://{}", local(&self.ports.gateway));
        url.parse().context("the URL of the gateway")
    }

    /// Where Temporal is.
    pub(super) fn temporal(&self, programs: &Programs) -> TemporalAt {
        TemporalAt {
            program: programs.temporal.clone(),
            address: local(&self.ports.temporal).to_string(),
            namespace: TEMPORAL_NAMESPACE,
        }
    }

    /// Where people reach the services.
    pub(super) fn addresses(&self) -> [String; 4] {
        [
            format!("gateway      http://{}", local(&self.ports.gateway)),
            format!("Temporal     {}", local(&self.ports.temporal)),
            format!("Temporal UI  http://{}", local(&self.ports.temporal_ui)),
            format!("console      http://{}/", local(&self.ports.gateway)),
        ]
    }

    fn connected(&self, launch: Launch, state: &StateDir) -> Launch {
        connected(launch, &self.ports, state)
    }
}

fn temporal(programs: &Programs, state: &StateDir, ports: &Ports, fleet: &Fleet) -> Launch {
    let mut launch = Launch::new("Temporal", &programs.temporal, state, "temporal");
    launch.variables = fleet.passed_on();
    let mut launch = ["server", "start-dev", "--ip", "127.0.0.1", "--log-level", "warn"]
        .into_iter()
        .fold(launch, Launch::argument)
        .argument("--port")
        .argument(ports.temporal.number().to_string())
        .argument("--ui-port")
        .argument(ports.temporal_ui.number().to_string())
        .argument("--db-filename")
        .argument(state.temporal_database());
    for value in DYNAMIC_CONFIG {
        launch = launch.argument("--dynamic-config-value").argument(value);
    }
    launch
}

fn valkey(programs: &Programs, state: &StateDir, ports: &Ports, fleet: &Fleet) -> Launch {
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
    .argument(ports.valkey.number().to_string())
    .argument("--dir")
    .argument(state.valkey())
}

fn gateway(programs: &Programs, state: &StateDir, ports: &Ports, fleet: &Fleet) -> Launch {
    let mut launch = Launch::new("the gateway", &programs.gateway, state, "gateway");
    launch.variables = fleet.passed_on();
    connected(launch, ports, state)
        // The gateway listens on this machine only.
        .argument("--insecure-allow-anonymous")
        .variable("STEADFAST_LISTEN", &local(&ports.gateway))
        .variable("STEADFAST_DEFAULT_NAMESPACE", &fleet.namespace())
        .variable("STEADFAST_ADMIN_ADDRESS", &local(&ports.gateway_admin))
        .variable(
            "STEADFAST_TEMPORAL_UI_URL",
            &format_args!(
                "http://{}/namespaces/{{namespace}}/workflows/{{workflowId}}/{{runId}}/history",
                local(&ports.temporal_ui)
            ),
        )
}

fn connected(launch: Launch, ports: &Ports, state: &StateDir) -> Launch {
    launch
        .argument("--revisions")
        .argument(state.revisions())
        .variable("STEADFAST_INSTALL", &INSTALL)
        .variable("TEMPORAL_ADDRESS", &local(&ports.temporal))
        .variable("TEMPORAL_NAMESPACE", &TEMPORAL_NAMESPACE)
        .variable("REDIS_URL", &format_args!("redis://{}", local(&ports.valkey)))
        .variable("STEADFAST_ATTACHMENTS_URL", &attachments_url(state))
        .variable("STEADFAST_LOG_FORMAT", "compact")
}

/// The store of attachments: a directory of the state.
fn attachments_url(state: &StateDir) -> String {
    // The root of the state is absolute.
    Url::from_file_path(state.attachments()).map_or_else(|()| String::new(), String::from)
}

/// Serves the stand-in for a model if an agent needs it.
async fn serve_stand_in(fleet: &Fleet, port: &Port) -> anyhow::Result<Option<AbortOnDrop>> {
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

fn local(port: &Port) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port.number()))
}

async fn until_listening(name: &str, port: &Port, log: &Path) -> anyhow::Result<()> {
    until(name, log, async || TcpStream::connect(local(port)).await.is_ok()).await
}

/// Waits until the program's readiness probe succeeds.
async fn until_ready(name: &str, probes: SocketAddr, log: &Path) -> anyhow::Result<()> {
    let http = reqwest::Client::builder()
        .timeout(Duration::from_secs(2))
        .no_proxy()
        .build()
        .context("set up the HTTP client")?;
    let url = format!("http://{probes}/readyz");
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
