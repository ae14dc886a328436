//! The pins beside this crate and the cache directories they name.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::cache::Cache;
use crate::{hash, workspace};

const KEY_LENGTH: usize = 16;

/// `tests/tools/<name>` in the checkout.
pub(crate) fn dir(name: &str) -> PathBuf {
    workspace::root().join("tests/tools").join(name)
}

/// The cache directory of what these files pin: `<name>-<hash of their bytes>`.
pub(crate) fn cache_dir(cache: &Cache, name: &str, files: &[&str]) -> anyhow::Result<PathBuf> {
    let mut contents = Vec::with_capacity(files.len());
    for file in files {
        let path = dir(name).join(file);
        contents.push(std::fs::read(&path).with_context(|| format!("read {}", path.display()))?);
    }
    Ok(cache_dir_of(cache, name, contents.iter().map(Vec::as_slice)))
}

/// The cache directory of pins with this content.
pub(crate) fn cache_dir_of<'a>(cache: &Cache, name: &str, contents: impl IntoIterator<Item = &'a [u8]>) -> PathBuf {
    let key = hash::sha256_hex(contents);
    cache.tools().join(format!("{name}-{}", &key[..KEY_LENGTH]))
}
