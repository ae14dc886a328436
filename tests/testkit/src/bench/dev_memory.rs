//! The memory of all of `steadfast dev` with three agents that do nothing: every
//! process that it has started, and itself.

use std::{collections::BTreeMap, fs, path::Path, process::Stdio, time::Duration};

use anyhow::{Context as _, bail, ensure};
use serde::Serialize;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
    time::{sleep, timeout},
};

use super::statistics::rounded;
use crate::{
    stack::BinaryDir,
    temp_dir::TempDir,
    tools::{self, WheelProgram, workspace},
};

const START_TIMEOUT: Duration = Duration::from_mins(1);
/// Those of `examples/handoffs`.
const AGENTS: usize = 3;
const BYTES_PER_KIBIBYTE: f64 = 1024.0;
const BYTES_PER_MEGABYTE: f64 = 1e6;

/// What a laptop hardly notices.
const AT_MOST_MEGABYTES: f64 = 300.0;

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct DevMemoryOptions {
    /// Seconds without any work before the memory is read.
    pub idle_seconds: u64,
}

impl Default for DevMemoryOptions {
    fn default() -> Self {
        Self { idle_seconds: 30 }
    }
}

/// Memory in megabytes of 10^6 bytes. A page that several processes share counts in parts (PSS).
#[derive(Clone, Debug, Serialize)]
pub struct DevMemoryReport {
    pub agents: usize,
    pub idle_seconds: u64,
    pub megabytes: f64,
    pub at_most_megabytes: f64,
    /// By program, with the number of its processes.
    pub parts: BTreeMap<String, Part>,
}

/// All processes of one program.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Part {
    pub processes: usize,
    pub megabytes: f64,
}

/// Runs the three agents of `examples/handoffs`, and reads their memory.
pub async fn run(programs: &BinaryDir, options: DevMemoryOptions) -> anyhow::Result<DevMemoryReport> {
    let scratch = TempDir::new("dev-memory")?;
    let mut child = Command::new(programs.cli()?)
        .arg("dev")
        .arg(workspace::root().join("examples/handoffs"))
        .args(["--no-chat", "--stand-in", "--state-dir"])
        .arg(scratch.path().join("state"))
        .arg("--temporal")
        .arg(tools::wheel_program(WheelProgram::Temporal)?)
        .arg("--valkey")
        .arg(tools::redis_server()?)
        .env("INVOICES_TOKEN", "unused")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("start steadfast dev")?;
    let id = child.id().context("steadfast dev has ended")?;
    let mut lines = BufReader::new(child.stderr.take().context("standard error of steadfast dev")?).lines();
    let ready = async {
        while let Some(line) = lines.next_line().await? {
            if line.starts_with("Temporal UI") {
                return Ok(());
            }
        }
        bail!("steadfast dev has ended")
    };
    timeout(START_TIMEOUT, ready)
        .await
        .context("steadfast dev is not ready")??;
    sleep(Duration::from_secs(options.idle_seconds)).await;
    let mut parts: BTreeMap<String, Part> = BTreeMap::new();
    for process in tree(id)? {
        let directory = Path::new("/proc").join(process.to_string());
        // A process may have ended just now.
        let Ok(program) = fs::read_link(directory.join("exe")) else {
            continue;
        };
        let Ok(kibibytes) = proportional_kibibytes(&directory) else {
            continue;
        };
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_supervisor = fs::read(directory.join("cmdline"))
            .is_ok_and(|line| line.split(|byte| *byte == 0).nth(1) == Some(b"supervise"));
        let part = parts
            .entry(if is_supervisor {
                format!("{name} supervise")
            } else {
                name
            })
            .or_default();
        part.processes += 1;
        part.megabytes += kibibytes * BYTES_PER_KIBIBYTE / BYTES_PER_MEGABYTE;
    }
    let workers = parts.get("steadfast-worker").map_or(0, |part| part.processes);
    ensure!(workers == AGENTS, "{workers} workers run, not {AGENTS}");
    let megabytes = rounded(parts.values().map(|part| part.megabytes).sum());
    for part in parts.values_mut() {
        part.megabytes = rounded(part.megabytes);
    }
    Ok(DevMemoryReport {
        agents: AGENTS,
        idle_seconds: options.idle_seconds,
        megabytes,
        at_most_megabytes: AT_MOST_MEGABYTES,
        parts,
    })
}

/// A process and everything that it has started.
fn tree(root: u32) -> anyhow::Result<Vec<u32>> {
    let mut parents = BTreeMap::new();
    for entry in fs::read_dir("/proc").context("list the processes")? {
        let entry = entry.context("list the processes")?;
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if let Some(parent) = fs::read_to_string(entry.path().join("stat"))
            .ok()
            .and_then(|stat| stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse::<u32>().ok())
        {
            parents.insert(id, parent);
        }
    }
    let mut tree = vec![root];
    let mut index = 0;
    while let Some(&parent) = tree.get(index) {
        tree.extend(parents.iter().filter(|(_, of)| **of == parent).map(|(id, _)| *id));
        index += 1;
    }
    Ok(tree)
}

fn proportional_kibibytes(process: &Path) -> anyhow::Result<f64> {
    let text = fs::read_to_string(process.join("smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let number = line.and_then(|line| line.split_whitespace().next()).context("no Pss")?;
    number.parse().context("the Pss is no number")
}
