//! Where one service runs: its directory, its address, its network namespace
//! and its lifetime.

use std::{net::Ipv4Addr, path::PathBuf};

use crate::{process::Lifetime, temp_dir::TempDir};

/// Where one service runs. The service itself is the same everywhere.
#[derive(Debug)]
pub(crate) struct InstallRoot {
    pub(crate) dir: PathBuf,
    pub(crate) logs: PathBuf,
    /// The address that the service binds.
    pub(crate) address: Ipv4Addr,
    /// The file of the network namespace that the service runs in, as
    /// `nsenter --net=` takes it; the host's namespace if absent.
    pub(crate) network: Option<PathBuf>,
    pub(crate) lifetime: Lifetime,
    pub(crate) _temp_dir: Option<TempDir>,
}

impl InstallRoot {
    /// On 127.0.0.1, in a temporary directory. The service dies with this process.
    pub(crate) fn of_this_process(name: &str) -> anyhow::Result<Self> {
        let temp_dir = TempDir::new(name)?;
        Ok(Self {
            dir: temp_dir.path().to_path_buf(),
            logs: temp_dir.path().to_path_buf(),
            address: Ipv4Addr::LOCALHOST,
            network: None,
            lifetime: Lifetime::OfThisProcess,
            _temp_dir: Some(temp_dir),
        })
    }

    /// The directory for the service's own data.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.logs.clone()
    }
}
