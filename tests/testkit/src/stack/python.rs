//! Python beside us: workers for tools, servers, and scripts that use public clients.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde::de::DeserializeOwned;

use crate::http_client;
use crate::port::Port;
use crate::process::{Launch, Service, output};
use crate::site::Site;
use crate::temporal::Temporal;
use crate::{tools, workspace};

const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// A Temporal worker written in Python. Temporal keeps calls for it until it
/// polls, so nobody waits for its start.
#[derive(Debug)]
pub struct PythonWorker {
    service: Service,
    _site: Site,
}

impl PythonWorker {
    pub(super) fn start(temporal: &Temporal, script: &Path, variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        let site = Site::of_this_process("python-worker")?;
        let launch = Launch::new("python-worker", tools::python()?)
            .argument(script.display())
            .variable("TEMPORAL_ADDRESS", temporal.address())
            .variable("TEMPORAL_NAMESPACE", "default")
            .variable("PYTHONUNBUFFERED", "1");
        let launch = variables
            .iter()
            .fold(launch, |launch, (name, value)| launch.variable(name, value));
        let service = Service::new(launch, site.lifetime.clone(), &site.logs())?;
        service.start()?;
        Ok(Self { service, _site: site })
    }

    /// The process and its log.
    pub fn service(&self) -> &Service {
        &self.service
    }
}

impl Drop for PythonWorker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.service.tail());
        }
    }
}

/// A server in Python that listens on the port of 127.0.0.1 that is its one argument.
#[derive(Debug)]
pub struct PythonServer {
    service: Service,
    port: Port,
    _site: Site,
}

impl PythonServer {
    /// Starts it and waits until it answers.
    pub async fn start(script: &Path) -> anyhow::Result<Self> {
        let site = Site::of_this_process("python-server")?;
        let port = Port::lease()?;
        let launch = Launch::new("python-server", tools::python()?)
            .argument(script.display())
            .argument(port.number());
        let service = Service::new(launch, site.lifetime.clone(), &site.logs())?;
        let server = Self {
            service,
            port,
            _site: site,
        };
        server.service.start()?;
        let answers = async || {
            let asked = http_client::shared()?.get(server.url()).send().await;
            asked.map(drop).context("ask the server")
        };
        server.service.ready(READY_TIMEOUT, answers).await?;
        Ok(server)
    }

    /// `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port.number())
    }
}

impl Drop for PythonServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.service.tail());
        }
    }
}

/// Runs a script to its end and reads the JSON it prints.
pub async fn run_script<T: DeserializeOwned>(script: &Path, arguments: &[&str]) -> anyhow::Result<T> {
    let mut command = tokio::process::Command::new(tools::python()?);
    command.arg(script).args(arguments);
    let printed = output(&mut command).await?;
    serde_json::from_str(&printed).with_context(|| format!("read what {} printed: {printed}", script.display()))
}

/// A file of the documented examples.
pub fn example(path: &str) -> PathBuf {
    workspace::root().join("examples").join(path)
}
