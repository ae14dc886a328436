//! Waits for locks between processes without blocking the runtime.

use std::path::PathBuf;

use anyhow::Context as _;

pub(crate) use steadfast_tools::lock::FileLock;

/// Waits until no other process holds the lock.
pub(crate) async fn acquire(path: PathBuf) -> anyhow::Result<FileLock> {
    tokio::task::spawn_blocking(move || FileLock::acquire(&path))
        .await
        .context("wait for a file lock")?
}
