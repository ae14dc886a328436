//! Builds programs that run with nothing else in their image: linked
//! statically against the host's C library.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use tokio::process::Command;

use crate::process::output;
use crate::workspace;

/// How much the compiler shall optimise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Quick to build; for tests and the demo.
    #[default]
    Ci,
    /// What users run.
    Release,
}

impl Profile {
    /// Cargo's name for it, and that of its output folder.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ci => "ci",
            Self::Release => "release",
        }
    }
}

/// What a cargo sets for the programs it runs. A cargo started by one of them must not inherit it:
/// build scripts watch some of these (ring's does), and half the tree would be compiled anew.
pub const SET_BY_CARGO: [&str; 17] = [
    "CARGO",
    "CARGO_BIN_NAME",
    "CARGO_CRATE_NAME",
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_LINKS",
    "CARGO_MANIFEST_PATH",
    "CARGO_PKG_AUTHORS",
    "CARGO_PKG_DESCRIPTION",
    "CARGO_PKG_HOMEPAGE",
    "CARGO_PKG_NAME",
    "CARGO_PKG_REPOSITORY",
    "CARGO_PKG_VERSION",
    "CARGO_PKG_VERSION_MAJOR",
    "CARGO_PKG_VERSION_MINOR",
    "CARGO_PKG_VERSION_PATCH",
    "CARGO_PKG_VERSION_PRE",
    "OUT_DIR",
];

/// Builds the programs of these packages; returns the folder they are in.
pub async fn build(profile: Profile, packages: &[String]) -> anyhow::Result<PathBuf> {
    let host = host_triple().await?;
    let mut command = Command::new("cargo");
    command
        .args([
            "build",
            "--locked",
            "--quiet",
            "--bins",
            "--profile",
            profile.name(),
            "--target",
            &host,
        ])
        .args(packages.iter().flat_map(|package| ["--package", package.as_str()]))
        .env(flags_variable(&host), "-C target-feature=+crt-static")
        // Either would replace the flags for the target.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .current_dir(workspace::root())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    for variable in SET_BY_CARGO {
        command.env_remove(variable);
    }
    let status = command.status().await.context("start cargo")?;
    ensure!(status.success(), "building {} failed ({status})", packages.join(", "));
    Ok(target_folder().await?.join(host).join(profile.name()))
}

/// This machine's target triple, as rustc says it.
pub async fn host_triple() -> anyhow::Result<String> {
    let version = output(Command::new("rustc").arg("-vV").current_dir(workspace::root())).await?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}

/// The variable with which cargo takes flags for one target, and not for build scripts.
pub fn flags_variable(target: &str) -> String {
    format!(
        "CARGO_TARGET_{}_RUSTFLAGS",
        target.to_uppercase().replace(['-', '.'], "_")
    )
}

async fn target_folder() -> anyhow::Result<PathBuf> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_set_for_the_target_alone() {
        assert_eq!(
            flags_variable("x86_64-unknown-linux-gnu"),
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS"
        );
    }
}
