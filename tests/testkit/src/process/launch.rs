//! The command line of a program, as a value that one pure function per program builds.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt::Display,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;
use serde::Serialize;

use super::lifetime::Lifetime;
use crate::{args::Environment, hash};

/// A program with its arguments and environment. It inherits only `PATH` and `HOME`.
#[derive(Clone, Debug, Serialize)]
pub struct Launch {
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
    network: Option<PathBuf>,
    memory_bytes: Option<u64>,
    /// The contents of the configuration files that the program reads at its start.
    inputs: Vec<String>,
}

impl Launch {
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            network: None,
            memory_bytes: None,
            inputs: Vec::new(),
        }
    }

    /// One argument, unchanged.
    #[must_use]
    pub fn argument(mut self, argument: impl Display) -> Self {
        self.arguments.push(argument.to_string());
        self
    }

    /// `--<name>=<value>`, in the form that Go's flag libraries accept.
    #[must_use]
    pub fn flag(self, name: &str, value: impl Display) -> Self {
        self.argument(format!("--{name}={value}"))
    }

    /// `--<name>=<path>`.
    #[must_use]
    pub fn path_flag(self, name: &str, path: impl AsRef<Path>) -> Self {
        self.flag(name, path.as_ref().display())
    }

    #[must_use]
    pub fn variable(mut self, name: &str, value: impl Display) -> Self {
        self.environment.insert(name.to_owned(), value.to_string());
        self
    }

    /// Adds the content of a configuration file to the fingerprint, so that a
    /// change of it restarts the program.
    #[must_use]
    pub fn input(mut self, content: impl Into<String>) -> Self {
        self.inputs.push(content.into());
        self
    }

    /// Runs the program in the network namespace of this file.
    #[must_use]
    pub fn in_network(mut self, namespace: Option<&Path>) -> Self {
        self.network = namespace.map(Path::to_path_buf);
        self
    }

    /// Limits the memory that the program can ask for: with more, an allocation fails and the
    /// program ends.
    #[must_use]
    pub fn memory_limit(mut self, bytes: Option<u64>) -> Self {
        self.memory_bytes = bytes;
        self
    }

    /// A hash of everything above.
    pub(crate) fn fingerprint(&self) -> anyhow::Result<String> {
        let text = serde_json::to_vec(self).context("write a launch as JSON")?;
        Ok(hash::sha256_hex([text.as_slice()]))
    }

    /// The command, with wrappers that each exec the next one, so that the child's
    /// process id is the program's.
    pub(crate) fn command(&self, lifetime: &Lifetime) -> anyhow::Result<Command> {
        let environment = Environment::read()?;
        let mut words: Vec<OsString> = match lifetime {
            // The kernel kills the program when the thread that spawned it ends.
            Lifetime::OfThisProcess => words(&["setpriv", "--pdeathsig", "KILL", "--"]),
            // In its own session, the program gets no signals from the terminal.
            Lifetime::UntilKilled { .. } => words(&["setsid"]),
        };
        if let Some(network) = &self.network {
            words.push("nsenter".into());
            words.push(format!("--net={}", network.display()).into());
            words.push("--".into());
        }
        if let Some(bytes) = self.memory_bytes {
            words.push("prlimit".into());
            words.push(format!("--data={bytes}").into());
            words.push("--".into());
        }
        words.push(self.program.clone().into());
        words.extend(self.arguments.iter().map(OsString::from));

        let mut words = words.into_iter();
        let first = words.next().context("an empty command line")?;
        let search_path = std::env::join_paths(environment.search_path()).context("join the search path")?;
        let mut command = Command::new(find(&first, &environment)?);
        command
            .args(words)
            .env_clear()
            .env("PATH", search_path)
            .env("HOME", environment.home())
            .env("LANG", "C.UTF-8")
            .envs(&self.environment);
        Ok(command)
    }
}

/// Runs a program to its end and returns its standard output. The error of a
/// failed program contains its output.
pub(crate) async fn output(command: &mut tokio::process::Command) -> anyhow::Result<String> {
    let shown = format!("{:?}", command.as_std());
    let output = command
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("start {shown}"))?;
    steadfast_tools::command::stdout(&shown, &output)
}

fn find(program: &OsString, environment: &Environment) -> anyhow::Result<PathBuf> {
    environment
        .search_path()
        .into_iter()
        .map(|dir| dir.join(program))
        .find(|path| path.is_file())
        .with_context(|| format!("{} is not installed", program.display()))
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}
