//! Talks to agents as a user would: with the command `steadfast`, through a
//! kubeconfig.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

/// What `steadfast chat` prints where nobody can be asked.
const DECIDE_WITH: &str = "steadfast approvals approve ";

/// The command, and whose words it says.
#[derive(Debug)]
pub(super) struct Cli {
    pub program: PathBuf,
    /// The user's own when absent.
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's current one when absent.
    pub context: Option<String>,
    pub namespace: &'static str,
    /// Whose token is asked for, where the kubeconfig holds none.
    pub service_account: &'static str,
}

impl Cli {
    /// One message, and the turn that answers it.
    pub(super) async fn chat(&self, agent: &str, message: &str) -> anyhow::Result<()> {
        self.run(&["chat", agent, "--message", message]).await
    }

    /// The same; what is asked in it is listed and approved as somebody else would, elsewhere.
    pub(super) async fn chat_and_approve(&self, agent: &str, message: &str) -> anyhow::Result<()> {
        let mut chat = self.command(&["chat", agent, "--message", message]);
        let mut chat = chat.stdout(Stdio::piped()).spawn().context("start steadfast chat")?;
        let mut printed = chat.stdout.take().context("the output of steadfast chat")?;
        let mut seen = Vec::new();
        let mut approved = false;
        let mut buffer = [0; 4096];
        loop {
            let length = printed
                .read(&mut buffer)
                .await
                .context("read what steadfast chat prints")?;
            if length == 0 {
                break;
            }
            seen.extend_from_slice(&buffer[..length]);
            show(&buffer[..length])?;
            if approved {
                continue;
            }
            let asked = approval_in(&String::from_utf8_lossy(&seen)).map(str::to_owned);
            if let Some(id) = asked {
                show(b"\n$ steadfast approvals list\n")?;
                self.run(&["approvals", "list"]).await?;
                show(format!("$ {DECIDE_WITH}{id}\n").as_bytes())?;
                self.run(&["approvals", "approve", &id]).await?;
                show(b"\n")?;
                approved = true;
            }
        }
        let status = chat.wait().await.context("wait for steadfast chat")?;
        ensure!(status.success(), "the conversation with {agent} failed ({status})");
        ensure!(approved, "the agent {agent} asked for no approval");
        Ok(())
    }

    async fn run(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let status = self
            .command(arguments)
            .status()
            .await
            .with_context(|| format!("start {}", self.program.display()))?;
        ensure!(status.success(), "steadfast {} failed ({status})", arguments.join(" "));
        Ok(())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .args(["--namespace", self.namespace, "--service-account", self.service_account])
            .stdin(Stdio::null())
            .kill_on_drop(true);
        if let Some(context) = &self.context {
            command.args(["--context", context]);
        }
        if let Some(kubeconfig) = &self.kubeconfig {
            command.env("KUBECONFIG", kubeconfig);
        }
        command
    }
}

fn show(text: &[u8]) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text)?;
    Ok(stdout.flush()?)
}

/// The id of the approval that the chat has asked for, once its line is whole.
fn approval_in(printed: &str) -> Option<&str> {
    let (_, rest) = printed.split_once(DECIDE_WITH)?;
    let (line, _) = rest.split_once('\n')?;
    line.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_approval_is_found_once_its_line_is_whole() {
        let printed =
            "approval t.run.1.0.0 is pending; decide it with\n  steadfast approvals approve t.run.1.0.0\n  steadfast";
        assert_eq!(approval_in(printed), Some("t.run.1.0.0"));
        assert_eq!(approval_in("  steadfast approvals approve t.1.0"), None);
        assert_eq!(
            approval_in("steadfast approvals approve t.1 --answer JSON\n"),
            Some("t.1")
        );
    }
}
