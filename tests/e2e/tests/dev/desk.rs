//! A directory with manifests and a state directory, and the command `steadfast`
//! on it.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, symlink},
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

use super::processes::{self, Process};

/// Longer than pip takes to install what a worker in Python needs.
const LINE_TIMEOUT: Duration = Duration::from_mins(3);

pub(crate) struct Desk {
    scratch: TempDir,
    /// The directory of the manifests, from the scratch directory.
    agents: PathBuf,
}

/// A `steadfast dev` that goes on. It is killed when the value is dropped, but may take a moment to end.
pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    seen: Vec<String>,
}

impl Desk {
    pub(crate) fn empty() -> Self {
        Self::with_directory("agents")
    }

    pub(crate) fn with_example(name: &str) -> Self {
        let desk = Self::empty();
        copy(&workspace::root().join("examples").join(name), &desk.agents());
        desk
    }

    /// With an example where a checkout has it.
    pub(crate) fn in_checkout(name: &str) -> Self {
        let example = Path::new("examples").join(name);
        let desk = Self::with_directory(&example);
        copy(&workspace::root().join(example), &desk.agents());
        desk
    }

    fn with_directory(agents: impl Into<PathBuf>) -> Self {
        let scratch = TempDir::new().unwrap();
        let desk = Self {
            scratch,
            agents: agents.into(),
        };
        fs::create_dir_all(desk.agents()).unwrap();
        desk
    }

    /// The directory of the manifests.
    pub(crate) fn agents(&self) -> PathBuf {
        self.scratch.path().join(&self.agents)
    }

    /// Replaces a part of the Agent, as an editor does.
    pub(crate) fn edit_agent(&self, part: &str, replacement: &str) {
        let text = fs::read_to_string(self.agent_file()).unwrap();
        assert!(text.contains(part), "{text}");
        fs::write(self.agent_file(), text.replace(part, replacement)).unwrap();
    }

    /// Describes the workers of tools, in place of those of the example.
    pub(crate) fn describe_workers(&self, description: &str) {
        fs::create_dir_all(self.agents().join("worker")).unwrap();
        fs::write(self.agents().join("worker/dev.yaml"), description).unwrap();
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

    /// The same to another Agent than the first one.
    pub(crate) async fn send_to(&self, agent: &str, message: &str) -> String {
        let (stdout, stderr, success) = run(self.dev().args(["--agent", agent, "--message", message])).await;
        assert!(success, "{stdout}\n{stderr}");
        stdout
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

    /// Where `steadfast dev` has its state by default.
    pub(crate) fn state(&self) -> PathBuf {
        self.scratch.path().join(".steadfast")
    }

    /// Opens a chat.
    fn dev(&self) -> Command {
        let mut command = self.command("dev");
        self.add_services(&mut command);
        command.arg(self.agents()).arg("--state-dir").arg(self.state());
        command
    }

    /// Kills the worker of an agent, and nothing else. Returns its process id.
    pub(crate) fn kill_worker(&self, agent: &str) -> u32 {
        let id = self.worker(agent).expect("a worker");
        processes::kill([id]);
        id
    }

    /// The process id of the worker of an agent.
    pub(crate) fn worker(&self, agent: &str) -> Option<u32> {
        let mut workers = self.workers().into_iter();
        Some(
            workers
                .find(|process| process.has_variable("STEADFAST_AGENT", agent))?
                .id,
        )
    }

    /// All worker processes.
    pub(crate) fn workers(&self) -> Vec<Process> {
        let mut processes = processes::with_argument_below(&self.state());
        processes.retain(|process| process.program.ends_with("steadfast-worker"));
        processes
    }

    /// The process id of the supervisor whose program has this log.
    pub(crate) fn supervisor(&self, log: &str) -> Option<u32> {
        let log = self.state().join("logs").join(log);
        let mut processes = processes::with_argument_below(&log).into_iter();
        Some(processes.find(Process::is_supervisor)?.id)
    }

    /// The process ids of all supervisors.
    pub(crate) fn supervisors(&self) -> Vec<u32> {
        let processes = processes::with_argument_below(&self.state()).into_iter();
        processes
            .filter(Process::is_supervisor)
            .map(|process| process.id)
            .collect()
    }

    /// The process ids of all programs that are supervised.
    pub(crate) fn programs(&self) -> Vec<u32> {
        self.supervisors().into_iter().flat_map(processes::children).collect()
    }

    /// A shell for a person at a terminal, with `steadfast`, `cargo xtask`, Temporal and Valkey on PATH.
    pub(crate) fn shell(&self) -> Command {
        let bin = self.scratch.path().join("bin");
        fs::create_dir(&bin).unwrap();
        for (name, program) in [
            ("steadfast", binaries().join("steadfast")),
            ("temporal", tools::wheel_program(WheelProgram::Temporal).unwrap()),
            ("valkey-server", tools::redis_server().unwrap()),
        ] {
            symlink(program, bin.join(name)).unwrap();
        }
        // The alias in `.cargo/config.toml`; xtask is compiled already.
        let cargo = bin.join("cargo");
        let xtask = binaries().join("xtask");
        assert!(xtask.is_file(), "{} is missing", xtask.display());
        fs::write(&cargo, format!("#!/bin/sh\nshift\nexec {} \"$@\"\n", xtask.display())).unwrap();
        fs::set_permissions(&cargo, Permissions::from_mode(0o755)).unwrap();
        let mut shell = Command::new("sh");
        shell
            // Bash, because every `sh` says something else when Ctrl-C ends a program. Whoever starts the tests in the
            // background ignores Ctrl-C, and its children inherit that.
            .args([
                "-c",
                "PATH=\"$0:$PATH\" exec env --default-signal setsid --ctty bash --norc --noprofile --noediting -i",
            ])
            .arg(&bin)
            .env("STEADFAST_CACHE", self.cache())
            .env("STEADFAST_PROGRAMS", binaries())
            .env("TERM", "xterm-256color")
            .env("LANG", "C.UTF-8")
            .env("PS1", "$ ")
            .env("HISTFILE", "/dev/null")
            .env_remove("NO_COLOR");
        self.at_the_desk(&mut shell);
        shell
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
        self.at_the_desk(command.arg(name).stdin(Stdio::null()));
        command
    }

    fn at_the_desk(&self, command: &mut Command) {
        command
            .env_remove("OPENAI_API_KEY")
            .env_remove("ANTHROPIC_API_KEY")
            .env_remove("GEMINI_API_KEY")
            .current_dir(self.scratch.path())
            .kill_on_drop(true);
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

    /// The process id of `steadfast dev`.
    pub(crate) fn id(&self) -> u32 {
        self.child.id().unwrap()
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
