//! A fake model API: aimock, which answers from fixtures and keeps a journal of
//! the requests. The journal masks the value of `Authorization`.

use std::{
    net::SocketAddrV4,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::{
    http_client,
    install_root::InstallRoot,
    port::{self, Port},
    process::{Launch, Service},
    tools,
};

const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// How to start a fake model.
#[derive(Clone, Debug)]
pub struct FakeModelOptions {
    /// Fixture files (`*.json`), or directories of them.
    pub fixtures: Vec<PathBuf>,
    /// A free port if absent.
    pub port: Option<u16>,
    /// Pause between two chunks of a stream.
    pub latency_ms: u32,
    /// Characters per chunk.
    pub chunk_size: u32,
}

impl FakeModelOptions {
    pub fn new(fixtures: impl Into<PathBuf>) -> Self {
        Self {
            fixtures: vec![fixtures.into()],
            port: None,
            latency_ms: 0,
            chunk_size: 20,
        }
    }
}

/// One fake model server.
#[derive(Debug)]
pub struct FakeModel {
    service: Service,
    port: Port,
    install_root: InstallRoot,
}

impl FakeModel {
    /// Starts one on a free port of 127.0.0.1, with a file or a directory of
    /// fixtures. It ends when the value is dropped.
    pub async fn start(fixtures: impl Into<PathBuf>) -> anyhow::Result<Self> {
        Self::start_with(FakeModelOptions::new(fixtures)).await
    }

    pub async fn start_with(options: FakeModelOptions) -> anyhow::Result<Self> {
        let port = port::given_or_leased(options.port)?;
        let model = Self::at(InstallRoot::of_this_process("fake-model")?, port, &options)?;
        model.launch().await?;
        Ok(model)
    }

    pub(crate) fn at(install_root: InstallRoot, port: Port, options: &FakeModelOptions) -> anyhow::Result<Self> {
        let tool = tools::fake_model()?;
        let launch = launch(&tool.node, &tool.script, &install_root, port.number(), options);
        let service = Service::new(launch, install_root.lifetime.clone(), &install_root.logs())?;
        Ok(Self {
            service,
            port,
            install_root,
        })
    }

    /// Starts the server unless it runs, and waits until it answers.
    pub(crate) async fn launch(&self) -> anyhow::Result<()> {
        self.service.start()?;
        self.service
            .ready(READY_TIMEOUT, async || self.control_get("health").await.map(drop))
            .await
    }

    /// `http://<address>:<port>`.
    pub fn url(&self) -> String {
        format!(
            "http://{}",
            SocketAddrV4::new(self.install_root.address, self.port.number())
        )
    }

    /// The value for an Agent's `model.baseUrl`: `http://<address>:<port>/v1`.
    pub fn base_url(&self) -> String {
        format!("{}/v1", self.url())
    }

    /// The process and its log.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// The requests so far, oldest first: `path`, `headers`, `body`, `response`.
    pub async fn journal(&self) -> anyhow::Result<Vec<Value>> {
        serde_json::from_value(self.control_get("journal").await?).context("read the journal")
    }

    /// Removes all requests from the journal. The fixtures' sequences continue.
    pub async fn clear_journal(&self) -> anyhow::Result<()> {
        self.control_post("reset/journal", &json!({})).await
    }

    /// Appends fixtures: `[{"match": …, "response": …}]`.
    pub async fn add_fixtures(&self, fixtures: &Value) -> anyhow::Result<()> {
        self.control_post("fixtures", &json!({ "fixtures": fixtures })).await
    }

    /// Answers the next request with this status.
    pub async fn fail_next(&self, status: u16) -> anyhow::Result<()> {
        self.control_post("error", &json!({ "status": status })).await
    }

    /// Restarts the server: journal, sequences and added fixtures are lost.
    pub async fn reset(&self) -> anyhow::Result<()> {
        self.kill().await?;
        self.launch().await
    }

    /// `kill -9`. The port stays reserved; `reset` starts the server again.
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

    async fn control_get(&self, path: &str) -> anyhow::Result<Value> {
        http_client::shared()?
            .get(format!("{}/__aimock/{path}", self.url()))
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .with_context(|| format!("ask the fake model for its {path}"))?
            .json()
            .await
            .with_context(|| format!("read the fake model's {path}"))
    }

    async fn control_post(&self, path: &str, body: &Value) -> anyhow::Result<()> {
        let response = http_client::shared()?
            .post(format!("{}/__aimock/{path}", self.url()))
            .json(body)
            .send()
            .await
            .with_context(|| format!("send {path} to the fake model"))?;
        let status = response.status();
        anyhow::ensure!(
            status.is_success(),
            "the fake model refused {path} ({status}): {}",
            response.text().await.unwrap_or_default()
        );
        Ok(())
    }
}

fn launch(node: &Path, script: &Path, install_root: &InstallRoot, port: u16, options: &FakeModelOptions) -> Launch {
    let launch = Launch::new("fake-model", node)
        .argument(script.display())
        .flag("host", install_root.address)
        .flag("port", port)
        .flag("latency", options.latency_ms)
        .flag("chunk-size", options.chunk_size)
        .flag("journal-max", 0)
        .argument("--validate-on-load")
        .in_network(install_root.network.as_deref());
    options
        .fixtures
        .iter()
        .fold(launch, |launch, fixtures| launch.path_flag("fixtures", fixtures))
}
