//! Builds programs that run in an empty image: statically linked with the host's
//! C library.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use steadfast_tools::cargo::Cargo;
use tokio::process::Command;

use crate::{process::output, workspace};

/// The cargo profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Quick to build, for tests and the demo.
    #[default]
    Ci,
    /// Optimised, for users.
    Release,
}

impl Profile {
    /// Cargo's name of the profile and of its output directory.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ci => "ci",
            Self::Release => "release",
        }
    }
}

/// Builds the programs of these packages and returns their directory.
pub async fn build(profile: Profile, packages: &[String]) -> anyhow::Result<PathBuf> {
    let cargo = Cargo::of_this_machine()?;
    let arguments = ["build", "--locked", "--bins", "--profile", profile.name()];
    let mut command = Command::from(cargo.command(&arguments));
    command
        .args(packages.iter().flat_map(|package| ["--package", package.as_str()]))
        .kill_on_drop(true);
    let status = command.status().await.context("start cargo")?;
    ensure!(status.success(), "building {} failed ({status})", packages.join(", "));
    Ok(target_dir().await?.join(cargo.host()).join(profile.name()))
}

async fn target_dir() -> anyhow::Result<PathBuf> {
    #[derive(Deserialize)]
    struct Metadata {
        target_directory: PathBuf,
    }
    let mut command = Command::new("cargo");
    command
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(workspace::root());
    let metadata: Metadata = serde_json::from_str(&output(&mut command).await?).context("read cargo's metadata")?;
    Ok(metadata.target_directory)
}
