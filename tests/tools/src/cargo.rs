//! Runs cargo from a program that cargo runs, in the one way that shares
//! compiled crates between checks, tests and images: for the host's triple,
//! linked statically against the host's C library.

use std::process::{Command, Stdio};

use anyhow::Context as _;

use crate::command::{output, run};
use crate::workspace;

/// Variables that a cargo sets for the programs it runs. A cargo started by one of them must not inherit them:
/// build scripts watch some of them (ring's does), and half the tree would be compiled anew.
const SET_BY_CARGO: [&str; 17] = [
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

/// Cargo for this machine's target triple.
#[derive(Clone, Debug)]
pub struct Cargo {
    host: String,
}

impl Cargo {
    /// Asks rustc for the triple.
    pub fn of_this_machine() -> anyhow::Result<Self> {
        let version = output(Command::new("rustc").arg("-vV").current_dir(workspace::root()))?;
        let host = version.lines().find_map(|line| line.strip_prefix("host: "));
        Ok(Self {
            host: host.context("`rustc -vV` names no host")?.to_owned(),
        })
    }

    /// The target triple, and so the name of a directory below cargo's target directory.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// `cargo ARGUMENTS`, in the root of the workspace and without input.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("cargo");
        self.configure(&mut command);
        command
            .args(arguments)
            .current_dir(workspace::root())
            .stdin(Stdio::null());
        command
    }

    /// Gives a program the variables with which the cargo that it starts shares what is compiled.
    pub fn configure(&self, command: &mut Command) {
        command
            .env("CARGO_BUILD_TARGET", &self.host)
            .env(flags_variable(&self.host), "-C target-feature=+crt-static")
            // Either would replace the flags for the target.
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS");
        for variable in SET_BY_CARGO {
            command.env_remove(variable);
        }
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<()> {
        run(&mut self.command(arguments))
    }
}

/// The variable from which cargo takes flags for one target, and not for build scripts.
fn flags_variable(target: &str) -> String {
    format!(
        "CARGO_TARGET_{}_RUSTFLAGS",
        target.to_uppercase().replace(['-', '.'], "_")
    )
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
