//! Steadfast without Kubernetes: Temporal, Redis and our own gateway and workers
//! as child processes, driven by verbs.
//!
//! A test takes a stack, gives it an agent with a script for its model, and
//! talks to it as a client would. Everything dies with the value that holds it.
//! When a test fails, the ends of the logs are printed.

mod agent;
mod cli;
mod client;
mod line;
mod program;
mod programs;
mod python;
mod revision;
mod sse;
mod task;
mod viewer;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

pub use agent::{Agent, AgentSetup};
pub use cli::{Chat, Cli, Printed};
pub use client::{Answer, Client};
pub use line::Line;
pub use program::Program;
pub use programs::Programs;
pub use python::{PythonServer, PythonWorker, example, run_script};
pub use revision::{Revisions, activity_tool};
pub use task::{Task, TurnEnd};
pub use viewer::{Frame, Seen, Viewer};

use crate::port::Port;
use crate::process::Launch;
use crate::redis::Redis;
use crate::site::Site;
use crate::temporal::{Temporal, TemporalOptions};

/// The install id of every stack.
pub const INSTALL: &str = "e2e";
/// The Kubernetes namespace that agents of a stack believe to be in.
pub const NAMESPACE: &str = "default";
/// What workers have as `OPENAI_API_KEY`.
pub const API_KEY: &str = "sk-of-the-test";
/// Longest wait for anything that should happen. Passing is never this slow.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Temporal, Redis and a gateway, and a folder of revisions that is Kubernetes' stand-in.
#[derive(Debug)]
pub struct Stack {
    // Dropped in this order: what uses a service goes before it.
    gateway: Arc<Program>,
    gateway_port: Port,
    redis: Redis,
    temporal: Temporal,
    revisions: Revisions,
    programs: Programs,
}

impl Stack {
    /// With our programs from beside the running test.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(TemporalOptions::default(), Programs::beside_this_test()?).await
    }

    /// The same with a Temporal that keeps its state when killed.
    pub async fn start_durable() -> anyhow::Result<Self> {
        let options = TemporalOptions {
            storage: crate::TemporalStorage::File,
            ..TemporalOptions::default()
        };
        Self::start_with(options, Programs::beside_this_test()?).await
    }

    pub async fn start_with(temporal: TemporalOptions, programs: Programs) -> anyhow::Result<Self> {
        let (temporal, redis) = tokio::try_join!(Temporal::start(temporal), Redis::start())?;
        let revisions = Revisions::new()?;
        let gateway_port = Port::lease()?;
        let admin_port = Port::lease()?;
        let launch = Launch::new("gateway", programs.gateway()?)
            .argument("--insecure-allow-anonymous")
            .flag("listen", format_args!("127.0.0.1:{}", gateway_port.number()))
            .path_flag("revisions", revisions.folder())
            .variable("STEADFAST_INSTALL", INSTALL)
            .variable("STEADFAST_DEFAULT_NAMESPACE", NAMESPACE)
            .variable(
                "STEADFAST_ADMIN_ADDRESS",
                format_args!("127.0.0.1:{}", admin_port.number()),
            )
            .variable("STEADFAST_LOG_FORMAT", "compact")
            .variable("TEMPORAL_ADDRESS", temporal.url())
            .variable("TEMPORAL_NAMESPACE", "default")
            .variable("REDIS_URL", redis.url());
        let gateway = Arc::new(Program::new(launch, admin_port, Site::of_this_process("gateway")?)?);
        gateway.launch().await?;
        Ok(Self {
            gateway,
            gateway_port,
            redis,
            temporal,
            revisions,
            programs,
        })
    }

    pub fn temporal(&self) -> &Temporal {
        &self.temporal
    }

    pub fn redis(&self) -> &Redis {
        &self.redis
    }

    pub fn gateway(&self) -> &Program {
        &self.gateway
    }

    /// `http://127.0.0.1:<port>` of the gateway.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.gateway_port.number())
    }

    /// The command `steadfast`, for this gateway.
    pub fn cli(&self) -> anyhow::Result<Cli> {
        Ok(Cli::new(self.programs.cli()?, self.url()))
    }

    /// Publishes the agent's first revision and starts its workers.
    pub async fn agent(&self, setup: AgentSetup) -> anyhow::Result<Agent> {
        let name = setup.name().to_owned();
        Agent::start(self, setup)
            .await
            .with_context(|| format!("start agent {name:?}"))
    }

    /// A Temporal worker in Python that serves activities for tools.
    pub fn python_worker(&self, script: &std::path::Path, variables: &[(&str, &str)]) -> anyhow::Result<PythonWorker> {
        PythonWorker::start(&self.temporal, script, variables)
    }
}
