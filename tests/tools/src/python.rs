//! Python environments: the clients that tests drive the system with, LiteLLM's proxy, which is a
//! server between the worker and a model, servers of models, and the agents that the bench compares with ours.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::cache::Cache;
use crate::command::output;
use crate::files;
use crate::{Stage, pins};

const PIN: &str = "requirements.txt";

/// Written last: an environment holds its own path and cannot be renamed when
/// it is whole.
const COMPLETE: &str = ".complete";

/// An environment of its own, with its own pins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PythonEnvironment {
    /// The clients that tests drive the system with.
    Clients,
    /// LiteLLM's proxy.
    LiteLlm,
    /// llama.cpp's server.
    LlamaCpp,
    /// A server that speaks S3.
    S3,
    /// An MCP server on an older SDK.
    McpOlder,
    /// Temporal's SDK with its own plugin for the OpenAI Agents SDK.
    PeerPlugin,
    /// The package that follows that plugin, with streams through the workflow.
    PeerWorkflowStream,
    /// Agentex's own worker.
    PeerAgentex,
}

impl PythonEnvironment {
    /// The agents that the bench compares with ours.
    pub const PEERS: [Self; 3] = [Self::PeerPlugin, Self::PeerWorkflowStream, Self::PeerAgentex];

    /// The directory of the pins.
    const fn name(self) -> &'static str {
        match self {
            Self::Clients => "python",
            Self::LiteLlm => "litellm",
            Self::LlamaCpp => "llama-cpp",
            Self::S3 => "s3",
            Self::McpOlder => "mcp-python-older",
            Self::PeerPlugin => "peer-plugin",
            Self::PeerWorkflowStream => "peer-workflow-stream",
            Self::PeerAgentex => "peer-agentex",
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Clients => "Python environment",
            Self::LiteLlm => "LiteLLM",
            Self::LlamaCpp => "llama.cpp's server",
            Self::S3 => "a server that speaks S3",
            Self::McpOlder => "the MCP server on the older Python SDK",
            Self::PeerPlugin => "Python environment of the plugin",
            Self::PeerWorkflowStream => "Python environment of workflow streams",
            Self::PeerAgentex => "Python environment of Agentex",
        }
    }

    /// The command that installs it.
    const fn installed_by(self) -> &'static str {
        match self {
            Self::Clients | Self::LiteLlm | Self::McpOlder => "cargo xtask tools",
            Self::LlamaCpp | Self::S3 => "cargo xtask tools --model-servers",
            Self::PeerPlugin | Self::PeerWorkflowStream | Self::PeerAgentex => "cargo xtask bench peer",
        }
    }

    /// Whether each pin has a hash.
    const fn has_hashes(self) -> bool {
        matches!(
            self,
            Self::LlamaCpp | Self::PeerPlugin | Self::PeerWorkflowStream | Self::PeerAgentex
        )
    }
}

/// The interpreter of the environment of the clients, once installed.
pub fn python() -> anyhow::Result<PathBuf> {
    python_of(PythonEnvironment::Clients)
}

/// The interpreter of an environment, once installed.
pub fn python_of(environment: PythonEnvironment) -> anyhow::Result<PathBuf> {
    program(environment, "python")
}

/// LiteLLM's program, once installed.
pub fn litellm() -> anyhow::Result<PathBuf> {
    program(PythonEnvironment::LiteLlm, "litellm")
}

/// A program of an environment, once installed.
pub(crate) fn program(environment: PythonEnvironment, name: &str) -> anyhow::Result<PathBuf> {
    let directory = pins::cache_dir(&Cache::open()?, environment.name(), &[PIN])?;
    if !directory.join(COMPLETE).is_file() {
        bail!(
            "{} is not installed yet: run `{}`",
            environment.label(),
            environment.installed_by()
        );
    }
    Ok(directory.join("bin").join(name))
}

pub(crate) fn install(cache: &Cache, environment: PythonEnvironment) -> anyhow::Result<Stage> {
    let directory = pins::cache_dir(cache, environment.name(), &[PIN])?;
    if directory.join(COMPLETE).is_file() {
        return Ok(Stage::already_installed(environment.label()));
    }
    Stage::install(environment.label(), || create(environment, &directory))
}

fn create(environment: PythonEnvironment, directory: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("python3");
    command.args(["-m", "venv", "--clear"]).arg(directory);
    output(&mut command).context("make a Python environment")?;
    let mut command = Command::new(directory.join("bin/python"));
    command.args(["-m", "pip", "install", "--quiet", "--no-deps"]);
    if environment.has_hashes() {
        command.arg("--require-hashes");
    }
    command
        .arg("--requirement")
        .arg(pins::dir(environment.name()).join(PIN));
    output(&mut command).with_context(|| format!("install {} with pip", environment.label()))?;
    files::write(&directory.join(COMPLETE), "")
}
