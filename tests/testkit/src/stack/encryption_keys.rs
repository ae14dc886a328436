//! Encryption keys in a directory, as a mounted Secret has them.

use std::path::Path;

use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::{files, temp_dir::TempDir};

/// A directory of keys. The keys of one id are the same in every directory.
#[derive(Debug)]
pub struct EncryptionKeys(TempDir);

impl EncryptionKeys {
    /// Keys of these ids.
    pub fn new(ids: &[&str]) -> anyhow::Result<Self> {
        let keys = Self(TempDir::new("keys")?);
        ids.iter().try_for_each(|id| keys.add(id))?;
        Ok(keys)
    }

    /// Adds a key, as Kubernetes does when the Secret gets one.
    pub fn add(&self, id: &str) -> anyhow::Result<()> {
        let mut key = [7; 32];
        for (byte, of_id) in key.iter_mut().zip(id.bytes()) {
            *byte = of_id;
        }
        files::write_private(&self.path().join(id), &BASE64_STANDARD.encode(key))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}
