//! The one thread that starts programs.
//!
//! "Die with your parent" means the parent's *thread*: a program started by a
//! test's thread would die when that test ends, one started by a runtime's
//! worker whenever the runtime lets the worker go. This thread lives as long as
//! the process.

use std::io;
use std::process::Command;
use std::sync::{LazyLock, Mutex, mpsc};

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
            // Nobody waits for the answer any more: the program is theirs to find.
            let _ = request.answer.send(spawned);
        }
    });
    Mutex::new(sender)
});

/// Starts a program and gives its id.
pub fn spawn(command: Command) -> anyhow::Result<i32> {
    let shown = command.get_program().to_owned();
    let (answer, answered) = mpsc::channel();
    REQUESTS
        .lock()
        .map_err(|_poisoned| anyhow!("the spawning thread's queue is poisoned"))?
        .send(Request { command, answer })
        .context("hand a program to the spawning thread")?;
    let id = answered
        .recv()
        .context("wait for the spawning thread")?
        .with_context(|| format!("start {}", shown.display()))?;
    i32::try_from(id).context("a process id that fits")
}
