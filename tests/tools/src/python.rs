//! Python environments: the clients that tests drive the system with, and LiteLLM's
//! proxy, which is a server between the worker and a model.

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
pub(crate) enum Environment {
    Clients,
    LiteLlm,
    /// An MCP server on an older SDK.
    McpOlder,
}

impl Environment {
    /// The directory of the pins.
    fn name(self) -> &'static str {
        match self {
            Self::Clients => "python",
            Self::LiteLlm => "litellm",
            Self::McpOlder => "mcp-python-older",
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Clients => "Python environment",
            Self::LiteLlm => "LiteLLM",
            Self::McpOlder => "the MCP server on the older Python SDK",
        }
    }
}

/// The interpreter of the environment of the clients, once installed.
pub fn python() -> anyhow::Result<PathBuf> {
    program(Environment::Clients, "python")
}

/// LiteLLM's program, once installed.
pub fn litellm() -> anyhow::Result<PathBuf> {
    program(Environment::LiteLlm, "litellm")
}

/// A program of an environment, once installed.
pub(crate) fn program(environment: Environment, name: &str) -> anyhow::Result<PathBuf> {
    let directory = pins::cache_dir(&Cache::open()?, environment.name(), &[PIN])?;
    if !directory.join(COMPLETE).is_file() {
        bail!("{} is not installed yet: run `cargo xtask tools`", environment.label());
    }
    Ok(directory.join("bin").join(name))
}

pub(crate) fn install(cache: &Cache, environment: Environment) -> anyhow::Result<Stage> {
    let directory = pins::cache_dir(cache, environment.name(), &[PIN])?;
    if directory.join(COMPLETE).is_file() {
        return Ok(Stage::already_installed(environment.label()));
    }
    Stage::install(environment.label(), || create(environment, &directory))
}

fn create(environment: Environment, directory: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("python3");
    command.args(["-m", "venv", "--clear"]).arg(directory);
    output(&mut command).context("make a Python environment")?;
    let mut command = Command::new(directory.join("bin/python"));
    command
        .args(["-m", "pip", "install", "--quiet", "--no-deps", "--requirement"])
        .arg(pins::dir(environment.name()).join(PIN));
    output(&mut command).with_context(|| format!("install {} with pip", environment.label()))?;
    files::write(&directory.join(COMPLETE), "")
}
