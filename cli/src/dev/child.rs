//! A child process: started through the supervisor, started again when it ends,
//! ended when the value is dropped.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::Context as _;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    process::{Child as Process, ChildStdin, Command},
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{state_dir::StateDir, status};

/// The pause before an ended program is started again; it doubles while the program keeps ending.
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Lines of a log that an error quotes.
const QUOTED_LINES: usize = 12;

/// A program with its arguments and variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Launch {
    pub(super) name: String,
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) log: PathBuf,
    /// Locked while the program runs.
    pub(super) lock: PathBuf,
    /// Where the program runs; the directory of this process when absent.
    pub(super) directory: Option<PathBuf>,
}

/// A running program.
#[derive(Debug)]
pub(super) struct Child {
    launch: Launch,
    keeper: JoinHandle<()>,
}

impl Launch {
    /// A program whose log has the name `file`.
    pub(super) fn new(name: impl Into<String>, program: &Path, state: &StateDir, file: &str) -> Self {
        Self {
            name: name.into(),
            program: program.to_owned(),
            arguments: Vec::new(),
            variables: BTreeMap::new(),
            log: state.log(file),
            lock: state.children_lock(),
            directory: None,
        }
    }

    pub(super) fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub(super) fn variable(mut self, name: &str, value: &(impl ToString + ?Sized)) -> Self {
        self.variables.insert(name.to_owned(), value.to_string());
        self
    }

    /// The supervisor, and the pipe whose end it waits for.
    fn spawn(&self) -> anyhow::Result<(Process, ChildStdin)> {
        let mut command = Command::new(own_program()?);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        let mut process = command
            .arg("supervise")
            .arg("--log")
            .arg(&self.log)
            .arg("--lock")
            .arg(&self.lock)
            .arg("--")
            .arg(&self.program)
            .args(&self.arguments)
            .env_clear()
            .envs(&self.variables)
            // The supervisor ends its program when this pipe closes.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Not in the group that Ctrl-C at the terminal reaches; and everything that the program starts is in this one.
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {}", self.name))?;
        // Waiting for the process would close the pipe.
        let pipe = process.stdin.take().context("a process with a pipe")?;
        Ok((process, pipe))
    }
}

impl Child {
    /// Starts the program, and starts it again whenever it ends.
    pub(super) fn start(launch: Launch) -> anyhow::Result<Self> {
        let first = launch.spawn()?;
        let keeper = tokio::spawn(keep(launch.clone(), first));
        Ok(Self { launch, keeper })
    }

    pub(super) fn launch(&self) -> &Launch {
        &self.launch
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Drops the process, whose pipe closes then.
        self.keeper.abort();
    }
}

async fn keep(launch: Launch, first: (Process, ChildStdin)) {
    let (mut process, mut _pipe) = first;
    let mut pause = SHORTEST_PAUSE;
    loop {
        let begin = Instant::now();
        let group = process.id();
        let ended = process.wait().await;
        kill_rest(group);
        let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
        if begin.elapsed() > LONGEST_PAUSE {
            pause = SHORTEST_PAUSE;
        }
        status(&format!(
            "{} ended ({how}) and is started again; its log is {}",
            launch.name,
            // The next start has a new one.
            from_here(&previous_log(&launch.log)).display()
        ));
        loop {
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            match launch.spawn() {
                Ok(next) => {
                    (process, _pipe) = next;
                    break;
                }
                Err(error) => status(&format!("{error:#}")),
            }
        }
    }
}

/// Kills what an ended supervisor has left: with it, the program was not told to end if it was killed itself.
fn kill_rest(group: Option<u32>) {
    if let Some(group) = group.and_then(|id| i32::try_from(id).ok()) {
        // Mostly nobody is left.
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
}

/// This program, also after its file was replaced, as compilers do.
pub(super) fn own_program() -> anyhow::Result<PathBuf> {
    if cfg!(target_os = "linux") {
        Ok(PathBuf::from("/proc/self/exe"))
    } else {
        std::env::current_exe().context("find this program")
    }
}

/// The log of the start before.
pub(super) fn previous_log(log: &Path) -> PathBuf {
    log.with_extension("previous.log")
}

/// A path as people type it: from the present directory, if it is below.
pub(super) fn from_here(path: &Path) -> &Path {
    let below = |directory: PathBuf| path.strip_prefix(directory).ok();
    std::env::current_dir()
        .and_then(std::fs::canonicalize)
        .ok()
        .and_then(below)
        .unwrap_or(path)
}

/// The last lines of a log, for an error.
pub(super) fn end_of_log(path: &Path) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(QUOTED_LINES)..].join("\n")
}
