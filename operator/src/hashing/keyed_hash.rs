//! A keyed hash of secret values. It shows that a value changed and nothing
//! else: without the key nobody can test a guess against it.

use std::collections::BTreeMap;

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// Length of a new key in bytes.
pub(crate) const KEY_BYTES: usize = 32;
/// Length of a hash in hexadecimal digits, half of SHA-256's: a collision needs 2^64 attempts and the key.
const HASH_DIGITS: usize = 32;

/// A hash function with its key.
#[derive(Clone)]
pub struct KeyedHash {
    keyed: Hmac<Sha256>,
}

impl std::fmt::Debug for KeyedHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyedHash")
    }
}

/// The key has no bytes.
#[derive(Debug, thiserror::Error)]
#[error("the key of the credentials hash is empty")]
pub struct EmptyKeyError;

impl KeyedHash {
    /// The hash function with this key.
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
        hexadecimal(keyed)
    }

    /// The hash of named values, in hexadecimal; it changes with every name and every value.
    pub fn digest_all(&self, values: &BTreeMap<String, String>) -> String {
        let mut keyed = self.keyed.clone();
        for text in values.iter().flat_map(|(name, value)| [name, value]) {
            keyed.update(&text.len().to_be_bytes());
            keyed.update(text.as_bytes());
        }
        hexadecimal(keyed)
    }
}

fn hexadecimal(keyed: Hmac<Sha256>) -> String {
    let mut digits = format!("{:x}", keyed.finalize().into_bytes());
    digits.truncate(HASH_DIGITS);
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn the_hash_depends_on_the_key_the_names_and_the_values() {
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
    fn an_empty_key_is_refused() {
        assert!(KeyedHash::new(b"").is_err());
    }
}
