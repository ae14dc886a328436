//! Container images without a registry: buildah builds a directory with a
//! Dockerfile into an archive, and containerd imports the archive.
//!
//! An archive is named by the hash of its directory, so an unchanged directory is
//! not built again. `release` decides what is in the images.

use std::{
    fs::File,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use crate::{cache::Cache, hash, lock, process::output, tools};

const KEY_LENGTH: usize = 16;
/// How long an unused archive stays.
const KEPT_FOR: Duration = Duration::from_hours(72);

/// Builds `tag` from a directory with a `Dockerfile` and returns the path of its
/// docker archive. Needs root.
pub async fn build(context: &Path, tag: &str) -> anyhow::Result<PathBuf> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "building images needs root: run this as root"
    );
    let cache = Cache::open()?;
    let images = cache.images();
    let _lock = lock::acquire(images.join(".lock")).await?;
    let name = tag.replace(['/', ':'], "_");
    let key = hash_dir(context, tag).await?;
    let archive = images.join(format!("{name}-{}.tar", &key[..KEY_LENGTH]));
    if archive.is_file() {
        mark_used(&archive)?;
        return Ok(archive);
    }
    tracing::info!("building image {tag}");
    remove_earlier_archives(&images, &name)?;

    let program = tools::installed("buildah")?;
    let buildah = || {
        let mut command = Command::new(&program);
        command
            .arg("--root")
            .arg(images.join("storage"))
            .arg("--runroot")
            .arg(images.join("run"))
            .args(["--storage-driver", "vfs"]);
        command
    };
    let mut bud = buildah();
    bud.args(["bud", "--isolation", "chroot", "--pull-never", "--tag", tag])
        .arg(context);
    output(&mut bud).await.with_context(|| format!("build image {tag}"))?;

    // Renamed when it is complete.
    let unfinished = archive.with_extension("unfinished");
    let mut push = buildah();
    push.args(["push", "--quiet", tag])
        .arg(format!("docker-archive:{}:{tag}", unfinished.display()));
    output(&mut push)
        .await
        .with_context(|| format!("write image {tag} to an archive"))?;
    let mut remove = buildah();
    remove.args(["rmi", "--all", "--force"]);
    output(&mut remove).await.context("empty buildah's storage")?;
    std::fs::rename(&unfinished, &archive).with_context(|| format!("name {}", archive.display()))?;
    Ok(archive)
}

fn mark_used(archive: &Path) -> anyhow::Result<()> {
    File::options()
        .append(true)
        .open(archive)
        .and_then(|file| file.set_modified(SystemTime::now()))
        .with_context(|| format!("touch {}", archive.display()))
}

fn remove_earlier_archives(images: &Path, name: &str) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(images).with_context(|| format!("list {}", images.display()))?;
    for entry in entries.flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        let is_same_image = file
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('-'))
            .is_some_and(|rest| !rest.contains(['_', '-']));
        // Also an unfinished archive of a crash: buildah would append to it.
        if is_same_image {
            std::fs::remove_file(entry.path()).with_context(|| format!("remove {file}"))?;
        }
    }
    Ok(())
}

/// Removes the archives that were not used for a while: with tags made of
/// content, every build adds one.
pub fn remove_unused() -> anyhow::Result<()> {
    let images = Cache::open()?.images();
    let entries = std::fs::read_dir(&images).with_context(|| format!("list {}", images.display()))?;
    for entry in entries
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|end| end == "tar"))
    {
        let used = entry.metadata().and_then(|metadata| metadata.modified()).ok();
        let age = used.and_then(|used| SystemTime::now().duration_since(used).ok());
        if age.is_some_and(|age| age > KEPT_FOR) {
            std::fs::remove_file(entry.path()).with_context(|| format!("remove {}", entry.path().display()))?;
        }
    }
    Ok(())
}

/// Hashes the tag and, in the order of paths, the path, mode and content of every file.
async fn hash_dir(dir: &Path, tag: &str) -> anyhow::Result<String> {
    let (dir, tag) = (dir.to_path_buf(), tag.to_owned());
    tokio::task::spawn_blocking(move || {
        let mut parts = vec![tag.into_bytes()];
        hash_into(&dir, &dir, &mut parts).with_context(|| format!("read the image directory {}", dir.display()))?;
        Ok(hash::sha256_hex(parts.iter().map(Vec::as_slice)))
    })
    .await
    .context("wait for the hash of a directory")?
}

fn hash_into(root: &Path, dir: &Path, parts: &mut Vec<Vec<u8>>) -> anyhow::Result<()> {
    use std::os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _};

    let mut paths: Vec<PathBuf> = std::fs::read_dir(dir)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    paths.sort();
    for path in paths {
        let metadata = std::fs::symlink_metadata(&path)?;
        parts.push(path.strip_prefix(root)?.as_os_str().as_bytes().to_vec());
        parts.push(metadata.permissions().mode().to_le_bytes().to_vec());
        if metadata.is_symlink() {
            parts.push(std::fs::read_link(&path)?.as_os_str().as_bytes().to_vec());
        } else if metadata.is_dir() {
            hash_into(root, &path, parts)?;
        } else {
            let content = std::fs::read(&path)?;
            parts.push(hash::sha256_hex([content.as_slice()]).into_bytes());
        }
    }
    Ok(())
}
