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
mod local_worker;
mod programs;
mod queues;
mod services;
mod state_dir;
pub(crate) mod supervisor;
mod tool_workers;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::time::sleep;
use url::Url;

use crate::{
    args::{DevArguments, LocalArguments},
    chat,
    progress::during,
};

use self::{
    environment::Environment,
    fleet::Fleet,
    programs::Programs,
    queues::ToolQueue,
    services::Services,
    state_dir::StateDir,
    tool_workers::{OwnWorkers, ToolWorkers},
};

/// The id of this installation, a part of every task queue.
const INSTALL: &str = "dev";
/// How often the files are looked at.
const WATCH_PERIOD: Duration = Duration::from_millis(300);

/// Agents that run on this machine. They end when the value is dropped.
pub(crate) struct Local {
    fleet: Fleet,
    services: Services,
    programs: Programs,
    own_workers: OwnWorkers,
    tool_workers: ToolWorkers,
    state: Arc<StateDir>,
}

/// Where Agents run, and what begins anew.
pub(crate) struct Place<'a> {
    pub(crate) state_dir: &'a Path,
    /// Remove the content of the state directory first.
    pub(crate) clean: bool,
    /// The port of the gateway; a free one when absent.
    pub(crate) port: Option<u16>,
}

impl Local {
    /// Starts everything, and waits until it is ready.
    pub(crate) async fn start(
        paths: Vec<PathBuf>,
        arguments: &LocalArguments,
        variables: Vec<(String, String)>,
        place: Place<'_>,
    ) -> anyhow::Result<Self> {
        let state = Arc::new(StateDir::open(place.state_dir, place.clean)?);
        let environment = Environment::read(variables, &arguments.env_file)?;
        let mut fleet = Fleet::new(paths, arguments, environment, &state)?;
        fleet.load().await?;
        if fleet.is_empty() {
            bail!("no Agent in these files can be run");
        }
        let programs = Programs::find(arguments)?;
        let mut own_workers = OwnWorkers::default();
        own_workers
            .update(&fleet.directories(), &programs.environments, fleet.environment())
            .await;
        let start = Services::start(&programs, &state, place.port, &fleet, &own_workers);
        let services = during("start Temporal, Valkey, the gateway and the workers", start).await?;
        let tool_workers = ToolWorkers::new(
            fleet.directories(),
            fleet.environment().clone(),
            services.temporal(&programs),
            programs.environments.clone(),
            &state,
        );
        Ok(Self {
            fleet,
            services,
            programs,
            own_workers,
            tool_workers,
            state,
        })
    }

    pub(crate) fn gateway_url(&self) -> anyhow::Result<Url> {
        self.services.gateway_url()
    }

    /// The agent with this name, or else the first one of the files.
    pub(crate) fn chosen(&self, name: Option<&str>) -> anyhow::Result<String> {
        self.fleet.chosen(name)
    }

    /// Starts the workers of tools and keeps everything as the files say, while `work` goes on.
    pub(crate) async fn serve<T>(self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        let Self {
            mut fleet,
            services,
            programs,
            mut own_workers,
            mut tool_workers,
            state,
        } = self;
        let queues = Mutex::new(fleet.queues().to_vec());
        let of_tools = || queues.lock().unwrap_or_else(PoisonError::into_inner).clone();
        tokio::select! {
            result = work => result,
            error = watch(&mut fleet, &services, &programs, &state, &mut own_workers, &queues) => Err(error),
            () = tool_workers.watch(of_tools) => bail!("the workers of tools are watched no longer"),
        }
    }
}

pub(crate) async fn run(arguments: DevArguments, variables: Vec<(String, String)>) -> anyhow::Result<ExitCode> {
    let place = Place {
        state_dir: &arguments.state_dir,
        clean: arguments.clean,
        port: arguments.port,
    };
    let local = Local::start(arguments.paths.clone(), &arguments.local, variables, place).await?;
    let agent = local.chosen(arguments.agent.as_deref())?;
    for line in local.services.addresses() {
        status(&line);
    }
    let server = local.gateway_url()?;
    let state = Arc::clone(&local.state);
    Box::pin(local.serve(converse(&arguments, server, &state, &agent))).await
}

/// Puts saved files to use, until an error ends it.
async fn watch(
    fleet: &mut Fleet,
    services: &Services,
    programs: &Programs,
    state: &StateDir,
    own_workers: &mut OwnWorkers,
    queues: &Mutex<Vec<ToolQueue>>,
) -> anyhow::Error {
    loop {
        sleep(WATCH_PERIOD).await;
        if let Err(error) = fleet.reload().await {
            return error;
        }
        let directories = fleet.directories();
        let rebuilt = own_workers
            .update(&directories, &programs.environments, fleet.environment())
            .await;
        *queues.lock().unwrap_or_else(PoisonError::into_inner) = fleet.queues().to_vec();
        for (key, worker) in fleet.workers() {
            let is_current = services.worker_has(&key, &worker.variables);
            let is_rebuilt = worker.agents.iter().any(|agent| rebuilt.contains(agent));
            if (!is_current || is_rebuilt)
                && let Err(error) = services.start_worker(&worker, programs, state, own_workers)
            {
                return error;
            }
        }
    }
}

/// Chats with the agent; without a chat, waits for Ctrl-C.
async fn converse(arguments: &DevArguments, server: Url, state: &StateDir, agent: &str) -> anyhow::Result<ExitCode> {
    if arguments.no_chat {
        tokio::signal::ctrl_c().await.context("wait for Ctrl-C")?;
        return Ok(ExitCode::SUCCESS);
    }
    let known = if arguments.new { None } else { state.task(agent)? };
    let conversation = chat::Local {
        server,
        agent: agent.to_owned(),
        task: known,
        message: arguments.message.clone(),
        no_color: arguments.color.is_off(),
    };
    chat::run_local(conversation, |task| state.set_task(agent, task)).await
}

/// Prints a line about the development mode, to standard error.
fn status(line: &str) {
    // Without standard error there is nowhere to report this.
    let _ = chat::print_beside(line);
}
