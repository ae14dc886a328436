//! `steadfast`: talk to agents from a terminal, and decide what they ask.

mod approvals;
mod args;
mod chat;
mod connect;
mod gateway;
mod screen;
mod sse;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use args::{Arguments, Command};
use chat::Outcome;

#[tokio::main]
async fn main() -> ExitCode {
    // The one TLS provider of the process; an error means that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let done = match Arguments::parse().command {
        Command::Chat(arguments) => chat::run(arguments).await,
        Command::Approvals(command) => approvals::run(command).await.map(|()| Outcome::Answered),
    };
    match done {
        Ok(Outcome::Answered) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::FAILURE,
        Err(error) => {
            // Nothing is left to tell it to when standard error is gone.
            let _ = writeln!(std::io::stderr(), "steadfast: {error:#}");
            ExitCode::FAILURE
        }
    }
}
