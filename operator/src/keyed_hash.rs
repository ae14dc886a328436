//! A hash that tells whether secret values changed and nothing else: without
//! the key nobody can check a guess against it.

use std::{collections::BTreeMap, fmt::Write as _};

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// Length of the key in bytes.
pub const KEY_BYTES: usize = 32;
/// Bytes of a hash that are shown; collisions would need 2^64 tries and the key.
const SHOWN_BYTES: usize = 16;

/// Makes hashes under one key.
#[derive(Clone)]
pub struct KeyedHash {
    keyed: Hmac<Sha256>,
}

impl std::fmt::Debug for KeyedHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyedHash")
    }
}

/// The key is empty.
#[derive(Debug, thiserror::Error)]
#[error("the key of the credentials hash is empty")]
pub struct EmptyKeyError;

impl KeyedHash {
    /// Hashes under `key`.
    pub fn new(key: &[u8]) -> Result<Self, EmptyKeyError> {
        if key.is_empty() {
            return Err(EmptyKeyError);
        }
        Hmac::new_from_slice(key)
            .map(|keyed| Self { keyed })
            .map_err(|_| EmptyKeyError)
    }

    /// The hash of one value, in hexadecimal.
    pub fn digest(&self, value: &[u8]) -> String {
        let mut keyed = self.keyed.clone();
        keyed.update(value);
        hexadecimal(&keyed.finalize().into_bytes()[..SHOWN_BYTES])
    }

    /// The hash of named values: changes when a name or a value does.
    pub fn digest_all(&self, values: &BTreeMap<String, String>) -> String {
        let mut keyed = self.keyed.clone();
        for text in values.iter().flat_map(|(name, value)| [name, value]) {
            keyed.update(&text.len().to_be_bytes());
            keyed.update(text.as_bytes());
        }
        hexadecimal(&keyed.finalize().into_bytes()[..SHOWN_BYTES])
    }
}

/// Lower case hexadecimal digits of `bytes`.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;

    fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn the_hash_depends_on_key_names_and_values() {
        let hash = KeyedHash::new(b"one").unwrap();
        let other = KeyedHash::new(b"two").unwrap();
        let base = hash.digest_all(&values(&[("a", "1"), ("b", "2")]));
        assert_eq!(base, hash.digest_all(&values(&[("b", "2"), ("a", "1")])));
        assert_ne!(base, other.digest_all(&values(&[("a", "1"), ("b", "2")])));
        assert_ne!(base, hash.digest_all(&values(&[("a", "1"), ("b", "3")])));
        assert_ne!(base, hash.digest_all(&values(&[("a", "1b"), ("", "2")])));
        assert_eq!(base.len(), 32);
    }

    #[test]
    fn a_hash_without_a_key_is_refused() {
        assert!(KeyedHash::new(b"").is_err());
    }
}
