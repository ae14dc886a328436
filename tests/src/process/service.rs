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
    running: Mutex<Option<ProcessId>>,
}

impl Service {
    /// Describes it; nothing runs yet. If a process of that name was recorded
    /// and still runs the same launch, it is taken over.
    pub fn new(launch: Launch, lifetime: Lifetime, logs: &Path) -> anyhow::Result<Self> {
        let running = match &lifetime {
            Lifetime::OfThisProcess => None,
            Lifetime::UntilKilled { records } => adopt(&launch, records)?,
        };
        let log = logs.join(format!("{}.log", launch.name));
        Ok(Self {
            launch,
            lifetime,
            log,
            running: Mutex::new(running),
        })
    }

    pub fn name(&self) -> &str {
        &self.launch.name
    }

    pub fn log(&self) -> &Path {
        &self.log
    }

    pub fn is_alive(&self) -> bool {
        self.running().is_some_and(ProcessId::is_alive)
    }

    /// The process, if one was started; it may be dead by now.
    pub fn process(&self) -> Option<ProcessId> {
        *self.running()
    }

    /// Starts the program unless it runs. Says nothing about readiness.
    pub fn start(&self) -> anyhow::Result<()> {
        if self.is_alive() {
            return Ok(());
        }
        if let Some(folder) = self.log.parent() {
            files::make_folder(folder)?;
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
        if let Lifetime::UntilKilled { records } = &self.lifetime {
            write_record(&self.launch, records, process)?;
        }
        *self.running() = Some(process);
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

    fn running(&self) -> MutexGuard<'_, Option<ProcessId>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
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

/// The recorded process, killed first if it runs something else by now.
fn adopt(launch: &Launch, records: &Path) -> anyhow::Result<Option<ProcessId>> {
    let path = records.join(&launch.name);
    let Ok(text) = std::fs::read_to_string(&path) else {
        return Ok(None);
    };
    let mut lines = text.lines();
    let Some(process) = lines.next().and_then(|line| line.parse::<ProcessId>().ok()) else {
        return Ok(None);
    };
    if !process.is_alive() {
        return Ok(None);
    }
    if lines.next() == Some(launch.fingerprint()?.as_str()) {
        return Ok(Some(process));
    }
    tracing::info!("{} is to run differently: restarting it", launch.name);
    process.kill_blocking()?;
    Ok(None)
}
