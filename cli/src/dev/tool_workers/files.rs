//! Whether the files of a worker have changed.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::description::ToolWorker;

/// Directories whose content is made, not written.
const MADE: [&str; 5] = ["__pycache__", "node_modules", "target", "venv", "build"];
/// More files than a worker of an example has; a directory with more is watched in part.
const MAX_FILES: usize = 2_000;

/// Size and time of the files of a worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint(BTreeMap<PathBuf, (u64, Option<SystemTime>)>);

impl Fingerprint {
    /// The watched files, without hidden and made ones, and the requirements.
    pub(super) fn of(worker: &ToolWorker) -> Self {
        let mut fingerprint = Self::default();
        for path in &worker.watch {
            fingerprint.add(worker.directory.join(path));
        }
        if worker.watch.is_empty() {
            fingerprint.add_directory(&worker.directory);
        }
        if let Some(python) = &worker.python {
            fingerprint.add_file(worker.directory.join(&python.requirements));
        }
        fingerprint
    }

    fn add_directory(&mut self, directory: &Path) {
        let Ok(entries) = fs::read_dir(directory) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with('.') || MADE.contains(&&*name) || self.0.len() >= MAX_FILES {
                continue;
            }
            self.add(entry.path());
        }
    }

    fn add(&mut self, path: PathBuf) {
        if path.is_dir() {
            self.add_directory(&path);
        } else {
            self.add_file(path);
        }
    }

    fn add_file(&mut self, path: PathBuf) {
        if let Ok(metadata) = fs::metadata(&path) {
            self.0.insert(path, (metadata.len(), metadata.modified().ok()));
        }
    }
}
