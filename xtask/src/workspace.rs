//! Where the checkout is.

use std::path::{Path, PathBuf};

/// The root of the workspace this program was built from.
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}
