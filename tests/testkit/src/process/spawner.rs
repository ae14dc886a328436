//! The thread that spawns all programs.
//!
//! PR_SET_PDEATHSIG refers to the parent *thread*: a program that a test's thread
//! spawns would die when that test ends, and one that a runtime's worker spawns
//! whenever the runtime ends that worker. This thread lives as long as the process.

use std::{
    io,
    process::Command,
    sync::{LazyLock, Mutex, mpsc},
};

use anyhow::{Context as _, anyhow};

struct Request {
    command: Command,
    answer: mpsc::Sender<io::Result<u32>>,
}

static REQUESTS: LazyLock<Mutex<mpsc::Sender<Request>>> = LazyLock::new(|| {
    let (sender, receiver) = mpsc::channel::<Request>();
    std::thread::spawn(move || {
        for mut request in receiver {
            let spawned = request.command.spawn().map(|child| child.id());
            // An error means that the caller no longer waits for the answer.
            let _ = request.answer.send(spawned);
        }
    });
    Mutex::new(sender)
});

/// Spawns a program and returns its process id.
pub(super) fn spawn(command: Command) -> anyhow::Result<i32> {
    let shown = command.get_program().to_owned();
    let (answer, answered) = mpsc::channel();
    REQUESTS
        .lock()
        .map_err(|_poisoned| anyhow!("the spawning thread's queue is poisoned"))?
        .send(Request { command, answer })
        .context("send a program to the spawning thread")?;
    let id = answered
        .recv()
        .context("wait for the spawning thread")?
        .with_context(|| format!("start {}", shown.display()))?;
    i32::try_from(id).context("convert a process id")
}
