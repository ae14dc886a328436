//! MCP servers on the SDKs of the protocol, each in its newest and in an older version:
//! what the MCP client of the worker is tried against.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::cache::Cache;
use crate::cargo::Cargo;
use crate::command::output;
use crate::files;
use crate::{Stage, npm, pins, python, python::PythonEnvironment, workspace};

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
    /// `rmcp` 3 of crates.io.
    RustNewest,
    /// `rmcp` 0.8 of crates.io.
    RustOlder,
}

const GO_PINS: [&str; 3] = ["go.mod", "go.sum", "main.go"];
/// Two packages in one workspace, which share what they compile.
const RUST: &str = "mcp-rust";
const RUST_PINS: [&str; 6] = [
    "Cargo.toml",
    "Cargo.lock",
    "newest/Cargo.toml",
    "newest/main.rs",
    "older/Cargo.toml",
    "older/main.rs",
];
const NPM_PINS: [&str; 2] = ["package.json", "package-lock.json"];
const NPM_PINS_AND_SERVER: [&str; 3] = ["package.json", "package-lock.json", "server.mjs"];

/// How a server comes to be.
enum Source {
    Python(PythonEnvironment),
    /// Pins, and the script among what they install.
    Npm(&'static str, &'static [&'static str], &'static str),
    Go(&'static str),
    /// A program of the workspace of [`RUST`].
    Rust(&'static str),
}

impl McpReference {
    /// Every server.
    pub const ALL: [Self; 8] = [
        Self::PythonNewest,
        Self::PythonOlder,
        Self::TypescriptNewest,
        Self::TypescriptOlder,
        Self::GoNewest,
        Self::GoOlder,
        Self::RustNewest,
        Self::RustOlder,
    ];

    fn source(self) -> Source {
        match self {
            Self::PythonNewest => Source::Python(PythonEnvironment::Clients),
            Self::PythonOlder => Source::Python(PythonEnvironment::McpOlder),
            Self::TypescriptNewest => Source::Npm("mcp-typescript-newest", &NPM_PINS_AND_SERVER, "server.mjs"),
            Self::TypescriptOlder => Source::Npm(
                "mcp-typescript-older",
                &NPM_PINS,
                "node_modules/@modelcontextprotocol/server-everything/dist/index.js",
            ),
            Self::GoNewest => Source::Go("mcp-go-newest"),
            Self::GoOlder => Source::Go("mcp-go-older"),
            Self::RustNewest => Source::Rust("newest"),
            Self::RustOlder => Source::Rust("older"),
        }
    }

    /// The script of a server in Python.
    fn script(self) -> PathBuf {
        let name = match self {
            Self::PythonOlder => "mcp_server_older.py",
            _ => "mcp_server.py",
        };
        workspace::root().join("tests/e2e/python").join(name)
    }
}

/// The program of a server with its arguments, once installed. Takes the port as the last argument, and
/// [`McpReference::TypescriptOlder`] in the variable `PORT`.
pub fn mcp_reference(server: McpReference) -> anyhow::Result<Vec<PathBuf>> {
    let cache = Cache::open()?;
    match server.source() {
        Source::Python(environment) => Ok(vec![python::program(environment, "python")?, server.script()]),
        Source::Npm(name, pins, script) => {
            let script = pins::cache_dir(&cache, name, pins)?.join(script);
            Ok(vec![npm::fake_model()?.node, installed(server, script)?])
        }
        Source::Go(name) => {
            let program = pins::cache_dir(&cache, name, &GO_PINS)?.join("server");
            Ok(vec![installed(server, program)?])
        }
        Source::Rust(name) => {
            let program = pins::cache_dir(&cache, RUST, &RUST_PINS)?.join(name);
            Ok(vec![installed(server, program)?])
        }
    }
}

fn installed(server: McpReference, program: PathBuf) -> anyhow::Result<PathBuf> {
    if !program.is_file() {
        bail!("the MCP server {server:?} is not installed yet: run `cargo xtask tools`");
    }
    Ok(program)
}

/// Installs a server.
pub(crate) fn install(cache: &Cache, server: McpReference) -> anyhow::Result<Stage> {
    let label = format!("MCP server {server:?}");
    match server.source() {
        Source::Python(environment) => python::install(cache, environment),
        Source::Npm(name, pins, script) => {
            let directory = pins::cache_dir(cache, name, pins)?;
            if directory.join(script).is_file() {
                return Ok(Stage::already_installed(label));
            }
            Stage::install(label, || npm::fetch(name, pins, &directory))
        }
        Source::Go(name) => {
            let directory = pins::cache_dir(cache, name, &GO_PINS)?;
            if directory.join("server").is_file() {
                return Ok(Stage::already_installed(label));
            }
            Stage::install(label, || build_go(name, &directory))
        }
        Source::Rust(name) => {
            let directory = pins::cache_dir(cache, RUST, &RUST_PINS)?;
            if directory.join(name).is_file() {
                return Ok(Stage::already_installed(label));
            }
            Stage::install("MCP servers on the Rust SDK", || build_rust(&directory))
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

/// Builds all programs of the workspace with one command.
fn build_rust(directory: &Path) -> anyhow::Result<()> {
    // Under another name until it is whole.
    let unfinished = directory.with_extension("unfinished");
    files::remove_dir(&unfinished)?;
    files::create_dir(&unfinished)?;
    let cargo = Cargo::of_this_machine()?;
    let target = unfinished.join("target");
    let mut command = cargo.command(&["build", "--quiet", "--locked", "--manifest-path"]);
    command
        .arg(pins::dir(RUST).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target);
    output(&mut command).context("build the MCP servers on the Rust SDK")?;
    let built = target.join(cargo.host()).join("debug");
    for program in ["newest", "older"] {
        std::fs::rename(built.join(program), unfinished.join(program)).with_context(|| format!("move {program}"))?;
    }
    files::remove_dir(&target)?;
    std::fs::rename(&unfinished, directory).with_context(|| format!("name {}", directory.display()))
}
