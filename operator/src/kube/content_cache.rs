//! The contents of the Secrets and ConfigMaps that Agents refer to.
//!
//! Watches carry only metadata. A content is read when an Agent needs it, and
//! kept until the object's version changes. Of a Secret only keyed hashes are
//! kept: no secret value outlives the read.

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client, ResourceExt as _, core::PartialObjectMeta};

use crate::{
    hashing::{keyed_hash::KeyedHash, secret_value::SecretValue},
    kube::{namespaced_name::NamespacedName, object_cache::ObjectCache},
};

/// What is kept of each value of a Secret, by key.
pub(crate) type SecretHashes = BTreeMap<String, SecretValue>;
/// The text of each key of a ConfigMap.
pub(crate) type ConfigMapData = BTreeMap<String, String>;

/// The keyed hashes of Secrets; reads a Secret at most once per version.
pub(crate) struct SecretHashCache {
    client: Client,
    hash: KeyedHash,
    /// The Secrets that exist, without their values.
    pub(crate) objects: ObjectCache<PartialObjectMeta<Secret>>,
    hashes: VersionedCache<SecretHashes>,
}

impl SecretHashCache {
    /// An empty cache.
    pub(crate) fn new(client: Client, hash: KeyedHash) -> Self {
        Self {
            client,
            hash,
            objects: ObjectCache::default(),
            hashes: VersionedCache::default(),
        }
    }

    /// The hash function of all secret values.
    pub(crate) fn hash(&self) -> &KeyedHash {
        &self.hash
    }

    /// The hashes of a Secret's values; `None` if the Secret does not exist.
    pub(crate) async fn fetch(&self, key: &NamespacedName) -> Result<Option<Arc<SecretHashes>>, kube::Error> {
        let version = self.objects.get(key).map(|meta| resource_version(meta.as_ref()));
        self.hashes
            .get_or_read(key, version, async || {
                let api: Api<Secret> = Api::namespaced(self.client.clone(), &key.namespace);
                let Some(secret) = api.get_opt(&key.name).await? else {
                    return Ok(None);
                };
                let version = resource_version(&secret);
                let values = secret.data.unwrap_or_default();
                let hashes = values
                    .into_iter()
                    .map(|(name, value)| (name, SecretValue::of(&value.0, &self.hash)))
                    .collect();
                Ok(Some((version, hashes)))
            })
            .await
    }
}

/// The texts of ConfigMaps; reads a ConfigMap at most once per version.
pub(crate) struct ConfigMapCache {
    client: Client,
    /// The ConfigMaps that exist, without their texts.
    pub(crate) objects: ObjectCache<PartialObjectMeta<ConfigMap>>,
    data: VersionedCache<ConfigMapData>,
}

impl ConfigMapCache {
    /// An empty cache.
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            objects: ObjectCache::default(),
            data: VersionedCache::default(),
        }
    }

    /// The texts of a ConfigMap; `None` if the ConfigMap does not exist.
    pub(crate) async fn fetch(&self, key: &NamespacedName) -> Result<Option<Arc<ConfigMapData>>, kube::Error> {
        let version = self.objects.get(key).map(|meta| resource_version(meta.as_ref()));
        self.data
            .get_or_read(key, version, async || {
                let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &key.namespace);
                let Some(config_map) = api.get_opt(&key.name).await? else {
                    return Ok(None);
                };
                Ok(Some((
                    resource_version(&config_map),
                    config_map.data.unwrap_or_default(),
                )))
            })
            .await
    }
}

fn resource_version<K: kube::Resource>(object: &K) -> String {
    object.resource_version().unwrap_or_default()
}

/// The content of each object, with the version that it was read at.
#[derive(Debug)]
struct VersionedCache<T>(Mutex<HashMap<NamespacedName, (String, Arc<T>)>>);

impl<T> Default for VersionedCache<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> VersionedCache<T> {
    /// The content at `version`, which the watch reported; `None` for an object that does not exist.
    async fn get_or_read<F>(
        &self,
        key: &NamespacedName,
        version: Option<String>,
        read: impl FnOnce() -> F,
    ) -> Result<Option<Arc<T>>, kube::Error>
    where
        F: Future<Output = Result<Option<(String, T)>, kube::Error>>,
    {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(version) = version else {
            lock().remove(key);
            return Ok(None);
        };
        if let Some((known, content)) = lock().get(key)
            && *known == version
        {
            return Ok(Some(Arc::clone(content)));
        }
        let Some((version, content)) = read().await? else {
            return Ok(None);
        };
        let content = Arc::new(content);
        lock().insert(key.clone(), (version, Arc::clone(&content)));
        Ok(Some(content))
    }
}
