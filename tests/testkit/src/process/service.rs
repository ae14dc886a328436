//! A long-running program with the verbs that tests and platforms use on it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use nix::sys::signal::Signal;

use crate::files;

use super::{Launch, ProcessId, spawner};

/// How many of the last lines of a log an error shows.
const TAIL_LINES: usize = 25;

/// How long a service lives.
#[derive(Clone, Debug)]
pub enum Lifetime {
    /// As long as the value that holds it, and never longer than this process.
    OfThisProcess,
    /// Until someone kills it, whichever process that is; who it is stands in
    /// this folder, in a file with the launch's name.
    UntilKilled { records: PathBuf },
}

/// One program that is meant to run.
#[derive(Debug)]
pub struct Service {
    launch: Launch,
    lifetime: Lifetime,
    log: PathBuf,
    /// The process, of a service of this process.
    own: Mutex<Option<ProcessId>>,
}

impl Service {
    /// Describes it, with a log in this folder; nothing is started. Whoever
    /// describes the same service of a platform speaks of the same process.
    pub fn new(launch: Launch, lifetime: Lifetime, logs: &Path) -> anyhow::Result<Self> {
        files::make_folder(logs)?;
        let log = logs.join(format!("{}.log", launch.name));
        Ok(Self {
            launch,
            lifetime,
            log,
            own: Mutex::new(None),
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

    /// The process, if one was started; it may be dead by now.
    pub fn process(&self) -> Option<ProcessId> {
        match &self.lifetime {
            Lifetime::OfThisProcess => *self.own(),
            Lifetime::UntilKilled { records } => read_record(&self.launch, records).map(|(process, _)| process),
        }
    }

    /// Starts the program unless it runs; one that runs with other arguments is
    /// killed first. Says nothing about readiness.
    pub fn start(&self) -> anyhow::Result<()> {
        if let Some(process) = self.process().filter(|process| process.is_alive()) {
            if !self.is_outdated()? {
                return Ok(());
            }
            tracing::info!("{} is to run differently: restarting it", self.name());
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
            Lifetime::OfThisProcess => *self.own() = Some(process),
            Lifetime::UntilKilled { records } => write_record(&self.launch, records, process)?,
        }
        Ok(())
    }

    /// Waits for the program's own sign of readiness; gives up at once when the
    /// program ends. The error holds the end of its log.
    pub async fn ready<F, Answer>(&self, timeout: Duration, mut sign: F) -> anyhow::Result<()>
    where
        F: FnMut() -> Answer,
        Answer: Future<Output = anyhow::Result<()>>,
    {
        let outcome = crate::wait::until(format!("{} to be ready", self.name()), timeout, || {
            let alive = self.is_alive();
            let answer = sign();
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

    /// `kill -9`, and waits until it is gone.
    pub async fn kill(&self) -> anyhow::Result<()> {
        let process = self.process();
        match process {
            Some(process) => process.kill().await.with_context(|| format!("kill {}", self.name())),
            None => Ok(()),
        }
    }

    /// SIGTERM, and SIGKILL if that does not end it within `grace`.
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

    /// SIGSTOP: it keeps its connections and answers nothing.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// SIGCONT.
    pub fn thaw(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGCONT)
    }

    /// Sends a signal; an error when the program does not run.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        match self.process().filter(|process| process.is_alive()) {
            Some(process) => process.signal(signal),
            None => bail!("{} does not run", self.name()),
        }
    }

    /// True when the recorded process was started in another way than this one
    /// would be.
    fn is_outdated(&self) -> anyhow::Result<bool> {
        let Lifetime::UntilKilled { records } = &self.lifetime else {
            return Ok(false);
        };
        let fingerprint = self.launch.fingerprint()?;
        Ok(read_record(&self.launch, records).is_some_and(|(_, recorded)| recorded != fingerprint))
    }

    /// The end of the log, as a sentence for an error.
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

    fn own(&self) -> MutexGuard<'_, Option<ProcessId>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let (Lifetime::OfThisProcess, Some(process)) = (&self.lifetime, self.process())
            && let Err(error) = process.kill_blocking()
        {
            tracing::warn!("could not end {}: {error:#}", self.name());
        }
    }
}

/// A record is two lines: the process, and the fingerprint of what it runs.
fn write_record(launch: &Launch, records: &Path, process: ProcessId) -> anyhow::Result<()> {
    let record = format!("{process}\n{}\n", launch.fingerprint()?);
    files::write(&records.join(&launch.name), &record)
}

/// The recorded process, dead or alive, and the fingerprint of what it runs.
fn read_record(launch: &Launch, records: &Path) -> Option<(ProcessId, String)> {
    let text = std::fs::read_to_string(records.join(&launch.name)).ok()?;
    let mut lines = text.lines();
    let process = lines.next()?.parse().ok()?;
    Some((process, lines.next()?.to_owned()))
}
