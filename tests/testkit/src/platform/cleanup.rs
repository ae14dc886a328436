//! Removes all processes, mounts, links and control groups of a platform. Needs
//! only the platform's data directory, so it also works after an incomplete start.

use std::{
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};

use super::{cgroup, containerd, data_dir::DataDir, mounts, network};
use crate::process::ProcessId;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Ends and removes everything except the data directory.
pub(super) async fn remove_everything(data_dir: &DataDir) -> anyhow::Result<()> {
    crate::wait::until("the platform's processes to be gone", TIMEOUT, async || {
        let found = processes(data_dir)?;
        if found.is_empty() {
            return Ok(());
        }
        for process in &found {
            process.kill().await?;
        }
        bail!("killed {}, looking for more", found.len())
    })
    .await?;
    let outside_files = containerd::outside_files(data_dir);
    network::remove_link(data_dir).await?;
    mounts::unmount_below(data_dir.path())?;
    crate::wait::until("the control groups to be empty", TIMEOUT, async || {
        cgroup::remove(data_dir)
    })
    .await?;
    for file in outside_files {
        remove_outside_file(&file);
    }
    Ok(())
}

/// The processes that are recorded, run in the network namespace or in a pod, or
/// are shims of this platform's containerd.
fn processes(data_dir: &DataDir) -> anyhow::Result<Vec<ProcessId>> {
    let mut found = recorded(data_dir)?;
    let namespace = network::inode(data_dir);
    let socket = containerd::socket(data_dir).display().to_string();
    for id in all_ids()? {
        let is_inside = namespace.is_some() && namespace_of(id) == namespace;
        if is_inside || is_shim_of(id, &socket) {
            found.extend(ProcessId::of(id).ok());
        }
    }
    for id in cgroup::processes(data_dir)? {
        found.extend(ProcessId::of(id).ok());
    }
    found.retain(|process| process.is_alive());
    found.sort_unstable_by_key(|process| process.id());
    found.dedup();
    Ok(found)
}

fn recorded(data_dir: &DataDir) -> anyhow::Result<Vec<ProcessId>> {
    let entries = std::fs::read_dir(data_dir.process_records()?)
        .into_iter()
        .flatten()
        .flatten();
    let texts = entries.filter_map(|entry| std::fs::read_to_string(entry.path()).ok());
    Ok(texts.filter_map(|text| text.lines().next()?.parse().ok()).collect())
}

fn all_ids() -> anyhow::Result<Vec<i32>> {
    let entries = std::fs::read_dir("/proc").context("list the processes")?;
    Ok(entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect())
}

fn namespace_of(id: i32) -> Option<u64> {
    std::fs::metadata(format!("/proc/{id}/ns/net"))
        .ok()
        .map(|metadata| metadata.ino())
}

/// A containerd shim has the socket of its containerd on its command line.
fn is_shim_of(id: i32, socket: &str) -> bool {
    let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    let words: Vec<&[u8]> = line.split(|&byte| byte == 0).collect();
    let is_shim = words
        .first()
        .is_some_and(|first| first.ends_with(b"containerd-shim-runc-v2"));
    is_shim && words.contains(&socket.as_bytes())
}

/// Removes a file outside the data directory, and its directories if they are
/// empty then. Some programs do not let us choose the location of such files.
fn remove_outside_file(file: &Path) {
    if let Err(error) = std::fs::remove_file(file)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!("could not remove {}: {error}", file.display());
    }
    let mut dir = file.parent().map(Path::to_path_buf);
    while let Some(empty) = dir.filter(|dir| is_removable(dir)) {
        if std::fs::remove_dir(&empty).is_err() {
            break;
        }
        dir = empty.parent().map(Path::to_path_buf);
    }
}

fn is_removable(dir: &Path) -> bool {
    let roots: [PathBuf; 3] = ["/run/containerd", "/var/lib/cni", "/var/log/containers"].map(PathBuf::from);
    roots.iter().any(|root| dir.starts_with(root))
}
