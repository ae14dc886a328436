//! Digests: of manifests, to compare their meaning, and of secret values, to
//! notice a change without revealing the value.

pub(crate) mod content_digest;
pub mod key_secret;
pub mod keyed_hash;
pub mod secret_value;
