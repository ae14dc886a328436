//! Python programs: Temporal workers for tools, servers, and scripts that use public
//! clients.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use serde::de::DeserializeOwned;

use crate::{
    http_client,
    install_root::InstallRoot,
    port::{self, Port},
    process::{Launch, Service, output},
    temporal::Temporal,
    tools::{self, PythonEnvironment},
    workspace,
};

const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// A Temporal worker in Python. Temporal queues its activities until it polls, so
/// no test waits for its start.
#[derive(Debug)]
pub struct PythonWorker {
    service: Service,
    _install_root: InstallRoot,
}

impl PythonWorker {
    pub(super) fn start(
        temporal: &Temporal,
        environment: PythonEnvironment,
        script: &Path,
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let install_root = InstallRoot::of_this_process("python-worker")?;
        let launch = Launch::new("python-worker", tools::python_of(environment)?)
            .argument(script.display())
            .variable("TEMPORAL_ADDRESS", temporal.address())
            .variable("TEMPORAL_NAMESPACE", "default")
            .variable("PYTHONUNBUFFERED", "1");
        let launch = variables
            .iter()
            .fold(launch, |launch, (name, value)| launch.variable(name, value));
        let service = Service::new(launch, install_root.lifetime.clone(), &install_root.logs())?;
        service.start()?;
        Ok(Self {
            service,
            _install_root: install_root,
        })
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

/// A server in Python on 127.0.0.1; its only argument is the port.
#[derive(Debug)]
pub struct PythonServer {
    service: Service,
    port: Port,
    _install_root: InstallRoot,
}

impl PythonServer {
    /// Starts the server and waits until it answers.
    pub async fn start(script: &Path) -> anyhow::Result<Self> {
        let install_root = InstallRoot::of_this_process("python-server")?;
        let port = port::lease()?;
        let launch = Launch::new("python-server", tools::python()?)
            .argument(script.display())
            .argument(port.number());
        let service = Service::new(launch, install_root.lifetime.clone(), &install_root.logs())?;
        let server = Self {
            service,
            port,
            _install_root: install_root,
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

/// Runs a script to its end and parses the JSON that it prints.
pub async fn run_script<T: DeserializeOwned>(script: &Path, arguments: &[&str]) -> anyhow::Result<T> {
    let mut command = tokio::process::Command::new(tools::python()?);
    command.arg(script).args(arguments);
    let printed = output(&mut command).await?;
    serde_json::from_str(&printed).with_context(|| format!("read the output of {}: {printed}", script.display()))
}

/// The same for a script of Node.js, which finds the packages of `NODE_CLIENTS`.
pub async fn run_node_script<T: DeserializeOwned>(script: &Path, arguments: &[&str]) -> anyhow::Result<T> {
    let clients = tools::node_clients()?;
    let mut command = tokio::process::Command::new(clients.node);
    command.arg(script).args(arguments).env("NODE_CLIENTS", clients.package);
    let printed = output(&mut command).await?;
    serde_json::from_str(&printed).with_context(|| format!("read the output of {}: {printed}", script.display()))
}

/// A file of the documented examples.
pub fn example(path: &str) -> PathBuf {
    workspace::root().join("examples").join(path)
}
