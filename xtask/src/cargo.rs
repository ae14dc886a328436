//! Runs cargo from a program that cargo runs, in the one way that shares what is
//! compiled between lints, tests and images.

use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use steadfast_testkit::{
    release::{SET_BY_CARGO, flags_variable, host_triple},
    workspace,
};

/// Cargo as the images are built with, so that both share what is compiled.
pub struct Cargo {
    host: String,
}

impl Cargo {
    pub async fn of_this_machine() -> anyhow::Result<Self> {
        Ok(Self {
            host: host_triple().await?,
        })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("cargo");
        command
            .args(arguments)
            .env("CARGO_BUILD_TARGET", &self.host)
            .env(flags_variable(&self.host), "-C target-feature=+crt-static")
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .current_dir(workspace::root())
            .stdin(Stdio::null());
        for variable in SET_BY_CARGO {
            command.env_remove(variable);
        }
        command
    }

    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<()> {
        run(&mut self.command(arguments))
    }
}

/// Runs a command to its end; its output is ours.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("start {command:?}"))?;
    ensure!(status.success(), "{command:?} failed ({status})");
    Ok(())
}
