//! API keys of Secrets: for clients that know nothing but a fixed key, such as chat UIs and CI. A Secret holds the hash
//! of each key, and the user as whom its bearer acts; what the user may do is asked of Kubernetes as for any other.
//!
//! A key is 32 random bytes, so its SHA-256 cannot be reversed, and a slow hash would protect nothing more.

mod entries;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock},
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use steadfast_contract::api_keys::API_KEY_PREFIX;
use steadfast_watch::{Event, RawObject, Watch};
use tokio_util::sync::CancellationToken;

use self::entries::read_entries;
use super::User;
use crate::error::ApiError;

/// The hash of a key.
pub(super) type KeyHash = [u8; 32];

/// The valid keys, as the watched Secrets have them now; clones share them.
#[derive(Clone, Debug, Default)]
pub struct ApiKeys {
    secrets: Arc<RwLock<BTreeMap<String, Keys>>>,
}

/// The keys of one Secret; absent until the Secret has been looked for.
type Keys = Option<HashMap<KeyHash, ApiKey>>;

/// A key, by what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ApiKey {
    /// Name of its entry in the Secret.
    name: String,
    user: User,
    expires: Option<Timestamp>,
}

/// Whose key it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyHolder {
    pub(super) user: User,
    /// The key's name, for the audit log: never the key.
    pub(super) key_name: String,
}

/// Why a key is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyRefusal {
    Unknown,
    Expired,
}

impl ApiKeys {
    /// Watches Secrets of a namespace until `stop`. Calls `ready` when each has been looked for.
    pub fn watch(
        client: &Client,
        namespace: &str,
        names: &[String],
        ready: impl Fn() + Clone + Send + 'static,
        stop: &CancellationToken,
    ) -> Self {
        let keys = Self::default();
        for name in names {
            keys.update(name, None);
        }
        for name in names {
            let mut feed = Feed {
                keys: keys.clone(),
                secret: name.clone(),
                listing: HashMap::new(),
            };
            let (keys, ready, stop) = (keys.clone(), ready.clone(), stop.clone());
            let watch = Watch::all::<Secret>(client.clone()).in_namespace(namespace).named(name);
            tokio::spawn(async move {
                let watch = watch.run(move |event| {
                    feed.apply(event);
                    if keys.are_known() {
                        ready();
                    }
                });
                stop.run_until_cancelled(watch).await;
            });
        }
        keys
    }

    /// Whether a token is an API key, valid or not: no key is ever shown to the API server.
    pub(super) fn is_key(token: &str) -> bool {
        token.starts_with(API_KEY_PREFIX)
    }

    /// Who holds a key. What was read last holds while the API server is away.
    pub(super) fn find(&self, hash: &KeyHash, now: Timestamp) -> Result<Result<KeyHolder, KeyRefusal>, ApiError> {
        let secrets = self.secrets.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = secrets.values().flatten().find_map(|keys| keys.get(hash)) {
            return Ok(key.holder(now));
        }
        if secrets.values().all(Option::is_some) {
            Ok(Err(KeyRefusal::Unknown))
        } else {
            Err(ApiError::unavailable(
                "the Secret with the API keys",
                "it has not been read yet",
            ))
        }
    }

    fn are_known(&self) -> bool {
        let secrets = self.secrets.read().unwrap_or_else(PoisonError::into_inner);
        secrets.values().all(Option::is_some)
    }

    fn update(&self, secret: &str, keys: Keys) {
        let mut secrets = self.secrets.write().unwrap_or_else(PoisonError::into_inner);
        secrets.insert(secret.to_owned(), keys);
    }
}

impl ApiKey {
    fn holder(&self, now: Timestamp) -> Result<KeyHolder, KeyRefusal> {
        if self.expires.is_some_and(|expires| expires <= now) {
            return Err(KeyRefusal::Expired);
        }
        Ok(KeyHolder {
            user: self.user.clone(),
            key_name: self.name.clone(),
        })
    }
}

/// Takes in the events of the watch of one Secret.
struct Feed {
    keys: ApiKeys,
    secret: String,
    /// The keys of a list that is not complete yet.
    listing: HashMap<KeyHash, ApiKey>,
}

