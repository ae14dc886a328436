//! The location of the checkout.

use std::path::{Path, PathBuf};

/// The root of the workspace that this crate was built from.
pub fn root() -> PathBuf {
    let manifest_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest_dir.ancestors().nth(2).unwrap_or(manifest_dir).to_path_buf()
}
