//! Runs one program and ends it when the starting process ends, even by
//! `kill -9`: the kernel closes the pipe on standard input then. Unlike signals of
//! a parent, this works the same on Linux and macOS.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::Path,
    process::{ExitCode, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{process::Command, sync::oneshot, time::timeout};

use crate::args::SuperviseArguments;

/// How long a program may take to end after SIGTERM.
const END_TIMEOUT: Duration = Duration::from_secs(8);

/// The exit status of a program that a signal ended is this plus the number of the signal.
const SIGNAL_BASE: i32 = 128;

/// Ends with the program's exit status, or with success when it was told to end.
pub(crate) async fn run(arguments: SuperviseArguments) -> anyhow::Result<ExitCode> {
    let (program, rest) = arguments.command.split_first().context("no program to run")?;
    let lock = File::create(&arguments.lock).with_context(|| format!("write {}", arguments.lock.display()))?;
    lock.lock_shared()
        .with_context(|| format!("lock {}", arguments.lock.display()))?;
    let log = open(&arguments.log)?;
    let mut command = std::process::Command::new(program);
    command
        .args(rest)
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("share the log")?)
        .stderr(log)
        // Ctrl-C at the terminal goes to the foreground group: this program ends its child in order.
        .process_group(0);
    let mut child = Command::from(command)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("start {}", Path::new(program).display()))?;
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    tokio::select! {
        status = child.wait() => {
            let status = status.context("wait for the program")?;
            // As shells report it.
            let code = status.code().or_else(|| Some(SIGNAL_BASE + status.signal()?));
            return Ok(code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from));
        }
        () = parent_ended() => {}
    }
    if let Some(pid) = pid {
        // The program may have ended by itself just now.
        let _ = kill(pid, Signal::SIGTERM);
    }
    if timeout(END_TIMEOUT, child.wait()).await.is_err() {
        child.kill().await.context("kill the program")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits for the end of standard input. In a thread of its own: a pending read would keep the runtime, and with it this
/// program, from ending when its child has ended.
async fn parent_ended() {
    let (sender, ended) = oneshot::channel();
    std::thread::spawn(move || {
        let mut byte = [0];
        let mut stdin = std::io::stdin().lock();
        while matches!(stdin.read(&mut byte), Ok(read) if read > 0) {}
        // Nobody waits any more when the program has ended first.
        let _ = sender.send(());
    });
    let _ = ended.await;
}

/// A new log for each start; the last one would grow without end.
fn open(path: &Path) -> anyhow::Result<File> {
    let mut log = File::create(path).with_context(|| format!("write {}", path.display()))?;
    log.flush().context("write the log")?;
    Ok(log)
}
