//! Real MCP servers over streamable HTTP: the reference server (protocol
//! 2025-11-25, with sessions) and scripts that use the Python SDK (protocol
//! 2026-07-28, without sessions).

use std::{net::SocketAddrV4, path::Path, time::Duration};

use anyhow::Context as _;

use crate::{
    http_client,
    install_root::InstallRoot,
    port::{self, Port},
    process::{Launch, Service},
    tools,
};

const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// One MCP server. It ends when the value is dropped.
#[derive(Debug)]
pub struct McpServer {
    service: Service,
    port: Port,
    install_root: InstallRoot,
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

    /// A Python script that serves `/mcp` on 127.0.0.1; its only argument is the port.
    pub async fn python(script: &Path) -> anyhow::Result<Self> {
        let python = tools::python()?;
        Self::start("mcp-python", |port| {
            Launch::new("mcp-python", &python)
                .argument(script.display())
                .argument(port)
        })
        .await
    }

    /// A server on one of the SDKs.
    pub async fn reference(server: tools::McpReference) -> anyhow::Result<Self> {
        let command = tools::mcp_reference(server)?;
        let (program, arguments) = command.split_first().context("the server has no program")?;
        let name = format!("mcp-{server:?}").to_lowercase();
        Self::start(&name, |port| {
            let launch = Launch::new(&name, program).variable("PORT", port);
            let launch = arguments
                .iter()
                .fold(launch, |launch, argument| launch.argument(argument.display()));
            match server {
                tools::McpReference::TypescriptOlder => launch.argument("streamableHttp"),
                _ => launch.argument(port),
            }
        })
        .await
    }

    async fn start(name: &str, launch: impl FnOnce(u16) -> Launch) -> anyhow::Result<Self> {
        let install_root = InstallRoot::of_this_process(name)?;
        let port = port::given_or_leased(None)?;
        let launch = launch(port.number()).in_network(install_root.network.as_deref());
        let service = Service::new(launch, install_root.lifetime.clone(), &install_root.logs())?;
        let server = Self {
            service,
            port,
            install_root,
        };
        server.launch().await?;
        Ok(server)
    }

    /// Starts the server unless it runs, and waits until it answers.
    pub async fn launch(&self) -> anyhow::Result<()> {
        self.service.start()?;
        self.service
            .ready(READY_TIMEOUT, async || {
                // The server refuses a request without a session, which is an answer.
                let answer = http_client::shared()?.get(self.url()).send().await;
                answer.map(drop).context("ask the MCP server")
            })
            .await
    }

    /// The value for an AgentTool's `mcp.url`: `http://<address>:<port>/mcp`.
    pub fn url(&self) -> String {
        format!(
            "http://{}/mcp",
            SocketAddrV4::new(self.install_root.address, self.port.number())
        )
    }

    /// The process and its log.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// `kill -9`. The port stays reserved; `launch` starts the server again.
    pub async fn kill(&self) -> anyhow::Result<()> {
        self.service.kill().await
    }
}
