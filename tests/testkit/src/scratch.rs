//! Folders for services that live no longer than this process.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use crate::cache::Cache;
use crate::files;
use crate::process::ProcessId;

/// How long the folders of dead processes stay, for whoever reads their logs.
const KEPT_FOR: Duration = Duration::from_hours(24);

/// A folder that goes away with the value, unless a test is failing: then its
/// logs are what one wants to read.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    pub fn new(name: &str) -> anyhow::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = own_folder()?.join(format!("{name}-{number}"));
        files::make_folder(&path)?;
        Ok(Self { path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::debug!("left {} behind: {error}", self.path.display());
        }
        // Succeeds only for the last one, which is the point.
        if let Some(parent) = self.path.parent() {
            let _ = std::fs::remove_dir(parent);
        }
    }
}

/// `runs/<pid>-<start>`: the start time tells a recycled process id apart.
fn own_folder() -> anyhow::Result<&'static Path> {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    if let Some(folder) = FOLDER.get() {
        return Ok(folder);
    }
    let runs = Cache::open()?.runs();
    let this = ProcessId::of_this_process()?;
    remove_folders_of_the_dead(&runs);
    Ok(FOLDER.get_or_init(|| runs.join(this.to_string())))
}

fn remove_folders_of_the_dead(runs: &Path) {
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
        let forgotten = owner.is_some_and(|owner| !owner.is_alive()) && age.is_some_and(|age| age > KEPT_FOR);
        if forgotten && let Err(error) = std::fs::remove_dir_all(entry.path()) {
            tracing::debug!("left {} behind: {error}", entry.path().display());
        }
    }
}
