//! The members of a workspace and their direct dependencies, as cargo knows them.

use anyhow::Context as _;
use serde::Deserialize;
use steadfast_tools::cargo::Cargo;
use steadfast_tools::command;

#[derive(Debug, Deserialize)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Dependency {
    pub(super) name: String,
    /// `dev`, `build` or nothing.
    pub(super) kind: Option<String>,
}

pub(super) fn list(cargo: &Cargo) -> anyhow::Result<Vec<Member>> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Member>,
    }
    let metadata = ["metadata", "--no-deps", "--locked", "--format-version", "1"];
    let metadata = command::output(&mut cargo.command(&metadata))?;
    let Metadata { packages } = serde_json::from_str(&metadata).context("read cargo's metadata")?;
    Ok(packages)
}
