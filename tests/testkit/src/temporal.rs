//! A real Temporal server: the command line tool's development server.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddrV4},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    files, http_client,
    install_root::InstallRoot,
    port::{self, Port},
    process::{Launch, Service, output},
    tools::{self, WheelProgram},
};

const READY_TIMEOUT: Duration = Duration::from_mins(1);
/// The frontend retries for longer when a service behind it is not available yet.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
const DATABASE: &str = "temporal.db";

/// Settings of a server with one shard and few pollers: without them, fast steps
/// wait up to 200 ms, and a task queue with several partitions waits for seconds.
const DYNAMIC_CONFIG: [&str; 4] = [
    "history.transferProcessorMaxPollRPS=1000",
    "history.timerProcessorMaxPollRPS=1000",
    "matching.numTaskqueueReadPartitions=1",
    "matching.numTaskqueueWritePartitions=1",
];

/// The storage of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TemporalStorage {
    /// The state is lost when the server ends.
    #[default]
    Memory,
    /// The state survives `kill` and `restart`.
    File,
}

/// Whether the Web UI is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TemporalUi {
    #[default]
    Headless,
    Served,
}

/// How to start a Temporal server. The default: in memory, no UI, free ports.
#[derive(Clone, Debug, Default)]
pub struct TemporalOptions {
    pub storage: TemporalStorage,
    pub ui: TemporalUi,
    /// Search attributes to register: types (`Keyword`, `Int`, …) by name.
    pub search_attributes: BTreeMap<String, String>,
    /// Namespaces besides `default`.
    pub namespaces: Vec<String>,
    /// Additional dynamic configuration, as `key=value`.
    pub dynamic_config: Vec<String>,
    /// The port of the gRPC service; a free one if absent.
    pub port: Option<u16>,
    /// Whether the server shows its own metrics.
    pub metrics: bool,
}

impl TemporalOptions {
    /// A server that takes notice within a second of what it has done, which a deletion waits for; 30 s is its default.
    pub fn that_deletes_soon() -> Self {
        let processors = ["transfer", "visibility"];
        Self {
            dynamic_config: processors
                .map(|name| format!("history.{name}ProcessorUpdateAckInterval=\"1s\""))
                .to_vec(),
            ..Self::default()
        }
    }
}

/// The ports of a server.
#[derive(Debug)]
pub(crate) struct TemporalPorts {
    pub(crate) grpc: Port,
    pub(crate) http: Port,
    pub(crate) ui: Port,
    /// Only of a server that shows its metrics.
    pub(crate) metrics: Option<Port>,
}

/// One Temporal server.
#[derive(Debug)]
pub struct Temporal {
    service: Service,
    ports: TemporalPorts,
    options: TemporalOptions,
    install_root: InstallRoot,
}

/// How many events of a [`Temporal::history`] are of a kind, for instance `TIMER_STARTED`.
pub fn count_events(history: &[Value], kind: &str) -> usize {
    let kind = format!("EVENT_TYPE_{kind}");
    history
        .iter()
        .filter(|event| event["eventType"] == kind.as_str())
        .count()
}

/// The content of a payload of a [`Temporal::history`] that is plain JSON, for any language and the Temporal UI.
pub fn plain_json(payload: &Value) -> Option<Value> {
    let base64 = |value: &Value| BASE64_STANDARD.decode(value.as_str()?).ok();
    let encoding = base64(&payload["metadata"]["encoding"])?;
    if encoding != b"json/plain" {
        return None;
    }
    serde_json::from_slice(&base64(&payload["data"])?).ok()
}

impl Temporal {
    /// Starts one on 127.0.0.1. It ends when the value is dropped.
    pub async fn start(options: TemporalOptions) -> anyhow::Result<Self> {
        let ports = TemporalPorts {
            grpc: port::given_or_leased(options.port)?,
            http: port::lease()?,
            ui: port::lease()?,
            metrics: options.metrics.then(port::lease).transpose()?,
        };
        let temporal = Self::at(InstallRoot::of_this_process("temporal")?, ports, options)?;
        temporal.launch().await?;
        Ok(temporal)
    }

    pub(crate) fn at(
        install_root: InstallRoot,
        ports: TemporalPorts,
        options: TemporalOptions,
    ) -> anyhow::Result<Self> {
        let launch = launch(
            &tools::wheel_program(WheelProgram::Temporal)?,
            &install_root,
            &ports,
            &options,
        );
        let service = Service::new(launch, install_root.lifetime.clone(), &install_root.logs())?;
        Ok(Self {
            service,
            ports,
            options,
            install_root,
        })
    }

    /// Starts the server unless it runs, and waits until it can start workflows.
    pub(crate) async fn launch(&self) -> anyhow::Result<()> {
        files::create_dir(&self.install_root.data())?;
        self.service.start()?;
        self.service.ready(READY_TIMEOUT, || self.is_ready()).await
    }

    /// `<address>:<port>` of the gRPC service.
    pub fn address(&self) -> String {
        self.at_port(&self.ports.grpc).to_string()
    }

    /// `http://<address>:<port>`, for Temporal clients that expect a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The URL of the Web UI, if it is served.
    pub fn ui_url(&self) -> Option<String> {
        match self.options.ui {
            TemporalUi::Headless => None,
            TemporalUi::Served => Some(format!("http://{}", self.at_port(&self.ports.ui))),
        }
    }

    /// The URL of the server's HTTP API, for instance for `/api/v1/namespaces/default`.
    pub fn http_api_url(&self) -> String {
        format!("http://{}", self.at_port(&self.ports.http))
    }

    /// The URL of the server's own metrics, if it shows them.
    pub fn metrics_url(&self) -> Option<String> {
        let port = self.ports.metrics.as_ref()?;
        Some(format!("http://{}/metrics", self.at_port(port)))
    }

