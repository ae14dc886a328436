//! The file that says how the workers of an example start without a cluster.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use steadfast_crds::yaml;

/// Its place beside the manifests. A directory of its own: manifests are read from one directory only.
pub(super) const FILE: &str = "worker/dev.yaml";

/// The file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Description {
    workers: Vec<ToolWorker>,
}

/// One program.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ToolWorker {
    /// For messages and logs.
    pub(super) name: String,
    /// The task queues that it serves; none for a service that a worker calls.
    #[serde(default)]
    pub(super) serves: BTreeSet<String>,
    /// The Agent whose worker it is, in place of Steadfast's own: a program with built-in tools.
    #[serde(default)]
    pub(super) agent: Option<String>,
    /// A virtual environment of its own.
    #[serde(default)]
    pub(super) python: Option<Python>,
    /// Runs to its end before the program starts, for example a compiler.
    #[serde(default)]
    pub(super) build: Vec<String>,
    /// The program and its arguments. `python` is the one of the virtual environment.
    pub(super) command: Vec<String>,
    /// Files and directories whose change starts the program again; the directory of this file when empty.
    #[serde(default)]
    pub(super) watch: Vec<PathBuf>,
    /// Variables of the program.
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
    /// Variables of the environment or of `.env` that the program gets.
    #[serde(default)]
    pub(super) credentials: Vec<String>,
    /// The directory of the file. The program runs in it.
    #[serde(skip)]
    pub(super) directory: PathBuf,
}

/// What the virtual environment holds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Python {
    /// A requirements file, from the directory of this file.
    pub(super) requirements: PathBuf,
}

impl Description {
    /// The workers of a directory with manifests; none without the file.
    pub(super) fn read(directory: &Path) -> anyhow::Result<Vec<ToolWorker>> {
        let file = directory.join(FILE);
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(error).with_context(|| format!("read {}", file.display())),
        };
        let directory = file.parent().unwrap_or(directory);
        let directory = fs::canonicalize(directory).with_context(|| format!("find {}", directory.display()))?;
        parse(&text, &directory).with_context(|| format!("{}: the workers cannot be read", file.display()))
    }
}

fn parse(text: &str, directory: &Path) -> anyhow::Result<Vec<ToolWorker>> {
    let mut description: Description = yaml::from_str(text)?;
    for worker in &mut description.workers {
        if worker.command.is_empty() {
            bail!("{} has no command", worker.name);
        }
        let is_name = |character: char| character.is_ascii_alphanumeric() || character == '-';
        if worker.name.is_empty() || !worker.name.chars().all(is_name) {
            bail!("{:?} is no name: use letters, digits and -", worker.name);
        }
        directory.clone_into(&mut worker.directory);
    }
    Ok(description.workers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workers_of_all_examples_can_be_read() {
        let examples = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples"));
        let mut served = BTreeSet::new();
        for example in ["weather", "human-in-the-loop", "move-money", "rust-tool"] {
            for worker in Description::read(&examples.join(example)).unwrap() {
                let requirements = worker.python.map(|python| worker.directory.join(python.requirements));
                assert!(requirements.is_none_or(|file| file.is_file()), "{example}");
                served.extend(worker.serves);
            }
        }
        let served: Vec<&str> = served.iter().map(String::as_str).collect();
        assert_eq!(served, ["bank-tools", "purchasing-tools", "weather-tools"]);
        assert_eq!(Description::read(&examples.join("haiku")).unwrap(), []);
    }

    #[test]
    fn all_workers_in_python_pin_the_same_packages() {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        let pins = |file: &str| fs::read_to_string(root.join(file)).unwrap();
        let expected = pins("examples/weather/worker/requirements.txt");
        for file in [
            "examples/human-in-the-loop/worker/requirements.txt",
            "examples/move-money/worker/requirements.txt",
            "cli/templates/python/requirements.txt",
        ] {
            assert!(pins(file) == expected, "{file}");
        }
    }

    #[test]
    fn a_wrong_file_says_what_is_wrong() {
        let error = |text: &str| format!("{:#}", parse(text, Path::new("/")).unwrap_err());
        assert!(error("workers: [{name: a, command: []}]").contains("a has no command"));
        assert!(error("workers: [{name: a/b, command: [x]}]").contains("is no name"));
        assert!(error("workers: [{name: a, run: [x]}]").contains("run"));
    }
}
