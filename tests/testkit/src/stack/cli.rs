//! The program `steadfast`, run against a stack's gateway as scripts and people run it.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context as _;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStdin, Command},
    task::JoinHandle,
};

use super::TIMEOUT;
use crate::tools;

/// The program and the gateway that it talks to.
#[derive(Clone, Debug)]
pub struct Cli {
    program: PathBuf,
    server: String,
}

/// The output of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandOutput {
    pub stdout: String,
    pub stderr: String,
    pub success: bool,
}

/// A running `steadfast chat`. It is killed when the value is dropped.
#[derive(Debug)]
pub struct Chat {
    child: Child,
    stdin: ChildStdin,
    stdout: OutputReader,
    stderr: OutputReader,
    /// The length of the output that `until` has returned.
    consumed: usize,
}

/// Collects an output stream of a process in the background.
#[derive(Debug)]
struct OutputReader {
    collected: Arc<Mutex<Vec<u8>>>,
    task: JoinHandle<()>,
}

impl Cli {
    pub(super) fn new(program: PathBuf, server: String) -> Self {
        Self { program, server }
    }

    /// Runs the program to its end.
    pub async fn run(&self, arguments: &[&str]) -> anyhow::Result<CommandOutput> {
        let output = isolated(&self.program)
            .args(arguments)
            .args(["--server", &self.server])
            .stdin(Stdio::null())
            .output()
            .await
            .with_context(|| format!("run steadfast {}", arguments.join(" ")))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(CommandOutput {
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
            success: output.status.success(),
        })
    }

    /// `steadfast chat` with pipes, as in a script.
    pub fn chat(&self, agent: &str) -> anyhow::Result<Chat> {
        Chat::start(isolated(&self.program).args(["chat", agent, "--server", &self.server]))
    }

    /// `steadfast chat` at a terminal, where it can prompt.
    pub fn chat_at_terminal(&self, agent: &str) -> anyhow::Result<Chat> {
        let chat = format!(r#"exec "$STEADFAST" chat {agent} --no-color --server {}"#, self.server);
        // `script` gives the program a pseudo-terminal, connected to our pipes.
        let mut terminal = isolated(&tools::installed("script")?);
        Chat::start(
            terminal
                .args(["--quiet", "--return", "--command", &chat, "/dev/null"])
                .env("STEADFAST", &self.program),
        )
    }
}

impl Chat {
    fn start(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("start steadfast chat")?;
        Ok(Self {
            stdin: child.stdin.take().context("open the input of steadfast chat")?,
            stdout: OutputReader::start(child.stdout.take().context("open the output of steadfast chat")?),
            stderr: OutputReader::start(child.stderr.take().context("open the error output of steadfast chat")?),
            child,
            consumed: 0,
        })
    }

    /// Sends a line to its input.
    pub async fn send_line(&mut self, line: &str) -> anyhow::Result<()> {
        let line = format!("{line}\n");
        self.stdin.write_all(line.as_bytes()).await.context("send a line")
    }

    /// Waits until it has printed this text, and returns everything that it has
    /// printed since the last call.
    pub async fn until(&mut self, text: &str) -> anyhow::Result<String> {
        let what = format!("steadfast chat to print {text:?}");
        let from = self.consumed;
        let printed = crate::wait::until(what, TIMEOUT, async || {
            let output = self.stdout.text();
            let fresh = output.get(from..).unwrap_or_default();
            let start = fresh
                .find(text)
                .with_context(|| format!("it printed {output:?} and {:?}", self.stderr.text()))?;
            Ok(fresh[..start + text.len()].to_owned())
        })
        .await?;
        self.consumed = from + printed.len();
        Ok(printed)
    }

    /// Closes its input, as Ctrl-D does, and waits until the program has ended.
    pub async fn close(mut self) -> anyhow::Result<CommandOutput> {
        drop(self.stdin);
        let status = tokio::time::timeout(TIMEOUT, self.child.wait())
            .await
            .context("gave up waiting for steadfast chat to end")?
            .context("wait for steadfast chat")?;
        Ok(CommandOutput {
            stdout: self.stdout.finish().await,
            stderr: self.stderr.finish().await,
            success: status.success(),
        })
    }
}

impl OutputReader {
    fn start(mut stream: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let collected: Arc<Mutex<Vec<u8>>> = Arc::default();
        let sink = collected.clone();
        let task = tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                sink.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend_from_slice(&buffer[..length]);
            }
        });
        Self { collected, task }
    }

    fn text(&self) -> String {
        let collected = self.collected.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&collected).into_owned()
    }

    /// The whole output, when the process has closed the stream.
    async fn finish(mut self) -> String {
        // The collected text is valid however the task has ended.
        let _ = (&mut self.task).await;
        self.text()
    }
}

/// A command that inherits no kubeconfig, token or proxy from the caller's environment.
fn isolated(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("HOME", "/nonexistent").kill_on_drop(true);
    command
}
