//! An MCP server on the Rust SDK over streamable HTTP, with two tools: `older PORT` serves http://127.0.0.1:PORT/mcp.

use std::net::Ipv4Addr;

use axum::Router;
use rmcp::{
    Json, ServerHandler,
    handler::server::{router::tool::ToolRouter, wrapper::Parameters},
    model::{ServerCapabilities, ServerInfo},
    schemars, tool, tool_handler, tool_router,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
    },
};
use tokio::net::TcpListener;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Echo {
    #[schemars(description = "what to repeat")]
    text: String,
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Summands {
    a: i64,
    b: i64,
}

#[derive(serde::Serialize, schemars::JsonSchema)]
struct Sum {
    sum: i64,
}

#[derive(Clone)]
struct Server {
    tool_router: ToolRouter<Self>,
}

#[tool_router]
impl Server {
    #[tool(description = "Repeats a text.")]
    fn echo(&self, Parameters(Echo { text }): Parameters<Echo>) -> String {
        text
    }

    #[tool(description = "Adds two numbers.")]
    fn sum(&self, Parameters(Summands { a, b }): Parameters<Summands>) -> Json<Sum> {
        Json(Sum { sum: a + b })
    }
}

#[tool_handler]
impl ServerHandler for Server {
    fn get_info(&self) -> ServerInfo {
        ServerInfo {
            capabilities: ServerCapabilities::builder().enable_tools().build(),
            ..Default::default()
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok());
    let address = (Ipv4Addr::LOCALHOST, port.expect("usage: older PORT"));
    let service: StreamableHttpService<Server, LocalSessionManager> = StreamableHttpService::new(
        || {
            let tool_router = Server::tool_router();
            Ok(Server { tool_router })
        },
        Default::default(),
        StreamableHttpServerConfig::default(),
    );
    let listener = TcpListener::bind(address).await?;
    axum::serve(listener, Router::new().nest_service("/mcp", service)).await
}
