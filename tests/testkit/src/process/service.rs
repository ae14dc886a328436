//! A long-running program, with the verbs that tests and platforms need.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use nix::sys::signal::Signal;

use super::{identity::ProcessId, launch::Launch, lifetime::Lifetime, spawner};
use crate::files;

/// The number of log lines in an error.
const TAIL_LINES: usize = 25;

/// One long-running program.
#[derive(Debug)]
pub struct Service {
    launch: Launch,
    lifetime: Lifetime,
    log: PathBuf,
    /// The process, with `Lifetime::OfThisProcess`.
    child: Mutex<Option<ProcessId>>,
}

impl Service {
    /// Describes the service, with its log in this directory. Starts nothing. With
    /// `Lifetime::UntilKilled`, equal services share one process.
    pub fn new(launch: Launch, lifetime: Lifetime, logs: &Path) -> anyhow::Result<Self> {
        files::create_dir(logs)?;
        let log = logs.join(format!("{}.log", launch.name));
        Ok(Self {
            launch,
            lifetime,
            log,
            child: Mutex::new(None),
        })
    }

    pub fn name(&self) -> &str {
        &self.launch.name
    }

    pub fn log(&self) -> &Path {
        &self.log
    }

    pub fn is_alive(&self) -> bool {
        self.process().is_some_and(ProcessId::is_alive)
    }

    /// The process that was started last, dead or alive.
    pub fn process(&self) -> Option<ProcessId> {
        match &self.lifetime {
            Lifetime::OfThisProcess => *self.child(),
            Lifetime::UntilKilled { records } => read_record(&self.launch, records).map(|(process, _)| process),
        }
    }

    /// Starts the program unless it runs. Kills it first if it runs with another
    /// command line. Does not wait for readiness.
    pub fn start(&self) -> anyhow::Result<()> {
        if let Some(process) = self.process().filter(|process| process.is_alive()) {
            if !self.is_outdated()? {
                return Ok(());
            }
            tracing::info!("the configuration of {} has changed: restarting it", self.name());
            process.kill_blocking()?;
        }
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("open the log {}", self.log.display()))?;
        let mut command = self.launch.command(&self.lifetime)?;
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("share the log file")?)
            .stderr(log);
        let process = ProcessId::of(spawner::spawn(command)?).with_context(|| format!("start {}", self.launch.name))?;
        match &self.lifetime {
            Lifetime::OfThisProcess => *self.child() = Some(process),
            Lifetime::UntilKilled { records } => write_record(&self.launch, records, process)?,
        }
        Ok(())
    }

    /// Waits until `check` succeeds. Fails at once when the program ends. The error
    /// contains the end of the log.
    pub async fn ready<F, Answer>(&self, timeout: Duration, mut check: F) -> anyhow::Result<()>
    where
        F: FnMut() -> Answer,
        Answer: Future<Output = anyhow::Result<()>>,
    {
        let outcome = crate::wait::until(format!("{} to be ready", self.name()), timeout, || {
            let alive = self.is_alive();
            let answer = check();
            async move {
                if alive {
                    answer.await.map(Ok)
                } else {
                    Ok(Err(anyhow!("it ended")))
                }
            }
        })
        .await;
        match outcome {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) | Err(error) => Err(error.context(self.tail())),
        }
    }

    /// `kill -9`. Waits until the process is gone.
    pub async fn kill(&self) -> anyhow::Result<()> {
        let process = self.process();
        match process {
            Some(process) => process.kill().await.with_context(|| format!("kill {}", self.name())),
            None => Ok(()),
        }
    }

    /// SIGTERM, then SIGKILL if the program does not end within `grace`.
    pub async fn stop(&self, grace: Duration) -> anyhow::Result<()> {
        let Some(process) = self.process() else { return Ok(()) };
        process.signal(Signal::SIGTERM)?;
        let ended = crate::wait::until(format!("{} to end", self.name()), grace, async || {
            if process.is_alive() {
                bail!("it still runs")
            }
            Ok(())
        })
        .await;
        if let Err(error) = ended {
            tracing::debug!("{error:#}");
        }
        process.kill().await
    }

    /// SIGSTOP: the program keeps its connections but answers nothing.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// SIGCONT, after `freeze`.
    pub fn thaw(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Sends a signal. Fails if the program does not run.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        match self.process().filter(|process| process.is_alive()) {
            Some(process) => process.signal(signal),
            None => bail!("{} does not run", self.name()),
        }
    }

    /// Whether the recorded process runs with another command line.
    fn is_outdated(&self) -> anyhow::Result<bool> {
        let Lifetime::UntilKilled { records } = &self.lifetime else {
            return Ok(false);
        };
        let fingerprint = self.launch.fingerprint()?;
        Ok(read_record(&self.launch, records).is_some_and(|(_, recorded)| recorded != fingerprint))
    }

    /// The end of the log, for an error message.
    pub(crate) fn tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let shown = lines.split_at(lines.len().saturating_sub(TAIL_LINES)).1.join("\n  ");
        format!(
            "{} failed; its log {} ends:\n  {shown}\n",
            self.name(),
            self.log.display()
        )
    }

    fn child(&self) -> MutexGuard<'_, Option<ProcessId>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let (Lifetime::OfThisProcess, Some(process)) = (&self.lifetime, self.process())
            && let Err(error) = process.kill_blocking()
        {
            tracing::warn!("could not kill {}: {error:#}", self.name());
        }
    }
}

/// A record has two lines: the process id, and the fingerprint of the launch.
fn write_record(launch: &Launch, records: &Path, process: ProcessId) -> anyhow::Result<()> {
    let record = format!("{process}\n{}\n", launch.fingerprint()?);
    files::write(&records.join(&launch.name), &record)
}

/// The recorded process, dead or alive, and the fingerprint of its launch.
fn read_record(launch: &Launch, records: &Path) -> Option<(ProcessId, String)> {
    let text = std::fs::read_to_string(records.join(&launch.name)).ok()?;
    let mut lines = text.lines();
    let process = lines.next()?.parse().ok()?;
    Some((process, lines.next()?.to_owned()))
}
