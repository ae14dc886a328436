//! The workers of tools: programs of the user that serve task queues. A file in
//! the directory of the manifests says how each starts without a cluster. They
//! are started, shown, and started again when their files change; a tool that
//! nobody serves is named.

mod description;
mod files;
mod output;
mod own;
mod preparation;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use serde_json::Value;
use tokio::{
    process::Command,
    time::{Instant, sleep},
};

use self::{
    description::{Description, FILE, ToolWorker},
    files::Fingerprint,
    output::Follower,
};
use super::{
    child::{Child, Launch, from_here},
    environment::Environment,
    queues::ToolQueue,
    state_dir::StateDir,
    status,
};

pub(super) use self::own::OwnWorkers;

/// From the start until a task queue without a poller is named, and between two looks.
const POLLER_TIMEOUT: Duration = Duration::from_secs(5);
/// How often files are looked at.
const WATCH_PERIOD: Duration = Duration::from_millis(300);

/// Where Temporal is, for the workers and for looking at task queues.
#[derive(Clone, Debug)]
pub(super) struct TemporalAt {
    pub(super) program: PathBuf,
    pub(super) address: String,
    pub(super) namespace: &'static str,
}

/// The workers that the directories describe.
#[derive(Debug)]
pub(super) struct ToolWorkers {
    directories: Vec<PathBuf>,
    environment: Environment,
    temporal: TemporalAt,
    state: Places,
    running: BTreeMap<String, Running>,
    /// Task queues that were named as not served.
    unserved: BTreeSet<String>,
}

/// The places that workers need.
#[derive(Clone, Debug)]
struct Places {
    environments: PathBuf,
    logs: PathBuf,
    lock: PathBuf,
}

/// A worker with what it was started from.
#[derive(Debug)]
struct Running {
    worker: ToolWorker,
    fingerprint: Fingerprint,
    credentials: Vec<Option<String>>,
    /// Absent if it could not be prepared; it is tried again when a file changes.
    _process: Option<(Child, Follower)>,
}

impl ToolWorkers {
    pub(super) fn new(
        directories: Vec<PathBuf>,
        environment: Environment,
        temporal: TemporalAt,
        environments: PathBuf,
        state: &StateDir,
    ) -> Self {
        Self {
            directories,
            environment,
            temporal,
            state: Places {
                environments,
                logs: state.logs(),
                lock: state.children_lock(),
            },
            running: BTreeMap::new(),
            unserved: BTreeSet::new(),
        }
    }

    /// Starts workers that are new or changed, and ends those that are described no longer. Does not wait until they
    /// serve: a call waits in the task queue.
    /// Returns whether one was started.
    async fn update(&mut self) -> bool {
        // What is wrong with `.env` is told by the watch of the manifests.
        let _ = self.environment.reload();
        let mut started = false;
        let mut described = BTreeMap::new();
        for directory in &self.directories {
            match Description::read(directory) {
                Ok(workers) => {
                    let of_tools = workers.into_iter().filter(|worker| worker.agent.is_none());
                    described.extend(of_tools.map(|worker| (worker.name.clone(), worker)));
                }
                // The workers of the last good file go on.
                Err(error) => {
                    status_once(&format!("{error:#}"), &mut self.unserved);
                    return false;
                }
            }
        }
        self.running.retain(|name, _| described.contains_key(name));
        for (name, worker) in described {
            let fingerprint = Fingerprint::of(&worker);
            let credentials = self.credentials_of(&worker);
            let is_same = self.running.get(&name).is_some_and(|running| {
                running.worker == worker && running.fingerprint == fingerprint && running.credentials == credentials
            });
            if is_same {
                continue;
            }
            if self.running.remove(&name).is_some() {
                status(&format!("{name}: changed, starts again"));
            }
            let process = match self.start(&worker).await {
                Ok(process) => Some(process),
                Err(error) => {
                    status(&format!("{name}: {error:#}"));
                    None
                }
            };
            let running = Running {
                worker,
                fingerprint,
                credentials,
                _process: process,
            };
            self.running.insert(name, running);
            started = true;
        }
        started
    }

    fn credentials_of(&self, worker: &ToolWorker) -> Vec<Option<String>> {
        let values = worker.credentials.iter().map(|name| self.environment.get(name));
        values.map(|value| value.map(str::to_owned)).collect()
    }

