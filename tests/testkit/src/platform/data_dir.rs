//! The data directory of one platform, and the slot number that makes its names
//! and addresses unique on this machine.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use tokio::process::Command;

use crate::{
    cache::Cache,
    files,
    lock::{self, FileLock},
    process::output,
    tools,
};

const LONGEST_NAME: usize = 20;
/// Sockets are in the directory, and the path of a socket has at most 108 bytes.
const LONGEST_PATH: usize = 60;
/// The file that holds the slot number.
pub(super) const SLOT: &str = "slot";

/// The data directory of one platform.
#[derive(Clone, Debug)]
pub struct DataDir {
    name: String,
    path: PathBuf,
    slot: u8,
}

impl DataDir {
    /// The lock for starting and ending the platform of this name.
    pub async fn lock(name: &str) -> anyhow::Result<FileLock> {
        check_name(name)?;
        lock::acquire(Cache::open()?.platforms().join(".locks").join(name)).await
    }

    /// The data directory of the platform of this name, if there is one.
    pub fn find(name: &str) -> anyhow::Result<Option<Self>> {
        check_name(name)?;
        let path = Cache::open()?.platforms().join(name);
        let Some(slot) = read_slot(&path) else {
            return Ok(None);
        };
        Ok(Some(Self {
            name: name.to_owned(),
            path,
            slot,
        }))
    }

    /// Like [`find`](Self::find); creates one with a free slot if there is none.
    pub async fn find_or_create(name: &str) -> anyhow::Result<Self> {
        let platforms = Cache::open()?.platforms();
        let _lock = lock::acquire(platforms.join(".locks/.slots")).await?;
        if let Some(data_dir) = Self::find(name)? {
            return Ok(data_dir);
        }
        let path = platforms.join(name);
        ensure!(
            path.as_os_str().len() <= LONGEST_PATH,
            "{} is too long for the sockets in it: set STEADFAST_CACHE to a shorter path",
            path.display()
        );
        let slot = free_slot(&platforms).await?;
        files::write(&path.join(SLOT), &slot.to_string())?;
        Ok(Self {
            name: name.to_owned(),
            path,
            slot,
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub fn logs(&self) -> PathBuf {
        self.join("logs")
    }

    /// The directory with the records of processes. Records of an earlier boot are
    /// invalid, so each boot has its own.
    pub fn process_records(&self) -> anyhow::Result<PathBuf> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").context("read the boot id")?;
        Ok(self.join("processes").join(boot.trim()))
    }

    /// The name of the platform's link to the host and of its control group,
    /// unique on this machine.
    pub fn unique_name(&self) -> String {
        link_name(self.slot)
    }

    /// The host's end of the link.
    pub fn host_address(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 201, self.slot, 1)
    }

    /// The platform's end of the link: the address of the node, the API server,
    /// Temporal, Redis and DNS.
    pub fn node_address(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 201, self.slot, 2)
    }
}

fn link_name(slot: u8) -> String {
    format!("steadfast{slot}")
}

fn read_slot(dir: &Path) -> Option<u8> {
    std::fs::read_to_string(dir.join(SLOT)).ok()?.trim().parse().ok()
}

fn check_name(name: &str) -> anyhow::Result<()> {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let good = name.bytes().all(is_allowed) && name.starts_with(|first: char| first.is_ascii_lowercase());
    ensure!(
        good && name.len() <= LONGEST_NAME,
        "{name:?} is not a platform name: use up to {LONGEST_NAME} lower-case letters, digits and \
         dashes, starting with a letter"
    );
    Ok(())
}

/// The first slot number that no platform, link or route of this machine uses.
async fn free_slot(platforms: &Path) -> anyhow::Result<u8> {
    let taken: Vec<u8> = std::fs::read_dir(platforms)
        .with_context(|| format!("list {}", platforms.display()))?
        .flatten()
        .filter_map(|entry| read_slot(&entry.path()))
        .collect();
    let mut ip = Command::new(tools::installed("ip")?);
    let routes = output(ip.args(["-4", "route", "show", "table", "all"])).await?;
    for slot in 1..=254 {
        let link = Path::new("/sys/class/net").join(link_name(slot));
        if !taken.contains(&slot) && !link.exists() && !routes.contains(&format!("10.201.{slot}.")) {
            return Ok(slot);
        }
    }
    bail!("all 254 networks for platforms are in use: end a platform with `cargo xtask platform down`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_escape_the_directory_are_refused() {
        let accepted = [
            "demo",
            "e2e-1",
            "",
            "..",
            "a/b",
            "Demo",
            "1st",
            "a-very-long-platform-name",
        ]
        .map(|name| check_name(name).is_ok());
        assert_eq!(accepted, [true, true, false, false, false, false, false, false]);
    }
}
