//! The command `steadfast`, as scripts and people use it on a stack's gateway.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};
use tokio::task::JoinHandle;

use super::PATIENCE;
use crate::tools;

/// The command and the gateway it talks to.
#[derive(Clone, Debug)]
pub struct Cli {
    program: PathBuf,
    server: String,
}

/// What one run of the command has left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printed {
    pub stdout: String,
    pub stderr: String,
    pub success: bool,
}

/// A running `steadfast chat`. It is killed when dropped.
#[derive(Debug)]
pub struct Chat {
    child: Child,
    stdin: ChildStdin,
    stdout: Ear,
    stderr: Ear,
    /// How much of the output has been looked at.
    looked_at: usize,
}

/// Listens to what a process says.
#[derive(Debug)]
struct Ear {
    heard: Arc<Mutex<Vec<u8>>>,
    listening: JoinHandle<()>,
}

impl Cli {
    pub(super) fn new(program: PathBuf, server: String) -> Self {
        Self { program, server }
    }

    /// Runs it to its end.
    pub async fn run(&self, arguments: &[&str]) -> anyhow::Result<Printed> {
        let output = alone(&self.program)
            .args(arguments)
            .args(["--server", &self.server])
            .stdin(Stdio::null())
            .output()
            .await
            .with_context(|| format!("run steadfast {}", arguments.join(" ")))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Printed {
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
            success: output.status.success(),
        })
    }

    /// `steadfast chat` between pipes, as in a script.
    pub fn chat(&self, agent: &str) -> anyhow::Result<Chat> {
        Chat::start(alone(&self.program).args(["chat", agent, "--server", &self.server]))
    }

    /// `steadfast chat` at a terminal, where somebody can be asked.
    pub fn chat_at_terminal(&self, agent: &str) -> anyhow::Result<Chat> {
        let chat = format!(r#"exec "$STEADFAST" chat {agent} --no-color --server {}"#, self.server);
        // It gives the program a terminal, and us the other side of it.
        let mut terminal = alone(&tools::installed("script")?);
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
            stdin: child.stdin.take().context("the input of steadfast chat")?,
            stdout: Ear::listen(child.stdout.take().context("the output of steadfast chat")?),
            stderr: Ear::listen(child.stderr.take().context("the errors of steadfast chat")?),
            child,
            looked_at: 0,
        })
    }

    /// Types a line.
    pub async fn say(&mut self, line: &str) -> anyhow::Result<()> {
        let line = format!("{line}\n");
        self.stdin.write_all(line.as_bytes()).await.context("type a line")
    }

    /// Waits until it prints this; gives all it printed since the last wait.
    pub async fn until(&mut self, text: &str) -> anyhow::Result<String> {
        let what = format!("steadfast chat to print {text:?}");
        let from = self.looked_at;
        let shown = crate::wait::until(what, PATIENCE, async || {
            let printed = self.stdout.text();
            let fresh = printed.get(from..).unwrap_or_default();
            let place = fresh
                .find(text)
                .with_context(|| format!("it printed {printed:?} and {:?}", self.stderr.text()))?;
            Ok(fresh[..place + text.len()].to_owned())
        })
        .await?;
        self.looked_at = from + shown.len();
        Ok(shown)
    }

    /// Ends the input, as Ctrl-D does, and waits until the program has ended.
    pub async fn leave(mut self) -> anyhow::Result<Printed> {
        drop(self.stdin);
        let status = tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .context("steadfast chat does not end")?
            .context("wait for steadfast chat")?;
        Ok(Printed {
            stdout: self.stdout.rest().await,
            stderr: self.stderr.rest().await,
            success: status.success(),
        })
    }
}

impl Ear {
    fn listen(mut stream: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let heard: Arc<Mutex<Vec<u8>>> = Arc::default();
        let told = heard.clone();
        let listening = tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                told.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend_from_slice(&buffer[..length]);
            }
        });
        Self { heard, listening }
    }

    fn text(&self) -> String {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&heard).into_owned()
    }

    /// Everything, once the process has closed its end.
    async fn rest(mut self) -> String {
        // What was heard stays, whatever ended the listening.
        let _ = (&mut self.listening).await;
        self.text()
    }
}

/// Nothing is inherited: no kubeconfig, token or proxy of whoever runs the test.
fn alone(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("HOME", "/nonexistent").kill_on_drop(true);
    command
}
