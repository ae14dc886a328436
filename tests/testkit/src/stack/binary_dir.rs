//! The directory with this workspace's binaries.

use std::path::PathBuf;

use anyhow::{Context as _, bail};

/// A directory with binaries of this workspace.
#[derive(Clone, Debug)]
pub struct BinaryDir {
    path: PathBuf,
}

impl BinaryDir {
    /// The directory where cargo has put the binaries of the running test's
    /// profile: the parent of `deps`, which contains the test.
    pub fn of_this_test() -> anyhow::Result<Self> {
        let test = std::env::current_exe().context("find the running test")?;
        let path = test
            .parent()
            .and_then(|deps| deps.parent())
            .context("find the directory of the binaries")?;
        Ok(Self::new(path))
    }

    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    pub(crate) fn worker(&self) -> anyhow::Result<PathBuf> {
        self.find("steadfast-worker")
    }

    pub(super) fn gateway(&self) -> anyhow::Result<PathBuf> {
        self.find("steadfast-gateway")
    }

    pub(super) fn operator(&self) -> anyhow::Result<PathBuf> {
        self.find("steadfast-operator")
    }

    pub(crate) fn cli(&self) -> anyhow::Result<PathBuf> {
        self.find("steadfast")
    }

    fn find(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.path.join(name);
        if !path.is_file() {
            bail!(
                "{} is not built: run `cargo build --workspace --bins --profile ci` or `cargo xtask test`",
                path.display()
            );
        }
        Ok(path)
    }
}
