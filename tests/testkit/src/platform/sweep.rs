//! Leaves nothing of a platform behind: no process, mount, link or control
//! group. Needs only the platform's folder, so it also cleans up after a crash
//! at any point of a start.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::home::Home;
use super::{cgroup, containerd, mounts, network};
use crate::process::ProcessId;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Ends and removes everything; the folder itself stays.
pub async fn sweep(home: &Home) -> anyhow::Result<()> {
    crate::wait::until("the platform's processes to be gone", TIMEOUT, async || {
        let found = processes(home)?;
        if found.is_empty() {
            return Ok(());
        }
        for process in &found {
            process.kill().await?;
        }
        bail!("killed {}, looking for more", found.len())
    })
    .await?;
    let strays = containerd::stray_files(home);
    network::remove_link(home).await?;
    mounts::unmount_below(home.folder())?;
    crate::wait::until("the control groups to be empty", TIMEOUT, async || cgroup::remove(home)).await?;
    for stray in strays {
        remove_stray(&stray);
    }
    Ok(())
}

/// Whatever is recorded, runs in the network namespace, is in a pod, or was
/// started by this platform's containerd.
fn processes(home: &Home) -> anyhow::Result<Vec<ProcessId>> {
    let mut found = recorded(home)?;
    let namespace = network::inode(home);
    let socket = containerd::socket(home).display().to_string();
    for id in all_ids()? {
        let inside = namespace.is_some() && namespace_of(id) == namespace;
        if inside || serves_socket(id, &socket) {
            found.extend(ProcessId::of(id).ok());
        }
    }
    for id in cgroup::processes(home)? {
        found.extend(ProcessId::of(id).ok());
    }
    found.retain(|process| process.is_alive());
    found.sort_unstable_by_key(|process| process.id());
    found.dedup();
    Ok(found)
}

fn recorded(home: &Home) -> anyhow::Result<Vec<ProcessId>> {
    let entries = std::fs::read_dir(home.records()?).into_iter().flatten().flatten();
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

/// A shim is told the socket of its containerd on its command line.
fn serves_socket(id: i32, socket: &str) -> bool {
    let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    let words: Vec<&[u8]> = line.split(|&byte| byte == 0).collect();
    let shim = words
        .first()
        .is_some_and(|first| first.ends_with(b"containerd-shim-runc-v2"));
    shim && words.contains(&socket.as_bytes())
}

/// Files outside the folder, whose places programs do not let us choose. Their
/// folders go too once they are empty.
fn remove_stray(stray: &Path) {
    if let Err(error) = std::fs::remove_file(stray)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!("left {} behind: {error}", stray.display());
    }
    let mut folder = stray.parent().map(Path::to_path_buf);
    while let Some(empty) = folder.filter(|folder| may_go(folder)) {
        if std::fs::remove_dir(&empty).is_err() {
            break;
        }
        folder = empty.parent().map(Path::to_path_buf);
    }
}

fn may_go(folder: &Path) -> bool {
    let ours: [PathBuf; 3] = ["/run/containerd", "/var/lib/cni", "/var/log/containers"].map(PathBuf::from);
    ours.iter().any(|top| folder.starts_with(top))
}
