//! Finds the programs that `steadfast dev` starts.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use steadfast_wheels::{Pin, TEMPORAL, VALKEY};

use super::status;
use crate::args::LocalArguments;

/// The paths of all programs.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) temporal: PathBuf,
    pub(super) valkey: PathBuf,
    pub(super) gateway: PathBuf,
    pub(super) worker: PathBuf,
    /// The directory for virtual environments of workers of tools.
    pub(super) environments: PathBuf,
    /// The directory in which ports are leased.
    pub(super) ports: PathBuf,
}

impl Programs {
    /// Temporal and Valkey: the flag, or else PATH, or else the cache, to which they are downloaded once. The others:
    /// beside this program.
    pub(super) fn find(arguments: &LocalArguments) -> anyhow::Result<Self> {
        let path = arguments.path.as_deref().unwrap_or_default();
        let cache = arguments.cache_dir()?;
        Ok(Self {
            temporal: third_party(arguments.temporal.as_deref(), &["temporal"], TEMPORAL, path, &cache)?,
            valkey: third_party(
                arguments.valkey.as_deref(),
                &["valkey-server", "redis-server"],
                VALKEY,
                path,
                &cache,
            )?,
            gateway: own("steadfast-gateway")?,
            worker: own("steadfast-worker")?,
            environments: cache.join("environments"),
            ports: cache.join("ports"),
        })
    }
}

fn third_party(flag: Option<&Path>, names: &[&str], pin: Pin<'_>, path: &str, cache: &Path) -> anyhow::Result<PathBuf> {
    if let Some(flag) = flag {
        return Ok(flag.to_owned());
    }
    let on_path = std::env::split_paths(path).flat_map(|directory| names.iter().map(move |name| directory.join(name)));
    if let Some(found) = on_path.into_iter().find(|path| path.is_file()) {
        return Ok(found);
    }
    // A new pin has a directory of its own.
    let directory = cache.join("dev").join(format!("{}-{}", pin.program, version(pin)));
    let program = directory.join(pin.program);
    if program.is_file() {
        return Ok(program);
    }
    status(&format!(
        "downloading {} {} with pip, once …",
        pin.program,
        version(pin)
    ));
    steadfast_wheels::install(pin, &directory)
}

/// The version in a requirements file.
fn version(pin: Pin<'_>) -> &str {
    let line = pin.requirements.lines().find_map(|line| line.split_once("=="));
    line.and_then(|(_, version)| version.split_whitespace().next())
        .unwrap_or("unknown")
}

/// A program of Steadfast, which is in the directory of this one.
fn own(name: &str) -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("find this program")?;
    let path = this.parent().context("find the directory of this program")?.join(name);
    if !path.is_file() {
        bail!(
            "{} is missing: in a checkout, `cargo xtask dev` builds all programs; elsewhere, put {name} beside steadfast",
            path.display()
        );
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_on_the_path_is_taken_before_a_download() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("redis-server"), "").unwrap();
        let path = format!("/nowhere:{}", directory.path().display());
        let found = third_party(
            None,
            &["valkey-server", "redis-server"],
            VALKEY,
            &path,
            Path::new("/nowhere"),
        );
        assert_eq!(found.unwrap(), directory.path().join("redis-server"));
        let named = third_party(
            Some(Path::new("/opt/valkey")),
            &[],
            VALKEY,
            &path,
            Path::new("/nowhere"),
        );
        assert_eq!(named.unwrap(), Path::new("/opt/valkey"));
    }

    #[test]
    fn the_pins_name_their_versions() {
        assert_eq!((version(TEMPORAL), version(VALKEY)), ("1.9.1", "9.1.2.post2"));
    }
}
