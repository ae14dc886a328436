//! `cargo xtask platform …`: starts, ends and describes a named platform.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub enum Command {}

pub async fn run(command: Command) -> anyhow::Result<()> {
    match command {}
}
