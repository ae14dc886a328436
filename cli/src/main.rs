//! `steadfast`: the command line. Chats with agents and decides approvals through
//! the gateway; it never talks to Temporal or Redis. Checks, runs, tests and imports
//! manifests without a cluster, with the stages of the operator.

mod agents;
mod api;
mod api_keys;
mod approvals;
mod args;
mod chat;
mod columns;
mod connect;
mod dev;
mod import;
mod init;
mod lint;
mod printable;
mod progress;
mod scripts;
mod stdout;
mod tasks;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

use args::{Arguments, Command};

#[tokio::main]
async fn main() -> ExitCode {
    // The one TLS provider of the process. An error means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let result = match Arguments::of_process().command {
        Command::Dev(arguments) => Box::pin(dev::run(arguments, args::environment())).await,
        Command::Init(arguments) => init::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Test(arguments) => Box::pin(scripts::run(arguments, args::environment())).await,
        Command::Import(command) => import::run(command),
        Command::Supervise(arguments) => dev::supervisor::run(arguments).await,
        Command::Supervised(arguments) => dev::supervisor::become_program(&arguments),
        Command::Chat(arguments) => chat::run(arguments).await,
        Command::Approvals(command) => approvals::run(command).await.map(|()| ExitCode::SUCCESS),
        Command::Agents(command) => agents::run(command).await.map(|()| ExitCode::SUCCESS),
        Command::ApiKeys(command) => api_keys::run(command).map(|()| ExitCode::SUCCESS),
        Command::Tasks(command) => tasks::run(command).await,
        Command::Lint(arguments) => lint::run(arguments).await,
        Command::Schema => {
            stdout::print_json(&steadfast_crds::json_schema::manifest_schema()).map(|()| ExitCode::SUCCESS)
        }
        Command::Completions { shell } => {
            stdout::print(&String::from_utf8_lossy(&args::completions(shell))).map(|()| ExitCode::SUCCESS)
        }
        Command::Man(arguments) => args::write_man(&arguments.directory)
            .with_context(|| format!("write the pages to {}", arguments.directory.display()))
            .map(|()| ExitCode::SUCCESS),
        Command::HelpMarkdown { path } => write_help(&path).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        // Without standard error there is nowhere to report this.
        let _ = writeln!(std::io::stderr(), "steadfast: {error:#}");
        ExitCode::FAILURE
    })
}

fn write_help(path: &Path) -> anyhow::Result<()> {
    std::fs::write(path, args::help_markdown()).with_context(|| format!("write {}", path.display()))
}
