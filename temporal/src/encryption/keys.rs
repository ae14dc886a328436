//! The keys: files of one directory, as a mounted Secret has them. The name of a file is the id of its key.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ring::{
    aead::{AES_256_GCM, LessSafeKey, UnboundKey},
    hmac,
};

/// Longest id of a key.
const LONGEST_ID: usize = 64;
/// The shortest time between two reads of the directory.
const READ_PERIOD: Duration = Duration::from_millis(200);

/// The keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The directory or a file in it cannot be read.
    #[error("read the encryption keys in {}", path.display())]
    Read {
        /// Directory or file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The name of a file cannot be the id of a key.
    #[error("the id {0:?} of an encryption key is not 1 to {LONGEST_ID} letters, digits, '-', '_' or '.'")]
    Id(String),
    /// The file holds something else.
    #[error("the encryption key {0:?} is not the base64 of 32 bytes; make one with `openssl rand -base64 32`")]
    NotAKey(String),
    /// The key to write with is not there.
    #[error("there is no encryption key {active:?} in {}; the keys there are: {known}", path.display())]
    NoActiveKey {
        /// Its id.
        active: String,
        /// The directory.
        path: PathBuf,
        /// The ids that are there.
        known: String,
    },
    /// An id without keys.
    #[error("STEADFAST_ENCRYPTION_KEY_ID is {0:?}, but STEADFAST_ENCRYPTION_KEYS_PATH is not set")]
    NoDirectory(String),
}

/// All keys, and which of them writes.
pub(super) struct Keys {
    directory: PathBuf,
    active: Option<ActiveKey>,
    known: RwLock<Arc<KeysById>>,
    read_at: Mutex<Instant>,
}

/// The key that encrypts.
#[derive(Clone)]
pub(super) struct ActiveKey {
    pub(super) id: String,
    pub(super) key: LessSafeKey,
    /// Another key, derived from it, for digests.
    pub(super) digests: hmac::Key,
}

#[derive(Clone)]
struct Key {
    cipher: LessSafeKey,
    digests: hmac::Key,
}

type KeysById = BTreeMap<String, Key>;

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys")
            .field("directory", &self.directory)
            .field("active", &self.active_id())
            .finish_non_exhaustive()
    }
}

impl Keys {
    /// Reads the directory. Without an active key, payloads are read and not encrypted.
    pub(super) fn read(directory: &Path, active: Option<&str>) -> Result<Self, KeysError> {
        let known = read_directory(directory)?;
        let active = match active {
            Some(id) => {
                let key = known.get(id).cloned().ok_or_else(|| KeysError::NoActiveKey {
                    active: id.to_owned(),
                    path: directory.to_owned(),
                    known: ids(&known),
                })?;
                Some(ActiveKey {
                    id: id.to_owned(),
                    key: key.cipher,
                    digests: key.digests,
                })
            }
            None => None,
        };
        Ok(Self {
            directory: directory.to_owned(),
            active,
            known: RwLock::new(Arc::new(known)),
            read_at: Mutex::new(Instant::now()),
        })
    }

    pub(super) fn active(&self) -> Option<&ActiveKey> {
        self.active.as_ref()
    }

    pub(super) fn active_id(&self) -> Option<&str> {
        self.active.as_ref().map(|active| active.id.as_str())
    }

    /// The key with an id. Reads the directory again when it is unknown: Kubernetes updates the files of a Secret
    /// while the program runs.
    pub(super) fn get(&self, id: &str) -> Option<LessSafeKey> {
        let find = || self.known().get(id).map(|key| key.cipher.clone());
        find().or_else(|| {
            self.read_again();
            find()
        })
    }

    /// The ids of all keys, for errors.
    pub(super) fn known_ids(&self) -> String {
        ids(&self.known())
    }

    fn known(&self) -> Arc<KeysById> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn read_again(&self) {
        let mut read_at = self.read_at.lock().unwrap_or_else(PoisonError::into_inner);
        if read_at.elapsed() < READ_PERIOD {
            return;
        }
        *read_at = Instant::now();
        match read_directory(&self.directory) {
            Ok(keys) => *self.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys),
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the encryption keys cannot be read again; the keys of before stay"
            ),
        }
    }
}

/// Whether a text can be the id of a key: the name of a file and the key of a Secret.
pub fn check_key_id(id: &str) -> Result<(), KeysError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if id.is_empty() || id.len() > LONGEST_ID || id.starts_with('.') || !id.chars().all(allowed) {
        return Err(KeysError::Id(id.to_owned()));
    }
    Ok(())
}

fn read_directory(directory: &Path) -> Result<KeysById, KeysError> {
    let read = |path: &Path, source| KeysError::Read {
        path: path.to_owned(),
        source,
    };
    let mut keys = KeysById::new();
    for entry in fs::read_dir(directory).map_err(|error| read(directory, error))? {
        let path = entry.map_err(|error| read(directory, error))?.path();
        let id = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // A mounted Secret has hidden directories beside its files.
        if id.starts_with('.') || path.is_dir() {
            continue;
        }
        check_key_id(&id)?;
        let text = fs::read_to_string(&path).map_err(|error| read(&path, error))?;
        let key = parse(&text).ok_or_else(|| KeysError::NotAKey(id.clone()))?;
        keys.insert(id, key);
    }
    Ok(keys)
}

fn parse(text: &str) -> Option<Key> {
    let bytes = BASE64_STANDARD.decode(text.trim()).ok()?;
    let cipher = UnboundKey::new(&AES_256_GCM, &bytes).ok().map(LessSafeKey::new)?;
    let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &bytes), b"steadfast digests");
    let digests = hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref());
    Some(Key { cipher, digests })
}

fn ids(keys: &KeysById) -> String {
    if keys.is_empty() {
        return "none".to_owned();
    }
    keys.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// A directory with keys of these ids, each of one repeated byte.
    pub(crate) fn directory(ids: &[&str]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for id in ids {
            add(directory.path(), id);
        }
        directory
    }

    pub(crate) fn add(directory: &Path, id: &str) {
        let byte = id.bytes().fold(0, u8::wrapping_add);
        fs::write(directory.join(id), BASE64_STANDARD.encode([byte; 32])).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(file: &str, text: &str) -> String {
        let directory = testing::directory(&["good"]);
        fs::write(directory.path().join(file), text).unwrap();
        Keys::read(directory.path(), Some("good")).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_key_is_named_and_never_shown() {
        let short = BASE64_STANDARD.encode([7; 16]);
        for text in ["", "not base64!", &short] {
            let error = refused("bad", text);
            assert!(error.contains("\"bad\" is not the base64 of 32 bytes"), "{error}");
            assert!(text.is_empty() || !error.contains(text), "{error}");
        }
        assert!(refused("a b", &short).contains("\"a b\""));
    }

    #[test]
    fn an_active_key_that_is_missing_is_refused_with_the_keys_that_are_there() {
        let directory = testing::directory(&["a", "b"]);
        let error = Keys::read(directory.path(), Some("c")).unwrap_err().to_string();
        assert!(
            error.contains("no encryption key \"c\"") && error.ends_with("a, b"),
            "{error}"
        );
        let error = Keys::read(Path::new("/nonexistent"), Some("c"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("/nonexistent"), "{error}");
    }

    #[test]
    fn debug_output_holds_no_key() {
        let directory = testing::directory(&["a"]);
        let keys = Keys::read(directory.path(), Some("a")).unwrap();
        let text = fs::read_to_string(directory.path().join("a")).unwrap();
        assert!(!format!("{keys:?}").contains(&text));
    }
}