impl Feed {
    fn apply(&mut self, event: Event<RawObject>) {
        match event {
            Event::Init => self.listing.clear(),
            Event::InitApply(secret) => self.listing = read_entries(&secret),
            Event::InitDone => {
                let keys = std::mem::take(&mut self.listing);
                if keys.is_empty() {
                    tracing::warn!(
                        secret = self.secret,
                        "there is no API key in this Secret, or no such Secret"
                    );
                }
                self.keys.update(&self.secret, Some(keys));
            }
            Event::Apply(secret) => self.keys.update(&self.secret, Some(read_entries(&secret))),
            Event::Delete(_) => self.keys.update(&self.secret, Some(HashMap::new())),
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    impl ApiKeys {
        /// Takes in a Secret with one entry for a key, or a Secret without entries.
        pub(crate) fn replace(&self, entry: Option<(&str, &str)>) {
            let data: BTreeMap<&str, &str> = entry.into_iter().collect();
            let secret = entries::testing::secret(&data);
            self.update("keys", Some(read_entries(&secret)));
        }
    }
}

#[cfg(test)]
mod tests {
    use Event::{Apply, Delete, Init, InitApply, InitDone};
    use axum::http::StatusCode;
    use serde_json::json;
    use sha2::{Digest as _, Sha256};

    use super::{entries::testing::secret, *};

    fn hash(key: &str) -> KeyHash {
        Sha256::digest(key).into()
    }

    fn entry(key: &str, user: &str, expires: Option<&str>) -> String {
        let digits = format!("{:x}", Sha256::digest(key));
        let mut entry = json!({"user": user, "groups": ["chat"], "sha256": digits});
        if let Some(expires) = expires {
            entry["expires"] = json!(expires);
        }
        entry.to_string()
    }

    fn now() -> Timestamp {
        "2026-11-28T12:00:00Z".parse().unwrap()
    }

    fn feed(keys: &ApiKeys) -> Feed {
        keys.update("keys", None);
        Feed {
            keys: keys.clone(),
            secret: "keys".to_owned(),
            listing: HashMap::new(),
        }
    }

    fn holder(keys: &ApiKeys, key: &str) -> Result<String, KeyRefusal> {
        keys.find(&hash(key), now()).unwrap().map(|holder| holder.user.name)
    }

    #[test]
    fn two_keys_of_one_user_are_valid_at_once_and_one_is_revoked() {
        let keys = ApiKeys::default();
        let mut feed = feed(&keys);
        let (old, new) = (entry("sfk_old", "ui", None), entry("sfk_new", "ui", None));
        let both = BTreeMap::from([("old", old.as_str()), ("new", new.as_str())]);
        let one = BTreeMap::from([("new", new.as_str())]);
        for event in [Init, InitApply(secret(&both)), InitDone] {
            feed.apply(event);
        }
        assert_eq!(holder(&keys, "sfk_old"), Ok("ui".to_owned()));
        assert_eq!(holder(&keys, "sfk_new"), Ok("ui".to_owned()));
        feed.apply(Apply(secret(&one)));
        assert_eq!(holder(&keys, "sfk_old"), Err(KeyRefusal::Unknown));
        assert_eq!(holder(&keys, "sfk_new"), Ok("ui".to_owned()));
        feed.apply(Delete(secret(&one)));
        assert_eq!(holder(&keys, "sfk_new"), Err(KeyRefusal::Unknown));
    }

    #[test]
    fn a_key_expires_at_its_time() {
        let keys = ApiKeys::default();
        let mut feed = feed(&keys);
        let (past, future) = (
            entry("sfk_past", "ci", Some("2026-11-28T12:00:00Z")),
            entry("sfk_future", "ci", Some("2026-11-28T12:00:01Z")),
        );
        feed.apply(Apply(secret(&BTreeMap::from([
            ("a", past.as_str()),
            ("b", future.as_str()),
        ]))));
        assert_eq!(holder(&keys, "sfk_past"), Err(KeyRefusal::Expired));
        assert_eq!(holder(&keys, "sfk_future"), Ok("ci".to_owned()));
    }

    #[test]
    fn before_the_secret_is_read_no_key_is_called_wrong() {
        let keys = ApiKeys::default();
        let mut feed = feed(&keys);
        let error = keys.find(&hash("sfk_any"), now()).unwrap_err();
        assert_eq!(error.status, StatusCode::SERVICE_UNAVAILABLE);
        for event in [Init, InitDone] {
            feed.apply(event);
        }
        assert_eq!(holder(&keys, "sfk_any"), Err(KeyRefusal::Unknown));
    }
}
