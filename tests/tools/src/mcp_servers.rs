//! MCP servers on the SDKs of the protocol, each in its newest and in an older version:
//! what the MCP client of the worker is tried against.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::cache::Cache;
use crate::command::output;
use crate::files;
use crate::{Stage, npm, pins, python, workspace};

/// A server on one SDK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum McpReference {
    /// `mcp` 2 of PyPI.
    PythonNewest,
    /// `mcp` 1 of PyPI.
    PythonOlder,
    /// `@modelcontextprotocol/server` of npm.
    TypescriptNewest,
    /// `@modelcontextprotocol/server-everything`, on `@modelcontextprotocol/sdk` 1.20.
    TypescriptOlder,
    /// `github.com/modelcontextprotocol/go-sdk` 1.8.
    GoNewest,
    /// `github.com/modelcontextprotocol/go-sdk` 1.2.
    GoOlder,
}

const GO_PINS: [&str; 3] = ["go.mod", "go.sum", "main.go"];
const PYTHON_PINS: [&str; 1] = ["requirements.txt"];
const NPM_PINS: [&str; 2] = ["package.json", "package-lock.json"];
const NPM_PINS_AND_SERVER: [&str; 3] = ["package.json", "package-lock.json", "server.mjs"];

impl McpReference {
    /// Every server.
    pub const ALL: [Self; 6] = [
        Self::PythonNewest,
        Self::PythonOlder,
        Self::TypescriptNewest,
        Self::TypescriptOlder,
        Self::GoNewest,
        Self::GoOlder,
    ];

    /// The directory with the pins.
    fn name(self) -> &'static str {
        match self {
            Self::PythonNewest => "python",
            Self::PythonOlder => "mcp-python-older",
            Self::TypescriptNewest => "mcp-typescript-newest",
            Self::TypescriptOlder => "mcp-typescript-older",
            Self::GoNewest => "mcp-go-newest",
            Self::GoOlder => "mcp-go-older",
        }
    }

    fn pins(self) -> &'static [&'static str] {
        match self {
            Self::PythonNewest | Self::PythonOlder => &PYTHON_PINS,
            Self::TypescriptNewest => &NPM_PINS_AND_SERVER,
            Self::TypescriptOlder => &NPM_PINS,
            Self::GoNewest | Self::GoOlder => &GO_PINS,
        }
    }

    /// What is there when it is installed.
    fn program(self, directory: &Path) -> PathBuf {
        directory.join(match self {
            Self::PythonNewest | Self::PythonOlder => "bin/python",
            Self::TypescriptNewest => "server.mjs",
            Self::TypescriptOlder => "node_modules/@modelcontextprotocol/server-everything/dist/index.js",
            Self::GoNewest | Self::GoOlder => "server",
        })
    }
}

/// The program of a server with its arguments, once installed. Takes the port as the last argument, and
/// [`McpReference::TypescriptOlder`] in the variable `PORT`.
pub fn mcp_reference(server: McpReference) -> anyhow::Result<Vec<PathBuf>> {
    let directory = pins::cache_dir(&Cache::open()?, server.name(), server.pins())?;
    let program = server.program(&directory);
    if !program.is_file() {
        bail!("the MCP server {server:?} is not installed yet: run `cargo xtask tools`");
    }
    let script = |name: &str| workspace::root().join("tests/e2e/python").join(name);
    Ok(match server {
        McpReference::PythonNewest => vec![program, script("mcp_server.py")],
        McpReference::PythonOlder => vec![program, script("mcp_server_older.py")],
        McpReference::TypescriptNewest | McpReference::TypescriptOlder => vec![npm::fake_model()?.node, program],
        McpReference::GoNewest | McpReference::GoOlder => vec![program],
    })
}

/// Installs a server. The newest of Python is a part of the Python environment.
pub(crate) fn install(cache: &Cache, server: McpReference) -> anyhow::Result<Option<Stage>> {
    let directory = pins::cache_dir(cache, server.name(), server.pins())?;
    let name = format!("MCP server {server:?}");
    match server {
        McpReference::PythonNewest => Ok(None),
        _ if server.program(&directory).is_file() && python::is_complete(server.name(), &directory) => {
            Ok(Some(Stage::already_installed(name)))
        }
        McpReference::PythonOlder => Stage::install(name, || python::create(server.name(), &directory)).map(Some),
        McpReference::TypescriptNewest | McpReference::TypescriptOlder => {
            Stage::install(name, || npm::fetch(server.name(), server.pins(), &directory)).map(Some)
        }
        McpReference::GoNewest | McpReference::GoOlder => {
            Stage::install(name, || build_go(server.name(), &directory)).map(Some)
        }
    }
}

fn build_go(name: &str, directory: &Path) -> anyhow::Result<()> {
    files::create_dir(directory)?;
    let mut command = Command::new("go");
    command
        .current_dir(pins::dir(name))
        .args(["build", "-trimpath", "-ldflags", "-s -w", "-o"])
        .arg(directory.join("server"))
        .arg(".");
    output(&mut command).map(drop).with_context(|| format!("build {name}"))
}
