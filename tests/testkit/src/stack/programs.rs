//! Where our own binaries are.

use std::path::PathBuf;

use anyhow::{Context as _, bail};

/// A folder with binaries of this workspace.
#[derive(Clone, Debug)]
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// The folder that cargo put the running test's siblings into: its tests
    /// stand one folder deeper, in `deps`.
    pub fn beside_this_test() -> anyhow::Result<Self> {
        let test = std::env::current_exe().context("find the running test")?;
        let folder = test
            .parent()
            .and_then(|deps| deps.parent())
            .context("find the folder of the binaries")?;
        Ok(Self {
            folder: folder.to_path_buf(),
        })
    }

    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    pub fn worker(&self) -> anyhow::Result<PathBuf> {
        self.find("steadfast-worker")
    }

    pub fn gateway(&self) -> anyhow::Result<PathBuf> {
        self.find("steadfast-gateway")
    }

    pub fn cli(&self) -> anyhow::Result<PathBuf> {
        self.find("steadfast")
    }

    fn find(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.folder.join(name);
        if !path.is_file() {
            bail!(
                "{} is not built: run `cargo build --workspace --bins --profile ci` first, or the whole of \
                 `cargo xtask test`",
                path.display()
            );
        }
        Ok(path)
    }
}
