//! Locks between processes: held while the value lives, released by the kernel
//! when the process dies.

use std::fs::{File, TryLockError};
use std::path::Path;

use anyhow::Context as _;

use crate::{files, progress};

/// An exclusive lock on a file. The file stays; only the lock matters.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

impl FileLock {
    /// Blocks until no other process holds the lock.
    pub fn acquire(path: &Path) -> anyhow::Result<Self> {
        let file = open(path)?;
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            progress::print(&format!("waiting for another process to release {}", path.display()));
        }
        file.lock().with_context(|| format!("lock {}", path.display()))?;
        Ok(Self { _file: file })
    }
}

fn open(path: &Path) -> anyhow::Result<File> {
    if let Some(directory) = path.parent() {
        files::create_dir(directory)?;
    }
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .with_context(|| format!("open the lock file {}", path.display()))
}
