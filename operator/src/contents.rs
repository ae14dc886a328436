//! What stands in the Secrets and ConfigMaps that Agents name.
//!
//! Watches carry only metadata; contents are read when an Agent needs them and
//! kept until the object's version changes. Of Secrets only keyed digests are
//! kept: no secret value outlives the read.

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client, ResourceExt as _, core::PartialObjectMeta};

use crate::{
    cache::{Cache, ObjectKey},
    keyed_hash::KeyedHash,
};

/// Digest of each key of a Secret.
pub type KeyDigests = BTreeMap<String, String>;
/// Text of each key of a ConfigMap.
pub type Texts = BTreeMap<String, String>;

/// Reads referenced objects, at most once per version.
pub struct Contents {
    client: Client,
    hash: KeyedHash,
    /// Which Secrets there are.
    pub secrets: Cache<PartialObjectMeta<Secret>>,
    /// Which ConfigMaps there are.
    pub config_maps: Cache<PartialObjectMeta<ConfigMap>>,
    secret_digests: Kept<KeyDigests>,
    config_map_texts: Kept<Texts>,
}

type Kept<T> = Mutex<HashMap<ObjectKey, Version<T>>>;

#[derive(Debug)]
struct Version<T> {
    resource_version: String,
    content: Arc<T>,
}

impl Contents {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(client: Client, hash: KeyedHash) -> Self {
        Self {
            client,
            hash,
            secrets: Cache::default(),
            config_maps: Cache::default(),
            secret_digests: Kept::default(),
            config_map_texts: Kept::default(),
        }
    }

    /// The hash that digests are made with.
    #[must_use]
    pub fn hash(&self) -> &KeyedHash {
        &self.hash
    }

    /// The digests of a Secret's keys, if there is such a Secret.
    pub async fn fetch_secret(&self, key: &ObjectKey) -> Result<Option<Arc<KeyDigests>>, kube::Error> {
        let known = self
            .secrets
            .get(key)
            .map(|meta| meta.resource_version().unwrap_or_default());
        fetch(&self.secret_digests, key, known, async || {
            let api: Api<Secret> = Api::namespaced(self.client.clone(), &key.namespace);
            let Some(secret) = api.get_opt(&key.name).await? else {
                return Ok(None);
            };
            let resource_version = secret.resource_version().unwrap_or_default();
            let digests = secret.data.unwrap_or_default();
            let digests = digests
                .into_iter()
                .map(|(name, value)| (name, self.hash.digest(&value.0)))
                .collect();
            Ok(Some((resource_version, digests)))
        })
        .await
    }

    /// The texts of a ConfigMap, if there is such a ConfigMap.
    pub async fn fetch_config_map(&self, key: &ObjectKey) -> Result<Option<Arc<Texts>>, kube::Error> {
        let known = self
            .config_maps
            .get(key)
            .map(|meta| meta.resource_version().unwrap_or_default());
        fetch(&self.config_map_texts, key, known, async || {
            let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &key.namespace);
            let Some(config_map) = api.get_opt(&key.name).await? else {
                return Ok(None);
            };
            Ok(Some((
                config_map.resource_version().unwrap_or_default(),
                config_map.data.unwrap_or_default(),
            )))
        })
        .await
    }
}

/// `version`: that of the object as the watch knows it; absent when there is none.
async fn fetch<T, F>(
    kept: &Kept<T>,
    key: &ObjectKey,
    version: Option<String>,
    read: impl FnOnce() -> F,
) -> Result<Option<Arc<T>>, kube::Error>
where
    F: Future<Output = Result<Option<(String, T)>, kube::Error>>,
{
    let lock = || kept.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(version) = version else {
        lock().remove(key);
        return Ok(None);
    };
    if let Some(known) = lock().get(key)
        && known.resource_version == version
    {
        return Ok(Some(Arc::clone(&known.content)));
    }
    let Some((resource_version, content)) = read().await? else {
        return Ok(None);
    };
    let content = Arc::new(content);
    lock().insert(
        key.clone(),
        Version {
            resource_version,
            content: Arc::clone(&content),
        },
    );
    Ok(Some(content))
}
