//! The cache directory: what outlives a build is kept there, outside the checkout.

use std::path::{Path, PathBuf};

use crate::{args::Environment, files};

/// The cache directory and the names of its subdirectories.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// `$STEADFAST_CACHE`, else `$XDG_CACHE_HOME/steadfast`, else
    /// `~/.cache/steadfast`. Creates the directory if it is missing.
    pub fn open() -> anyhow::Result<Self> {
        let root = Environment::read()?.cache_dir()?;
        files::create_dir(&root)?;
        Ok(Self { root })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Built and downloaded programs, in directories named by the hash of their pins.
    pub fn tools(&self) -> PathBuf {
        self.root.join("tools")
    }

    /// One directory per named platform.
    pub fn platforms(&self) -> PathBuf {
        self.root.join("platforms")
    }

    /// One directory per process that runs services of its own, mostly a test.
    pub fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }

    /// Image archives and buildah's storage.
    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    /// One lock file per leased port.
    pub fn ports(&self) -> PathBuf {
        self.root.join("ports")
    }
}
