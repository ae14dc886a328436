//! `steadfast dev`: Agents from files, without Kubernetes, with the real Temporal
//! and Redis.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use steadfast_testkit::tools::{self, WheelProgram, workspace};
use tempfile::TempDir;
use tokio::process::Command;

/// A copy of an example, and a state directory.
struct Desk {
    scratch: TempDir,
}

impl Desk {
    fn with_example(name: &str) -> Self {
        let scratch = TempDir::new().unwrap();
        copy(
            &workspace::root().join("examples").join(name),
            &scratch.path().join("agents"),
        );
        Self { scratch }
    }

    fn agent_file(&self) -> PathBuf {
        self.scratch.path().join("agents/agent.yaml")
    }

    /// Sends one message, to the end of its turn.
    async fn send(&self, message: &str) -> (String, String) {
        let output = self.command(&["--message", message]).output().await.unwrap();
        let Output { status, stdout, stderr } = output;
        let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
        assert!(status.success(), "{stdout}\n{stderr}");
        (stdout, stderr)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let binaries = std::env::current_exe().unwrap();
        let binaries = binaries.parent().and_then(Path::parent).unwrap();
        let mut command = Command::new(binaries.join("steadfast"));
        command
            .arg("dev")
            .arg(self.scratch.path().join("agents"))
            .arg("--state-dir")
            .arg(self.scratch.path().join("state"))
            .arg("--temporal")
            .arg(tools::wheel_program(WheelProgram::Temporal).unwrap())
            .arg("--valkey")
            .arg(tools::redis_server().unwrap())
            .args(arguments)
            .env_clear()
            .env("HOME", "/nonexistent")
            .current_dir(self.scratch.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

fn task(status: &str) -> &str {
    status.lines().find_map(|line| line.strip_prefix("task ")).unwrap()
}

#[tokio::test]
async fn a_conversation_without_kubernetes_goes_on_with_the_next_start_and_the_edited_agent() {
    let desk = Desk::with_example("haiku");
    let (answer, first) = desk.send("A haiku about rain, please.").await;
    assert!(answer.starts_with("haiku: The pod disappears;\n"), "{answer}");
    assert!(
        first.contains("a stand-in answers in place of gpt-5-mini, because OPENAI_API_KEY is not set"),
        "{first}"
    );
    assert!(first.contains("haiku: revision 1\n"), "{first}");

    let agent = std::fs::read_to_string(desk.agent_file()).unwrap();
    std::fs::write(desk.agent_file(), agent.replace("gpt-5-mini", "gpt-5-nano")).unwrap();
    let (_, second) = desk.send("And one about snow.").await;
    assert!(second.contains("haiku: revision 2\n"), "{second}");
    assert_eq!(task(&second), task(&first));

    // An Agent with an error goes on as it was.
    std::fs::write(desk.agent_file(), format!("{agent}  modelName: x\n")).unwrap();
    let (_, third) = desk.send("And one about the sun.").await;
    assert!(
        third.contains("UnknownField: unknown field \"spec.modelName\""),
        "{third}"
    );
    assert!(!third.contains("revision 3"), "{third}");
}
