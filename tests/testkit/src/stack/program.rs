//! A program of ours as a process: ready when its own probe says so.

use std::time::Duration;

use anyhow::Context as _;

use crate::http_client;
use crate::port::Port;
use crate::process::{Launch, Service};
use crate::site::Site;

const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// Longer than its own drain timeout.
const STOP_GRACE: Duration = Duration::from_secs(20);

/// One gateway or worker. When it is dropped by a failing test, the end of its
/// log is printed.
#[derive(Debug)]
pub struct Program {
    service: Service,
    admin: Port,
    _site: Site,
}

impl Program {
    pub(super) fn new(launch: Launch, admin: Port, site: Site) -> anyhow::Result<Self> {
        let service = Service::new(launch, site.lifetime.clone(), &site.logs())?;
        Ok(Self {
            service,
            admin,
            _site: site,
        })
    }

    /// Starts it unless it runs, and waits until it is ready.
    pub async fn launch(&self) -> anyhow::Result<()> {
        self.service.start()?;
        self.service.ready(READY_TIMEOUT, || self.is_ready()).await
    }

    /// `kill -9`.
    pub async fn kill(&self) -> anyhow::Result<()> {
        self.service.kill().await
    }

    /// `kill -9` and a new start.
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

    /// A metric page, probes: the admin server's answer to `path`.
    pub async fn admin(&self, path: &str) -> anyhow::Result<String> {
        let answer = http_client::shared()?
            .get(format!("http://127.0.0.1:{}/{path}", self.admin.number()))
            .send()
            .await;
        answer
            .and_then(reqwest::Response::error_for_status)?
            .text()
            .await
            .context("read the admin server's answer")
    }

    /// Prints the end of its log.
    pub(super) fn show_log(&self) {
        eprintln!("{}", self.service.tail());
    }

    async fn is_ready(&self) -> anyhow::Result<()> {
        self.admin("readyz").await.map(drop)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_log();
        }
    }
}
