//! The objects of manifests, for dereferencing an Agent without a cluster.

use std::{collections::HashMap, sync::Arc};

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Resource, core::DeserializeGuard};
use steadfast_crds::{
    Agent, AgentReferenceGrant, AgentTool, WorkerPool,
    manifests::{Manifest, ManifestError},
};

use crate::{
    agents::{
        dereference::{ReferenceSource, SourceError},
        grants::{Grants, Referent, Refusal},
        identity::{AgentIdentity, GuardedAgent, GuardedPool},
        pool_summary::PoolSummary,
        revision_history::RevisionHistory,
        summary::AgentSummary,
    },
    hashing::{keyed_hash::KeyedHash, secret_value::SecretValue},
    kube::{
        content_cache::{ConfigMapData, SecretHashes},
        namespaced_name::NamespacedName,
    },
    tools::GuardedTool,
};

/// The Agents, AgentTools, WorkerPools, AgentReferenceGrants, Secrets and ConfigMaps of manifests. An Agent has no
/// revision, unless one is set.
#[derive(Debug, Default)]
pub struct ManifestSource {
    agents: HashMap<NamespacedName, GuardedAgent>,
    tools: HashMap<NamespacedName, Arc<GuardedTool>>,
    pools: HashMap<NamespacedName, GuardedPool>,
    grants: Grants,
    secrets: HashMap<NamespacedName, Arc<SecretHashes>>,
    config_maps: HashMap<NamespacedName, Arc<ConfigMapData>>,
    histories: HashMap<NamespacedName, RevisionHistory>,
}

impl ManifestSource {
    /// Takes the objects of the kinds that an Agent may refer to; ignores other kinds.
    ///
    /// `namespace` is that of the objects that have none. An Agent or AgentTool that cannot be decoded is reported
    /// when an Agent refers to it, as in a cluster.
    pub fn new(manifests: &[Manifest], namespace: &str, hash: &KeyedHash) -> Result<Self, ManifestError> {
        let mut source = Self::default();
        for manifest in manifests {
            source.insert(manifest, namespace, hash)?;
        }
        Ok(source)
    }

    /// Takes one object; see [`Self::new`].
    pub fn insert(&mut self, manifest: &Manifest, namespace: &str, hash: &KeyedHash) -> Result<(), ManifestError> {
        if manifest.is::<Agent>() {
            let agent: GuardedAgent = manifest.decode()?;
            self.agents.insert(key(&agent, namespace), agent);
        } else if manifest.is::<AgentTool>() {
            let tool: DeserializeGuard<AgentTool> = manifest.decode()?;
            self.tools.insert(key(&tool, namespace), Arc::new(tool));
        } else if manifest.is::<WorkerPool>() {
            let pool: GuardedPool = manifest.decode()?;
            self.pools.insert(key(&pool, namespace), pool);
        } else if manifest.is::<AgentReferenceGrant>() {
            let grant: AgentReferenceGrant = manifest.decode()?;
            self.grants.set(&key(&grant, namespace), Some(grant.spec));
        } else if manifest.is::<Secret>() {
            let secret: Secret = manifest.decode()?;
            let key = key(&secret, namespace);
            self.secrets.insert(key, Arc::new(hashes(secret, hash)));
        } else if manifest.is::<ConfigMap>() {
            let config_map: ConfigMap = manifest.decode()?;
            let key = key(&config_map, namespace);
            let data = config_map.data.unwrap_or_default();
            self.config_maps.insert(key, Arc::new(data));
        }
        Ok(())
    }

    /// Sets the revisions that an Agent has already.
    pub fn set_history(&mut self, agent: NamespacedName, history: RevisionHistory) {
        self.histories.insert(agent, history);
    }
}

fn key<K: Resource>(object: &K, namespace: &str) -> NamespacedName {
    let key = NamespacedName::of(object);
    if key.namespace.is_empty() {
        NamespacedName::new(namespace, key.name)
    } else {
        key
    }
}

fn hashes(secret: Secret, hash: &KeyedHash) -> SecretHashes {
    let encoded = secret.data.into_iter().flatten();
    let plain = secret.string_data.into_iter().flatten();
    encoded
        .map(|(name, value)| (name, SecretValue::of(&value.0, hash)))
        // As the API server does, a plain value replaces an encoded one.
        .chain(plain.map(|(name, value)| (name, SecretValue::of(value.as_bytes(), hash))))
        .collect()
}

impl ReferenceSource for ManifestSource {
    fn refusal(&self, from: &str, to: &Referent) -> Result<Option<Refusal>, SourceError> {
        Ok((!self.grants.permit(from, to)).then_some(Refusal::NotPermitted))
    }

    fn tool(&self, key: &NamespacedName) -> Option<Arc<GuardedTool>> {
        self.tools.get(key).cloned()
    }

    fn agent(&self, key: &NamespacedName) -> AgentSummary {
        AgentSummary::of(self.agents.get(key))
    }

    fn pool(&self, key: &NamespacedName) -> PoolSummary {
        PoolSummary::of(self.pools.get(key))
    }

    async fn secret_hashes(&self, key: &NamespacedName) -> Result<Option<Arc<SecretHashes>>, SourceError> {
        Ok(self.secrets.get(key).cloned())
    }

    async fn config_map(&self, key: &NamespacedName) -> Result<Option<Arc<ConfigMapData>>, SourceError> {
        Ok(self.config_maps.get(key).cloned())
    }

    async fn revision_history(&self, agent: &AgentIdentity) -> Result<RevisionHistory, SourceError> {
        Ok(self.histories.get(&agent.key).cloned().unwrap_or_default())
    }
}
