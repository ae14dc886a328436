//! Runs one program and ends it, with everything that it has started, when the
//! starting process ends, even by `kill -9`: the kernel closes the pipe on standard
//! input then. Unlike signals of a parent, this works the same on Linux and macOS.
//!
//! The supervisor may be killed too. What it ran is in its process group, which the
//! starting process kills then; and on Linux the kernel kills the program itself.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::Path,
    process::{ExitCode, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::{Pid, getpgrp, getpid, setpgid},
};
use tokio::{
    process::Command,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
    time::timeout,
};

use super::child::{own_program, previous_log};
use crate::args::{SuperviseArguments, SupervisedArguments};

/// How long a program may take to end after SIGTERM.
const END_TIMEOUT: Duration = Duration::from_secs(8);

/// The exit status of a program that a signal ended is this plus the number of the signal.
const SIGNAL_BASE: i32 = 128;

/// Ends with the program's exit status; when it was told to end, with SIGKILL, after its program.
pub(crate) async fn run(arguments: SuperviseArguments) -> anyhow::Result<ExitCode> {
    let (program, rest) = arguments.command.split_first().context("no program to run")?;
    // Everything in the group is killed at the end: nobody else may be in it.
    if getpgrp() != getpid() {
        setpgid(Pid::from_raw(0), Pid::from_raw(0)).context("make a process group")?;
    }
    let lock = File::create(&arguments.lock).with_context(|| format!("write {}", arguments.lock.display()))?;
    lock.lock_shared()
        .with_context(|| format!("lock {}", arguments.lock.display()))?;
    let log = open(&arguments.log)?;
    let told_to_end = told_to_end()?;
    let mut child = Command::new(own_program()?)
        .arg("supervised")
        .arg("--supervisor")
        .arg(getpid().to_string())
        .arg("--")
        .arg(program)
        .args(rest)
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("share the log")?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("start {}", Path::new(program).display()))?;
    tokio::select! {
        status = child.wait() => {
            let status = status.context("wait for the program")?;
            // As shells report it.
            let code = status.code().or_else(|| Some(SIGNAL_BASE + status.signal()?));
            return Ok(code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from));
        }
        () = parent_ended() => {}
        () = told_to_end => {}
    }
    // This process handles the signal.
    killpg(getpgrp(), Signal::SIGTERM).context("tell the program to end")?;
    if timeout(END_TIMEOUT, child.wait()).await.is_err() {
        child.kill().await.context("kill the program")?;
    }
    // What the program has started and left, and this process.
    killpg(getpgrp(), Signal::SIGKILL).context("kill the rest")?;
    Ok(ExitCode::SUCCESS)
}

/// Becomes the program. On Linux the kernel kills it when the supervisor ends, which lives as long as the thread that
/// has started this process: its main thread.
pub(crate) fn become_program(arguments: &SupervisedArguments) -> anyhow::Result<ExitCode> {
    let (program, rest) = arguments.command.split_first().context("no program to run")?;
    #[cfg(target_os = "linux")]
    {
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).context("end with the supervisor")?;
        // It may have ended before.
        anyhow::ensure!(
            nix::unistd::getppid() == Pid::from_raw(arguments.supervisor),
            "the supervisor has ended"
        );
    }
    let error = std::process::Command::new(program).args(rest).exec();
    Err(error).with_context(|| format!("start {}", Path::new(program).display()))
}

/// Waits for a signal that ends a process. The signals are caught from now on.
fn told_to_end() -> anyhow::Result<impl Future<Output = ()>> {
    let catch = |kind| signal(kind).context("catch signals");
    let mut terminate = catch(SignalKind::terminate())?;
    let mut interrupt = catch(SignalKind::interrupt())?;
    let mut hang_up = catch(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hang_up.recv() => {}
        }
    })
}

/// Waits for the end of standard input. In a thread of its own: a pending read would keep the runtime, and with it this
/// program, from ending when its child has ended.
async fn parent_ended() {
    let (sender, ended) = oneshot::channel();
    std::thread::spawn(move || {
        let mut byte = [0];
        let mut stdin = io::stdin().lock();
        while matches!(stdin.read(&mut byte), Ok(read) if read > 0) {}
        // Nobody waits any more when the program has ended first.
        let _ = sender.send(());
    });
    let _ = ended.await;
}

/// A new log for each start; one would grow without end. The one before says why the program ended.
fn open(path: &Path) -> anyhow::Result<File> {
    if let Err(error) = fs::rename(path, previous_log(path))
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error).with_context(|| format!("rename {}", path.display()));
    }
    File::create(path).with_context(|| format!("write {}", path.display()))
}
