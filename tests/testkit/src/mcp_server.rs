//! Real MCP servers over streamable HTTP: the reference server, which speaks
//! 2025-11-25 and keeps sessions, and scripts on the Python SDK, which speak
//! 2026-07-28 and keep none.

use std::net::SocketAddrV4;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use crate::http_client;
use crate::port::Port;
use crate::process::{Launch, Service};
use crate::site::Site;
use crate::tools;

const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// One MCP server; gone when dropped.
#[derive(Debug)]
pub struct McpServer {
    service: Service,
    port: Port,
    site: Site,
}

impl McpServer {
    /// `@modelcontextprotocol/server-everything` on a free port of 127.0.0.1.
    pub async fn everything() -> anyhow::Result<Self> {
        let tool = tools::mcp_server()?;
        Self::start("mcp-everything", |port| {
            Launch::new("mcp-everything", &tool.node)
                .argument(tool.script.display())
                .argument("streamableHttp")
                .variable("PORT", port)
        })
        .await
    }

    /// A Python script that serves `/mcp` on the port of 127.0.0.1 that is its one argument.
    pub async fn python(script: &Path) -> anyhow::Result<Self> {
        let python = tools::python()?;
        Self::start("mcp-python", |port| {
            Launch::new("mcp-python", &python)
                .argument(script.display())
                .argument(port)
        })
        .await
    }

    async fn start(name: &str, launch: impl FnOnce(u16) -> Launch) -> anyhow::Result<Self> {
        let site = Site::of_this_process(name)?;
        let port = Port::given_or_leased(None)?;
        let launch = launch(port.number()).in_network(site.network.as_deref());
        let service = Service::new(launch, site.lifetime.clone(), &site.logs())?;
        let server = Self { service, port, site };
        server.launch().await?;
        Ok(server)
    }

    /// Starts it unless it runs, and waits until it answers.
    pub async fn launch(&self) -> anyhow::Result<()> {
        self.service.start()?;
        self.service
            .ready(READY_TIMEOUT, async || {
                // Without a session it refuses, which is an answer.
                let answer = http_client::shared()?.get(self.url()).send().await;
                answer.map(drop).context("ask the MCP server")
            })
            .await
    }

    /// What an AgentTool's `mcp.url` wants: `http://<address>:<port>/mcp`.
    pub fn url(&self) -> String {
        format!(
            "http://{}/mcp",
            SocketAddrV4::new(self.site.address, self.port.number())
        )
    }

    /// The process and its log.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// `kill -9`. Its port stays reserved; `launch` brings it back.
    pub async fn kill(&self) -> anyhow::Result<()> {
        self.service.kill().await
    }
}
