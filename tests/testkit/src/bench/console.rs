//! What the console costs a browser. The end-to-end suite has the browser, so one of its tests measures, and leaves its
//! report where the command finds it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use steadfast_tools::cargo::Cargo;
use tokio::process::Command;

use crate::{release::Profile, workspace};

const TEST: &str = "console_bench::measure";
/// Where the newest report that counts is kept.
const RECORDED: &str = "docs/benchmarks/console.json";

/// Where the test writes its report.
pub fn report_path() -> PathBuf {
    workspace::root().join("target/benchmarks/console.json")
}

/// Measures with programs that are compiled in this profile and built already. The second value is an error where the
/// page has not held a promise.
pub async fn run(profile: Profile) -> anyhow::Result<(Value, anyhow::Result<()>)> {
    let path = report_path();
    // What an earlier run has left is no answer.
    remove(&path)?;
    let target = ["--package", "steadfast-e2e", "--test", "stack", "--locked", "--profile"];
    let run = ["--", "--ignored", "--exact", "--nocapture", TEST];
    let cargo = Cargo::of_this_machine()?;
    let mut command = Command::from(cargo.command(&[&["test"], &target[..], &[profile.name()], &run].concat()));
    // The report alone goes to standard output.
    let status = command.stdout(io::stderr()).kill_on_drop(true).status().await;
    let status = status.context("start cargo")?;
    let text = fs::read_to_string(&path).with_context(|| format!("the bench ended ({status}) without a report"))?;
    let held = if status.success() {
        Ok(())
    } else {
        Err(anyhow::anyhow!(
            "a promise was not held: the test {TEST} says which ({status})"
        ))
    };
    Ok((serde_json::from_str(&text).context("read the report")?, held))
}

/// Keeps the report of the last run in the documentation.
pub fn record() -> anyhow::Result<PathBuf> {
    let path = workspace::root().join(RECORDED);
    ensure!(report_path().is_file(), "nothing was measured");
    fs::copy(report_path(), &path).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
