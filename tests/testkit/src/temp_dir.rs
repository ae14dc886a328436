//! Directories that live no longer than this process.

use std::{
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime},
};

use crate::{cache::Cache, files, process::ProcessId};

/// How long the directories of dead processes stay, so that their logs can be read.
const KEPT_FOR: Duration = Duration::from_hours(24);

/// A directory that is removed with the value, unless the test panics: then its
/// logs are needed.
#[derive(Debug)]
pub(crate) struct TempDir {
    path: PathBuf,
}

impl TempDir {
    pub(crate) fn new(name: &str) -> anyhow::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = dir_of_this_process()?.join(format!("{name}-{number}"));
        files::create_dir(&path)?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::debug!("could not remove {}: {error}", self.path.display());
        }
        // Fails for all but the last directory of this process.
        if let Some(parent) = self.path.parent() {
            let _ = std::fs::remove_dir(parent);
        }
    }
}

/// `runs/<pid>-<start>`: the start time distinguishes a recycled process id.
fn dir_of_this_process() -> anyhow::Result<&'static Path> {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    if let Some(dir) = DIR.get() {
        return Ok(dir);
    }
    let runs = Cache::open()?.runs();
    let this = ProcessId::of_this_process()?;
    remove_dirs_of_dead_processes(&runs);
    Ok(DIR.get_or_init(|| runs.join(this.to_string())))
}

fn remove_dirs_of_dead_processes(runs: &Path) {
    let Ok(entries) = std::fs::read_dir(runs) else { return };
    for entry in entries.flatten() {
        let owner = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<ProcessId>().ok());
        let age = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .ok()
            .and_then(|modified| SystemTime::now().duration_since(modified).ok());
        let is_expired = owner.is_some_and(|owner| !owner.is_alive()) && age.is_some_and(|age| age > KEPT_FOR);
        if is_expired && let Err(error) = std::fs::remove_dir_all(entry.path()) {
            tracing::debug!("could not remove {}: {error}", entry.path().display());
        }
    }
}