    async fn start(&self, worker: &ToolWorker) -> anyhow::Result<(Child, Follower)> {
        let prepared = preparation::prepare(worker, &self.state.environments, &self.environment).await?;
        let log = self.state.logs.join(format!("tool-{}.log", worker.name));
        let mut variables = self.environment.passed_on();
        variables.extend(worker.env.clone());
        for name in &worker.credentials {
            let value = self
                .environment
                .get(name)
                .with_context(|| format!("the variable {name} is not set in the environment or in .env"))?;
            variables.insert(name.clone(), value.to_owned());
        }
        variables.insert("TEMPORAL_ADDRESS".to_owned(), self.temporal.address.clone());
        variables.insert("TEMPORAL_NAMESPACE".to_owned(), self.temporal.namespace.to_owned());
        // Otherwise Python keeps its output until it ends.
        variables.insert("PYTHONUNBUFFERED".to_owned(), "1".to_owned());
        variables.insert("PYTHONDONTWRITEBYTECODE".to_owned(), "1".to_owned());
        if let Some(packages) = &prepared.packages {
            variables.insert("PYTHONPATH".to_owned(), packages.display().to_string());
        }
        if let Some(path) = prepared.path_with(self.environment.get("PATH")) {
            variables.insert("PATH".to_owned(), path);
        }
        let launch = Launch {
            name: worker.name.clone(),
            program: prepared.program,
            arguments: prepared.arguments,
            variables,
            log: log.clone(),
            lock: self.state.lock.clone(),
            directory: Some(worker.directory.clone()),
        };
        // What the last start printed is not shown again.
        if let Err(error) = fs::remove_file(&log)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error).with_context(|| format!("remove {}", log.display()));
        }
        let follower = Follower::start(&worker.name, log);
        Ok((Child::start(launch)?, follower))
    }

    /// Keeps the workers up to date, and names tools that nobody serves, for ever.
    pub(super) async fn watch(&mut self, queues: impl Fn() -> Vec<ToolQueue>) {
        let mut look_at = Instant::now() + POLLER_TIMEOUT;
        loop {
            if self.update().await {
                look_at = Instant::now() + POLLER_TIMEOUT;
            }
            if Instant::now() >= look_at {
                self.name_unserved(&queues()).await;
                look_at = Instant::now() + POLLER_TIMEOUT;
            }
            sleep(WATCH_PERIOD).await;
        }
    }

    async fn name_unserved(&mut self, queues: &[ToolQueue]) {
        for ToolQueue { tool, queue } in queues {
            match self.temporal.has_poller(queue).await {
                Ok(true) => {
                    if self.unserved.remove(queue) {
                        status(&format!("{tool}: the task queue {queue} is served now"));
                    }
                }
                Ok(false) => {
                    if self.unserved.insert(queue.clone()) {
                        status(&format!(
                            "{tool}: nobody serves the task queue {queue}, so calls wait. {}",
                            self.advice(queue)
                        ));
                    }
                }
                // Temporal may be starting again.
                Err(_) => {}
            }
        }
    }

    /// The command that would serve a task queue.
    fn advice(&self, queue: &str) -> String {
        let TemporalAt { address, namespace, .. } = &self.temporal;
        let settings = format!("TEMPORAL_ADDRESS={address} TEMPORAL_NAMESPACE={namespace}");
        let known = self
            .running
            .values()
            .find(|running| running.worker.serves.contains(queue));
        if let Some(running) = known {
            let ToolWorker {
                name,
                directory,
                command,
                ..
            } = &running.worker;
            let log = self.state.logs.join(format!("tool-{name}.log"));
            return format!(
                "Its worker {name} does not: see {}, or run it yourself: cd {} && {settings} {}",
                from_here(&log).display(),
                directory.display(),
                command.join(" ")
            );
        }
        let directory = self.directories.first().map_or(Path::new("."), PathBuf::as_path);
        format!(
            "Start its worker with `{settings} COMMAND`, or describe it in {}",
            directory.join(FILE).display()
        )
    }
}

impl TemporalAt {
    async fn has_poller(&self, queue: &str) -> anyhow::Result<bool> {
        let output = Command::new(&self.program)
            .args(["task-queue", "describe", "--output", "json"])
            .args(["--address", &self.address, "--namespace", self.namespace])
            .args(["--task-queue", queue])
            .env_clear()
            .kill_on_drop(true)
            .output()
            .await
            .context("look at a task queue")?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let description: Value = serde_json::from_slice(&output.stdout).context("read the pollers of a task queue")?;
        Ok(has_poller(&description))
    }
}

/// Whether `temporal task-queue describe` lists a poller of any type.
fn has_poller(description: &Value) -> bool {
    description["pollers"]
        .as_array()
        .is_some_and(|pollers| !pollers.is_empty())
}

/// Prints a line unless it was printed before.
fn status_once(line: &str, printed: &mut BTreeSet<String>) {
    if printed.insert(line.to_owned()) {
        status(line);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_task_queue_is_served_if_somebody_polls_it() {
        assert!(has_poller(
            &json!({"pollers": [{"identity": "1@here", "taskQueueType": "activity"}]})
        ));
        assert!(!has_poller(&json!({"pollers": []})));
        assert!(!has_poller(&json!({})));
    }
}
