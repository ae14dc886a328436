//! The environment variables this library reads, all of them, in one place.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;

use crate::versions::Versions;

/// What the surroundings say: where to cache and where to look for programs.
#[derive(Debug, Parser)]
#[command(no_binary_name = true)]
pub struct Environment {
    /// The cache directory itself.
    #[arg(long, env = "STEADFAST_CACHE")]
    steadfast_cache: Option<OsString>,
    /// The directory that holds every program's cache directory.
    #[arg(long, env = "XDG_CACHE_HOME")]
    xdg_cache_home: Option<OsString>,
    #[arg(long, env = "HOME")]
    home: Option<OsString>,
    #[arg(long, env = "PATH")]
    search_path: Option<OsString>,
    /// Which versions of Kubernetes, Helm and Redis to run on.
    #[arg(long, env = Versions::VARIABLE, value_enum, default_value_t)]
    versions: Versions,
}

impl Environment {
    pub fn read() -> anyhow::Result<Self> {
        Self::try_parse_from(std::iter::empty::<OsString>()).context("read the environment")
    }

    /// `$STEADFAST_CACHE`, else `$XDG_CACHE_HOME/steadfast`, else `~/.cache/steadfast`.
    pub fn cache_dir(&self) -> anyhow::Result<PathBuf> {
        let set = |value: &Option<OsString>| value.clone().filter(|value| !value.is_empty()).map(PathBuf::from);
        set(&self.steadfast_cache)
            .or_else(|| set(&self.xdg_cache_home).map(|dir| dir.join("steadfast")))
            .or_else(|| set(&self.home).map(|dir| dir.join(".cache/steadfast")))
            .context("no cache directory: set STEADFAST_CACHE or HOME")
    }

    /// `$STEADFAST_TEST_VERSIONS`, else the current ones.
    pub(crate) fn versions(&self) -> Versions {
        self.versions
    }

    /// `$HOME`, for programs that insist on one.
    pub fn home(&self) -> PathBuf {
        self.home.clone().map_or_else(|| PathBuf::from("/"), PathBuf::from)
    }

    /// `$PATH` plus the directories of administration programs, which a user's
    /// `PATH` often lacks.
    pub fn search_path(&self) -> Vec<PathBuf> {
        let inherited = self.search_path.clone().unwrap_or_default();
        let mut dirs: Vec<PathBuf> = std::env::split_paths(&inherited).collect();
        for dir in ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"] {
            let dir = PathBuf::from(dir);
            if !dirs.contains(&dir) {
                dirs.push(dir);
            }
        }
        dirs
    }
}
