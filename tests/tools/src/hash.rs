//! Names made from content.

use sha2::{Digest as _, Sha256};

/// SHA-256 of the concatenated parts, in hexadecimal.
pub fn sha256_hex<'part>(parts: impl IntoIterator<Item = &'part [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    format!("{:x}", hash.finalize())
}
