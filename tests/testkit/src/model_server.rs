//! Servers of open models, each with a model of its own that wants to know the weather of
//! Oslo from the tool `get_weather`, and then says that it is cold.

use std::{net::SocketAddrV4, time::Duration};

use anyhow::Context as _;

use crate::{
    http_client,
    install_root::InstallRoot,
    port::{self, Port},
    process::{Launch, Service},
    tools::{self, PythonEnvironment},
    workspace,
};

/// Its start imports many modules, on a machine that runs other tests.
const READY_TIMEOUT: Duration = Duration::from_mins(2);

/// One server. It ends when the value is dropped.
#[derive(Debug)]
pub struct ModelServer {
    service: Service,
    port: Port,
    install_root: InstallRoot,
}

impl ModelServer {
    /// llama.cpp's own server.
    pub async fn llama_cpp() -> anyhow::Result<Self> {
        Self::start("llama-cpp", PythonEnvironment::LlamaCpp, "llama_cpp_server.py").await
    }

    async fn start(name: &str, environment: PythonEnvironment, script: &str) -> anyhow::Result<Self> {
        let install_root = InstallRoot::of_this_process(name)?;
        let port = port::lease()?;
        let script = workspace::root().join("tests/e2e/python").join(script);
        let launch = Launch::new(name, tools::python_of(environment)?)
            .argument(script.display())
            .argument(port.number())
            .in_network(install_root.network.as_deref());
        let service = Service::new(launch, install_root.lifetime.clone(), &install_root.logs())?;
        let server = Self {
            service,
            port,
            install_root,
        };
        server.service.start()?;
        let url = format!("{}/health", server.url());
        let answers = async || {
            let asked = http_client::shared()?.get(&url).send().await;
            asked
                .and_then(reqwest::Response::error_for_status)
                .map(drop)
                .context("ask the server of the model for its health")
        };
        server.service.ready(READY_TIMEOUT, answers).await?;
        Ok(server)
    }

    /// The value for an Agent's `model.baseUrl`.
    pub fn base_url(&self) -> String {
        format!("{}/v1", self.url())
    }

    fn url(&self) -> String {
        format!(
            "http://{}",
            SocketAddrV4::new(self.install_root.address, self.port.number())
        )
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.service.tail());
        }
    }
}
