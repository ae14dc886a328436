//! Where everything that outlives a build is kept, outside the checkout.

use std::path::{Path, PathBuf};

use crate::args::Environment;
use crate::files;

/// The cache folder and the names of what is in it.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// `$STEADFAST_CACHE`, else `$XDG_CACHE_HOME/steadfast`, else
    /// `~/.cache/steadfast`; made when missing.
    pub fn open() -> anyhow::Result<Self> {
        let root = Environment::read()?.cache_folder()?;
        files::make_folder(&root)?;
        Ok(Self { root })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Built and downloaded programs, keyed by what they are pinned by.
    pub fn tools(&self) -> PathBuf {
        self.root.join("tools")
    }

    /// One folder per named platform.
    pub fn platforms(&self) -> PathBuf {
        self.root.join("platforms")
    }

    /// Folders of services that belong to one process, mostly a test.
    pub fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }

    /// Image archives and buildah's own storage.
    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    /// One lock file per leased port.
    pub fn ports(&self) -> PathBuf {
        self.root.join("ports")
    }
}
