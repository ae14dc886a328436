//! The files of the checkout, as git lists them: tracked, or new and not ignored.

use std::path::{Path, PathBuf};
use std::process::Command;

use steadfast_tools::command;

/// Paths below `root`, sorted. Files that were deleted but are still tracked are left out.
pub(super) fn list(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root);
    let mut paths: Vec<PathBuf> = command::output(&mut git)?
        .split_terminator('\0')
        .map(PathBuf::from)
        .filter(|path| root.join(path).is_file())
        .collect();
    paths.sort();
    paths.dedup();
    Ok(paths)
}
