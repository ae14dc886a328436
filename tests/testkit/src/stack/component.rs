//! One of Steadfast's programs as a process.

use std::time::Duration;

use anyhow::Context as _;

use crate::{
    http_client,
    install_root::InstallRoot,
    port::Port,
    process::{Launch, Service},
};

const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// Longer than the program's own drain timeout.
const STOP_GRACE: Duration = Duration::from_secs(20);

/// One gateway or worker. A failing test that drops it prints the end of its log.
#[derive(Debug)]
pub struct Component {
    service: Service,
    admin: Port,
    _install_root: InstallRoot,
}

impl Component {
    pub(super) fn new(launch: Launch, admin: Port, install_root: InstallRoot) -> anyhow::Result<Self> {
        let service = Service::new(launch, install_root.lifetime.clone(), &install_root.logs())?;
        Ok(Self {
            service,
            admin,
            _install_root: install_root,
        })
    }

    /// Starts the program unless it runs, and waits until it is ready.
    pub async fn launch(&self) -> anyhow::Result<()> {
        self.service.start()?;
        self.service
            .ready(READY_TIMEOUT, async || self.admin("readyz").await.map(drop))
            .await
    }

    /// `kill -9`.
    pub async fn kill(&self) -> anyhow::Result<()> {
        self.service.kill().await
    }

    /// `kill -9`, then a new start.
    pub async fn restart(&self) -> anyhow::Result<()> {
        self.kill().await?;
        self.launch().await
    }

    /// SIGTERM, as Kubernetes ends a pod.
    pub async fn stop(&self) -> anyhow::Result<()> {
        self.service.stop(STOP_GRACE).await
    }

    /// The process and its log.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// The response of the admin server to `path`, for instance `metrics`.
    pub async fn admin(&self, path: &str) -> anyhow::Result<String> {
        let response = http_client::shared()?
            .get(format!("http://127.0.0.1:{}/{path}", self.admin.number()))
            .send()
            .await;
        response
            .and_then(reqwest::Response::error_for_status)?
            .text()
            .await
            .context("read the response of the admin server")
    }

    /// Prints the end of the log.
    pub(super) fn print_log(&self) {
        eprintln!("{}", self.service.tail());
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_log();
        }
    }
}
