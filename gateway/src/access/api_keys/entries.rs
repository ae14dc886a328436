//! From a Secret to the keys in it. An entry that cannot be used is logged by its name and left out; the others hold.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::ByteString;
use kube::ResourceExt as _;
use serde::Deserialize;
use steadfast_bounds::json;
use steadfast_contract::api_keys::ApiKeyEntry;
use steadfast_watch::RawObject;

use super::{ApiKey, KeyHash};
use crate::access::{AUTHENTICATED, User, is_reserved};

#[derive(Deserialize)]
struct SecretData {
    #[serde(default)]
    data: BTreeMap<String, ByteString>,
}

/// Why an entry is left out. Shows nothing of its value but names.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum EntryError {
    #[error("it is not the JSON of a key: {0}")]
    Malformed(String),
    #[error("sha256 is not 64 hexadecimal digits")]
    Hash,
    #[error("user is empty")]
    NoUser,
    #[error("{0:?} is a name that Kubernetes keeps for itself: names that begin with \"system:\"")]
    Reserved(String),
}

/// The keys of a Secret.
pub(super) fn read_entries(secret: &RawObject) -> HashMap<KeyHash, ApiKey> {
    let secret_name = secret.name_any();
    let data = match secret.decode_part::<SecretData>() {
        Ok(secret) => secret.data,
        Err(error) => {
            tracing::warn!(secret = secret_name, %error, "the Secret with API keys cannot be read; none of its keys is valid");
            return HashMap::new();
        }
    };
    let keys = data.into_iter().filter_map(|(name, value)| {
        read_entry(&name, &value.0)
            .inspect_err(
                |error| tracing::warn!(secret = secret_name, entry = name, %error, "an API key is not valid: its entry cannot be used"),
            )
            .ok()
    });
    keys.collect()
}

fn read_entry(name: &str, value: &[u8]) -> Result<(KeyHash, ApiKey), EntryError> {
    let entry: ApiKeyEntry = json::read(value).map_err(|error| EntryError::Malformed(error.to_string()))?;
    let hash = read_hash(&entry.sha256).ok_or(EntryError::Hash)?;
    if entry.user.is_empty() {
        return Err(EntryError::NoUser);
    }
    // A key must not make somebody the cluster's administrator, or a service account.
    if let Some(reserved) = std::iter::once(&entry.user)
        .chain(&entry.groups)
        .find(|name| is_reserved(name))
    {
        return Err(EntryError::Reserved(reserved.clone()));
    }
    let mut groups = entry.groups;
    groups.push(AUTHENTICATED.to_owned());
    let key = ApiKey {
        name: name.to_owned(),
        user: User {
            name: entry.user,
            groups,
            ..User::default()
        },
        expires: entry.expires,
    };
    Ok((hash, key))
}

fn read_hash(digits: &str) -> Option<KeyHash> {
    let mut hash = KeyHash::default();
    if digits.len() != 2 * hash.len() || !digits.is_ascii() {
        return None;
    }
    for (index, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
pub(super) mod testing {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    use serde_json::json;

    use super::*;

    pub(in crate::access::api_keys) fn secret(data: &BTreeMap<&str, &str>) -> RawObject {
        let data: BTreeMap<&str, String> = data
            .iter()
            .map(|(name, value)| (*name, BASE64_STANDARD.encode(value)))
            .collect();
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "namespace": "steadfast"}, "data": data,
        });
        serde_json::from_str(&secret.to_string()).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(entry: &serde_json::Value) -> Result<(KeyHash, ApiKey), EntryError> {
        read_entry("name", entry.to_string().as_bytes())
    }

    #[test]
    fn an_entry_is_a_user_with_groups() {
        let digits = "aB".repeat(32);
        let (hash, key) = read(&json!({"user": "ui", "groups": ["chat"], "sha256": digits})).unwrap();
        assert_eq!(hash, [0xab; 32]);
        assert_eq!(
            key,
            ApiKey {
                name: "name".to_owned(),
                user: User {
                    name: "ui".to_owned(),
                    groups: vec!["chat".to_owned(), "system:authenticated".to_owned()],
                    ..User::default()
                },
                expires: None,
            }
        );
    }

    #[test]
    fn an_entry_that_would_give_too_much_or_is_misspelt_is_no_key() {
        let digits = "ab".repeat(32);
        assert_eq!(
            read(&json!({"user": "system:admin", "sha256": digits})),
            Err(EntryError::Reserved("system:admin".to_owned()))
        );
        assert_eq!(
            read(&json!({"user": "a", "groups": ["system:masters"], "sha256": digits})),
            Err(EntryError::Reserved("system:masters".to_owned()))
        );
        assert_eq!(read(&json!({"user": "", "sha256": digits})), Err(EntryError::NoUser));
        for hash in ["", "ab", &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(
                read(&json!({"user": "a", "sha256": hash})),
                Err(EntryError::Hash),
                "{hash}"
            );
        }
        let misspelt = json!({"user": "a", "sha256": digits, "expire": "2026-12-01T00:00:00Z"});
        assert!(matches!(read(&misspelt), Err(EntryError::Malformed(_))));
        assert!(matches!(read(&json!([])), Err(EntryError::Malformed(_))));
    }
}
