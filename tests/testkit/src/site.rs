//! Where a service runs: its folder, the address it binds and how long it lives.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use crate::process::Lifetime;
use crate::scratch::Scratch;

/// The place of one service. The service itself is the same everywhere.
#[derive(Debug)]
pub struct Site {
    pub(crate) folder: PathBuf,
    pub(crate) logs: PathBuf,
    pub(crate) address: Ipv4Addr,
    /// The network namespace to enter, as a path that `nsenter` takes.
    pub(crate) network: Option<PathBuf>,
    pub(crate) lifetime: Lifetime,
    pub(crate) _scratch: Option<Scratch>,
}

impl Site {
    /// On 127.0.0.1, in a folder that goes away, dying with this process.
    pub(crate) fn of_this_process(name: &str) -> anyhow::Result<Self> {
        let scratch = Scratch::new(name)?;
        Ok(Self {
            folder: scratch.path().to_path_buf(),
            logs: scratch.path().to_path_buf(),
            address: Ipv4Addr::LOCALHOST,
            network: None,
            lifetime: Lifetime::OfThisProcess,
            _scratch: Some(scratch),
        })
    }

    /// What the service itself writes.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.logs.clone()
    }
}