    /// The process and its log.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// `kill -9`. The ports stay reserved.
    pub async fn kill(&self) -> anyhow::Result<()> {
        self.service.kill().await
    }

    /// SIGSTOP: connections stay open, and no request is answered.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.service.freeze()
    }

    /// SIGCONT, after `freeze`.
    pub fn thaw(&self) -> anyhow::Result<()> {
        self.service.thaw()
    }

    /// Kills the server if it runs, and starts it again on the same ports, with its
    /// state if the storage is a file.
    pub async fn restart(&self) -> anyhow::Result<()> {
        self.kill().await?;
        self.launch().await
    }

    /// Runs the Temporal CLI against this server and returns its standard output.
    pub async fn cli(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = tokio::process::Command::new(tools::wheel_program(WheelProgram::Temporal)?);
        command
            .args(arguments)
            .args(["--address", &self.address(), "--color", "never"]);
        output(&mut command).await
    }

    /// Signals a workflow, with a JSON text as input if there is one.
    pub async fn signal(&self, workflow_id: &str, name: &str, input: Option<&str>) -> anyhow::Result<()> {
        let mut arguments = vec!["workflow", "signal", "--workflow-id", workflow_id, "--name", name];
        arguments.extend(input.map(|input| ["--input", input]).iter().flatten());
        self.cli(&arguments).await.map(|_| ())
    }

    /// The bytes of all files of the server's database. Only a server with the storage `File` has one.
    pub fn database(&self) -> anyhow::Result<Vec<u8>> {
        ensure!(
            self.options.storage == TemporalStorage::File,
            "the server has no database file"
        );
        let mut bytes = Vec::new();
        for entry in std::fs::read_dir(self.install_root.data())? {
            bytes.extend(std::fs::read(entry?.path())?);
        }
        Ok(bytes)
    }

    /// The size of all files of the server's database. Only a server with the storage `File` has one.
    #[expect(clippy::cast_precision_loss, reason = "a database of a test is far below 2^52 bytes")]
    pub(crate) fn database_bytes(&self) -> anyhow::Result<f64> {
        ensure!(
            self.options.storage == TemporalStorage::File,
            "the server has no database file"
        );
        let mut bytes = 0;
        for entry in std::fs::read_dir(self.install_root.data())? {
            bytes += entry?.metadata()?.len();
        }
        Ok(bytes as f64)
    }

    /// The history of a run as JSON; of the newest run if `run_id` is absent.
    pub async fn history(&self, workflow_id: &str, run_id: Option<&str>) -> anyhow::Result<Vec<Value>> {
        #[derive(Deserialize)]
        struct History {
            events: Vec<Value>,
        }
        let mut arguments = vec!["workflow", "show", "--output", "json", "--workflow-id", workflow_id];
        arguments.extend(run_id.map(|run_id| ["--run-id", run_id]).iter().flatten());
        let history = self.cli(&arguments).await?;
        let history: History =
            serde_json::from_str(&history).with_context(|| format!("read the history of {workflow_id}"))?;
        Ok(history.events)
    }

    fn at_port(&self, port: &Port) -> SocketAddrV4 {
        SocketAddrV4::new(self.install_root.address, port.number())
    }

    /// Every namespace exists, and the services behind the frontend answer for each:
    /// history finds no workflow of this id, and matching describes a task queue.
    async fn is_ready(&self) -> anyhow::Result<()> {
        let extra = self.options.namespaces.iter().map(String::as_str);
        for namespace in std::iter::once("default").chain(extra) {
            for (path, expected) in [
                ("", StatusCode::OK),
                ("/workflows/readiness", StatusCode::NOT_FOUND),
                ("/task-queues/readiness", StatusCode::OK),
            ] {
                let url = format!("{}/api/v1/namespaces/{namespace}{path}", self.http_api_url());
                let answer = http_client::shared()?.get(&url).timeout(PROBE_TIMEOUT).send().await;
                let status = answer.with_context(|| format!("ask {url}"))?.status();
                ensure!(status == expected, "{url} answered {status}");
            }
        }
        Ok(())
    }
}

fn launch(program: &Path, install_root: &InstallRoot, ports: &TemporalPorts, options: &TemporalOptions) -> Launch {
    let mut launch = Launch::new("temporal", program)
        .argument("server")
        .argument("start-dev")
        .flag("ip", bind_address(install_root.address))
        .flag("port", ports.grpc.number())
        .flag("http-port", ports.http.number())
        .flag("log-level", "warn");
    launch = match options.ui {
        TemporalUi::Headless => launch.argument("--headless"),
        TemporalUi::Served => launch.flag("ui-port", ports.ui.number()),
    };
    if let Some(port) = &ports.metrics {
        launch = launch.flag("metrics-port", port.number());
    }
    if options.storage == TemporalStorage::File {
        launch = launch.path_flag("db-filename", install_root.data().join(DATABASE));
    }
    for (name, kind) in &options.search_attributes {
        launch = launch.flag("search-attribute", format_args!("{name}={kind}"));
    }
    for namespace in &options.namespaces {
        launch = launch.flag("namespace", namespace);
    }
    let extra = options.dynamic_config.iter().map(String::as_str);
    for pair in DYNAMIC_CONFIG.into_iter().chain(extra) {
        launch = launch.flag("dynamic-config-value", pair);
    }
    launch.in_network(install_root.network.as_deref())
}

/// The server's services connect to each other on the loopback address, so any
/// other address needs a server that binds all addresses.
fn bind_address(address: Ipv4Addr) -> Ipv4Addr {
    if address.is_loopback() {
        address
    } else {
        Ipv4Addr::UNSPECIFIED
    }
}
