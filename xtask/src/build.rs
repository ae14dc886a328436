//! Compiles with cargo, and counts what it compiled and what it found compiled.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use steadfast_tools::cargo::Cargo;

/// What cargo did. Its display is for people: `12 crates compiled, 480 cached`.
#[derive(Debug, Default)]
pub(crate) struct Built {
    compiled: usize,
    cached: usize,
    /// The programs, by name.
    executables: BTreeMap<String, PathBuf>,
}

/// A line of cargo's output.
/// Source: <https://doc.rust-lang.org/cargo/reference/external-tools.html#json-messages>
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    fresh: bool,
    executable: Option<PathBuf>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

/// Runs a command of cargo that compiles; its warnings and errors are shown as they come.
pub(crate) fn build(cargo: &Cargo, arguments: &[&str]) -> anyhow::Result<Built> {
    let mut child = cargo
        .command(arguments)
        .arg("--message-format=json-render-diagnostics")
        .stdout(Stdio::piped())
        .spawn()
        .context("start cargo")?;
    let stdout = child.stdout.take().context("the output of cargo")?;
    let mut built = Built::default();
    for line in BufReader::new(stdout).lines() {
        built.add(&line.context("read the output of cargo")?);
    }
    let status = child.wait().context("wait for cargo")?;
    ensure!(status.success(), "`cargo {}` failed ({status})", arguments.join(" "));
    Ok(built)
}

impl Built {
    /// The path of a program that was built.
    pub(crate) fn executable(&self, name: &str) -> anyhow::Result<&PathBuf> {
        let path = self.executables.get(name);
        path.with_context(|| format!("cargo built no program {name}"))
    }

    fn add(&mut self, line: &str) {
        let Ok(message) = serde_json::from_str::<Message>(line) else {
            return;
        };
        if message.reason != "compiler-artifact" {
            return;
        }
        if message.fresh {
            self.cached += 1;
        } else {
            self.compiled += 1;
        }
        if let (Some(path), Some(target)) = (message.executable, message.target) {
            self.executables.insert(target.name, path);
        }
    }
}

impl fmt::Display for Built {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} crates compiled, {} cached", self.compiled, self.cached)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_fresh_was_cached_and_programs_are_found_by_name() {
        let mut built = Built::default();
        for line in [
            r#"{"reason":"compiler-artifact","target":{"name":"serde"},"fresh":true,"executable":null}"#,
            r#"{"reason":"build-script-executed","package_id":"ring"}"#,
            r#"{"reason":"compiler-artifact","target":{"name":"steadfast"},"fresh":false,"executable":"/t/steadfast"}"#,
            "not JSON",
            r#"{"reason":"build-finished","success":true}"#,
        ] {
            built.add(line);
        }
        assert_eq!(built.to_string(), "1 crates compiled, 1 cached");
        assert_eq!(built.executable("steadfast").unwrap(), &PathBuf::from("/t/steadfast"));
        assert!(built.executable("serde").is_err());
    }
}
