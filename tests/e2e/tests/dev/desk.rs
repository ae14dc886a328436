//! A directory with manifests and a state directory, and the command `steadfast`
//! on it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use steadfast_testkit::tools::{self, WheelProgram, workspace};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStderr, Command},
    time::timeout,
};

/// Longer than pip takes to install what a worker in Python needs.
const LINE_TIMEOUT: Duration = Duration::from_mins(3);

pub(crate) struct Desk {
    scratch: TempDir,
}

/// A `steadfast dev` that goes on. It is killed when the value is dropped, but may take a moment to end.
pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    seen: Vec<String>,
}

impl Desk {
    pub(crate) fn empty() -> Self {
        let scratch = TempDir::new().unwrap();
        fs::create_dir(scratch.path().join("agents")).unwrap();
        Self { scratch }
    }

    pub(crate) fn with_example(name: &str) -> Self {
        let desk = Self::empty();
        copy(&workspace::root().join("examples").join(name), &desk.agents());
        desk
    }

    /// The directory of the manifests.
    pub(crate) fn agents(&self) -> PathBuf {
        self.scratch.path().join("agents")
    }

    pub(crate) fn agent_file(&self) -> PathBuf {
        self.agents().join("agent.yaml")
    }

    /// Sends one message, to the end of its turn. Returns standard output and standard error.
    pub(crate) async fn send(&self, message: &str) -> (String, String) {
        let (stdout, stderr, success) = run(self.dev().args(["--message", message])).await;
        assert!(success, "{stdout}\n{stderr}");
        (stdout, stderr)
    }

    /// Runs the Agents without a chat.
    pub(crate) fn start(&self) -> Running {
        let mut child = self.dev().arg("--no-chat").stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Running {
            child,
            lines,
            seen: Vec::new(),
        }
    }

    /// `steadfast test` of the manifests: output, standard error, and whether all passed.
    pub(crate) async fn test(&self, arguments: &[&str]) -> (String, String, bool) {
        let mut command = self.command("test");
        self.add_services(&mut command);
        run(command.arg(self.agents()).args(arguments)).await
    }

    /// The directory for downloads and virtual environments.
    fn cache(&self) -> PathBuf {
        self.scratch.path().join("cache")
    }

    fn state(&self) -> PathBuf {
        self.scratch.path().join("state")
    }

    /// Opens a chat.
    fn dev(&self) -> Command {
        let mut command = self.command("dev");
        self.add_services(&mut command);
        command.arg(self.agents()).arg("--state-dir").arg(self.state());
        command
    }

    /// Kills the worker of an agent, and nothing else. Returns its process id.
    pub(crate) fn kill_worker(&self, agent: &str) -> String {
        let id = self.worker(agent).expect("a worker");
        let killed = std::process::Command::new("kill").args(["-9", &id]).status().unwrap();
        assert!(killed.success());
        id
    }

    /// The process id of the worker of an agent.
    pub(crate) fn worker(&self, agent: &str) -> Option<String> {
        let revisions = self.state().join("revisions");
        let is_worker = |process: &Path| {
            // A process may end just now.
            let read = |file: &str| fs::read(process.join(file)).unwrap_or_default();
            let has = |bytes: &[u8], part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
            let program = fs::read_link(process.join("exe")).unwrap_or_default();
            program.ends_with("steadfast-worker")
                && has(&read("cmdline"), revisions.as_os_str().as_encoded_bytes())
                && has(&read("environ"), format!("STEADFAST_AGENT={agent}\0").as_bytes())
        };
        let mut processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
        let worker = processes.find(|process| is_worker(process))?;
        Some(worker.file_name()?.to_str()?.to_owned())
    }

    fn add_services(&self, command: &mut Command) {
        command
            .arg("--temporal")
            .arg(tools::wheel_program(WheelProgram::Temporal).unwrap())
            .arg("--valkey")
            .arg(tools::redis_server().unwrap())
            .arg("--cache")
            .arg(self.cache());
    }

    /// A command of `steadfast` with the settings of pip, and without keys of models.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(binaries().join("steadfast"));
        command
            .arg(name)
            .env_remove("OPENAI_API_KEY")
            .env_remove("ANTHROPIC_API_KEY")
            .env_remove("GEMINI_API_KEY")
            .current_dir(self.scratch.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }
}

impl Running {
    /// Waits for a line with this text.
    pub(crate) async fn line_with(&mut self, text: &str) -> String {
        loop {
            let next = timeout(LINE_TIMEOUT, self.lines.next_line()).await;
            let Ok(Ok(Some(line))) = next else {
                panic!("no line with {text:?}; the lines are\n{}", self.seen.join("\n"));
            };
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// `kill -9`, and waits until the process is gone: its state can be used again.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// Runs a command to its end.
pub(crate) async fn run(command: &mut Command) -> (String, String, bool) {
    let Output { status, stdout, stderr } = command.output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(stdout), text(stderr), status.success())
}

/// The directory of the programs under test.
fn binaries() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    this.parent().and_then(Path::parent).unwrap().to_owned()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

pub(crate) fn task(status: &str) -> &str {
    status.lines().find_map(|line| line.strip_prefix("task ")).unwrap()
}
