//! The folder of one platform and the number that makes its machine-wide names
//! unique.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use tokio::process::Command;

use crate::cache::Cache;
use crate::files;
use crate::lock::{self, FileLock};
use crate::process::output;
use crate::tools;

const LONGEST_NAME: usize = 20;
/// Sockets lie below the folder, and a socket's path has 108 bytes.
const LONGEST_FOLDER: usize = 60;
pub const SLOT: &str = "slot";

/// Where a platform is, in the file system and in the address space.
#[derive(Clone, Debug)]
pub struct Home {
    name: String,
    folder: PathBuf,
    slot: u8,
}

impl Home {
    /// The lock that whoever starts or ends this platform holds.
    pub async fn lock(name: &str) -> anyhow::Result<FileLock> {
        check_name(name)?;
        lock::acquire(Cache::open()?.platforms().join(".locks").join(name)).await
    }

    /// The platform of that name, if there is one.
    pub fn find(name: &str) -> anyhow::Result<Option<Self>> {
        check_name(name)?;
        let folder = Cache::open()?.platforms().join(name);
        let Some(slot) = read_slot(&folder) else {
            return Ok(None);
        };
        Ok(Some(Self {
            name: name.to_owned(),
            folder,
            slot,
        }))
    }

    /// The same, made with a free slot if there is none.
    pub async fn find_or_make(name: &str) -> anyhow::Result<Self> {
        let platforms = Cache::open()?.platforms();
        let _lock = lock::acquire(platforms.join(".locks/.slots")).await?;
        if let Some(home) = Self::find(name)? {
            return Ok(home);
        }
        let folder = platforms.join(name);
        ensure!(
            folder.as_os_str().len() <= LONGEST_FOLDER,
            "{} is too long for the sockets below it: set STEADFAST_CACHE to a shorter path",
            folder.display()
        );
        let slot = free_slot(&platforms).await?;
        files::write(&folder.join(SLOT), &slot.to_string())?;
        Ok(Self {
            name: name.to_owned(),
            folder,
            slot,
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn logs(&self) -> PathBuf {
        self.path("logs")
    }

    /// The records of this boot's processes: those of an earlier one are void.
    pub fn records(&self) -> anyhow::Result<PathBuf> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").context("read the boot id")?;
        Ok(self.path("processes").join(boot.trim()))
    }

    /// The name of its link to the host and of its control group: no other
    /// platform on this machine has it.
    pub fn machine_wide_name(&self) -> String {
        link_name(self.slot)
    }

    /// This machine's end of the link.
    pub fn host_address(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 201, self.slot, 1)
    }

    /// The platform's end: the node, the API server, Temporal, Redis and DNS.
    pub fn node_address(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 201, self.slot, 2)
    }
}

fn link_name(slot: u8) -> String {
    format!("steadfast{slot}")
}

fn read_slot(folder: &Path) -> Option<u8> {
    std::fs::read_to_string(folder.join(SLOT)).ok()?.trim().parse().ok()
}

fn check_name(name: &str) -> anyhow::Result<()> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let good = name.bytes().all(plain) && name.starts_with(|first: char| first.is_ascii_lowercase());
    ensure!(
        good && name.len() <= LONGEST_NAME,
        "{name:?} is no name of a platform: up to {LONGEST_NAME} lower-case letters, digits and \
         dashes, a letter first"
    );
    Ok(())
}

/// The first number that no platform, link or route of this machine uses.
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
    bail!("all 254 networks for platforms are taken: end some with `cargo xtask platform down`")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn names_that_could_leave_the_folder_are_refused() {
        let judged = [
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
        assert_eq!(judged, [true, true, false, false, false, false, false, false]);
    }
}
