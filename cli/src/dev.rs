//! `steadfast dev`: runs the Agents of manifests on this machine, without
//! Kubernetes. Temporal, Valkey, the gateway and one worker for each Agent are
//! child processes; this program builds the revisions, watches the files, and
//! opens a chat.
//!
//! Everything durable is in the state directory. The children end with this
//! program, however it ends ([`supervisor`]).

mod child;
mod environment;
mod fleet;
mod programs;
mod services;
mod state_dir;
pub(crate) mod supervisor;

use std::{io::Write as _, process::ExitCode, time::Duration};

use anyhow::{Context as _, bail};
use tokio::time::sleep;

use crate::{args::DevArguments, chat};

use self::{environment::Environment, fleet::Fleet, programs::Programs, services::Services, state_dir::StateDir};

/// The id of this installation, a part of every task queue.
const INSTALL: &str = "dev";
/// How often the files are looked at.
const WATCH_PERIOD: Duration = Duration::from_millis(300);

pub(crate) async fn run(arguments: DevArguments, variables: Vec<(String, String)>) -> anyhow::Result<ExitCode> {
    let state = StateDir::open(&arguments.state_dir, arguments.clean)?;
    let environment = Environment::read(variables, &arguments.env_file)?;
    let mut fleet = Fleet::new(
        arguments.paths.clone(),
        arguments.namespace.clone(),
        environment,
        &state,
    )?;
    fleet.load().await?;
    if fleet.is_empty() {
        bail!("no Agent in these files can be run");
    }
    let agent = fleet.chosen(arguments.agent.as_deref())?;
    let programs = Programs::find(&arguments)?;
    let services = Services::start(&programs, &state, &arguments, &fleet).await?;
    for line in services.addresses() {
        status(&line);
    }
    tokio::select! {
        result = converse(&arguments, &services, &state, &agent) => result,
        result = watch(&mut fleet, &services, &programs, &state) => result,
    }
}

/// Puts saved files to use, until the program ends.
async fn watch(
    fleet: &mut Fleet,
    services: &Services,
    programs: &Programs,
    state: &StateDir,
) -> anyhow::Result<ExitCode> {
    loop {
        sleep(WATCH_PERIOD).await;
        if !fleet.reload().await? {
            continue;
        }
        for agent in fleet.agents() {
            if !services.worker_has(&agent.name, &fleet.variables_of(agent)) {
                services.start_worker(agent, programs, state, fleet)?;
            }
        }
    }
}

/// Chats with the agent; without a chat, waits for Ctrl-C.
async fn converse(
    arguments: &DevArguments,
    services: &Services,
    state: &StateDir,
    agent: &str,
) -> anyhow::Result<ExitCode> {
    if arguments.no_chat {
        tokio::signal::ctrl_c().await.context("wait for Ctrl-C")?;
        return Ok(ExitCode::SUCCESS);
    }
    let known = if arguments.new { None } else { state.task(agent)? };
    let conversation = chat::Local {
        server: services.gateway_url()?,
        agent: agent.to_owned(),
        task: known,
        message: arguments.message.clone(),
        no_color: arguments.no_color,
    };
    chat::run_local(conversation, |task| state.set_task(agent, task)).await
}

/// Prints a line about the development mode, to standard error.
fn status(line: &str) {
    // Without standard error there is nowhere to report this.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
