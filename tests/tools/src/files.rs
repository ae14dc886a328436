//! Writes files only when their content changes: some programs restart when one
//! of their files is touched.

use std::{fs::OpenOptions, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use anyhow::Context as _;

const WORLD_READABLE: u32 = 0o644;
const OWNER_ONLY: u32 = 0o600;

/// Writes a file and creates its directory. Does nothing if the file already
/// holds this text.
pub fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    write_with_mode(path, text, WORLD_READABLE)
}

/// Like [`write()`], but only the owner can read the file.
pub fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    write_with_mode(path, text, OWNER_ONLY)
}

/// Creates a directory and its parents. Succeeds if it exists.
pub fn create_dir(path: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(path).with_context(|| format!("create the directory {}", path.display()))
}

/// Removes a directory and its content. Succeeds if there is none.
pub fn remove_dir(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn write_with_mode(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    if std::fs::read_to_string(path).is_ok_and(|present| present == text) {
        return Ok(());
    }
    if let Some(dir) = path.parent() {
        create_dir(dir)?;
    }
    OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("write {}", path.display()))
}
