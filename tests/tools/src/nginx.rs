//! Debian's NGINX, unpacked into the cache: installed as a package, it would start and take port 80 of the machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::Stage;
use crate::cache::Cache;
use crate::command::output;
use crate::files;

const LABEL: &str = "NGINX";
/// Where the package has its program.
const PROGRAM: &str = "usr/sbin/nginx";

/// The path of the program, once unpacked.
pub fn nginx() -> anyhow::Result<PathBuf> {
    let path = directory(&Cache::open()?).join(PROGRAM);
    if !path.is_file() {
        bail!("{LABEL} is not unpacked yet: run `cargo xtask tools`");
    }
    Ok(path)
}

fn directory(cache: &Cache) -> PathBuf {
    cache.tools().join("nginx-debian")
}

pub(crate) fn install(cache: &Cache) -> anyhow::Result<Stage> {
    let directory = directory(cache);
    if directory.is_dir() {
        return Ok(Stage::already_installed(LABEL));
    }
    Stage::install(LABEL, || unpack(&directory))
}

fn unpack(directory: &Path) -> anyhow::Result<()> {
    // Under another name until it is whole.
    let unfinished = directory.with_extension("unfinished");
    files::remove_dir(&unfinished)?;
    files::create_dir(&unfinished)?;
    // The lists of packages may be old or missing.
    if download(&unfinished).is_err() {
        output(Command::new("apt-get").arg("update")).context("update the lists of packages")?;
        download(&unfinished).context("download Debian's package nginx")?;
    }
    let package = std::fs::read_dir(&unfinished)
        .with_context(|| format!("list {}", unfinished.display()))?
        .find_map(|entry| {
            let path = entry.ok()?.path();
            path.extension().is_some_and(|ending| ending == "deb").then_some(path)
        })
        .context("apt-get has downloaded no package")?;
    output(Command::new("dpkg-deb").arg("--extract").arg(package).arg(&unfinished)).context("unpack nginx")?;
    std::fs::rename(&unfinished, directory).with_context(|| format!("name {}", directory.display()))
}

fn download(directory: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("apt-get");
    command.args(["download", "nginx"]).current_dir(directory);
    output(&mut command).map(drop)
}
