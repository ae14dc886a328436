//! Where the checkout is.

use std::path::{Path, PathBuf};

/// The root of the workspace that this crate was built from.
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).unwrap_or(own).to_path_buf()
}
