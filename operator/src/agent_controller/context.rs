//! What a reconciliation works with: clients, caches and memory.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Pod, ServiceAccount},
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    Client,
    core::PartialObjectMeta,
    runtime::{
        events::Recorder,
        reflector::{ObjectRef, Store},
    },
};
use steadfast_crds::AgentRevision;

use crate::{
    agent_controller::{GuardedAgent, build::worker_name},
    backoff::Backoff,
    cache::{Cache, ObjectKey},
    contents::Contents,
    metrics::Metrics,
    reference_index::ReferenceIndex,
    schedules::board::Board,
    settings::Settings,
    tool_controller::GuardedTool,
};

/// Shared by all reconciliations of one scope.
pub struct Context {
    /// Connection to the API server.
    pub client: Client,
    /// What all workers have in common.
    pub settings: Settings,
    /// Secrets and ConfigMaps.
    pub contents: Contents,
    /// Objects that Agents name, and objects made for them.
    pub caches: Caches,
    /// Which Agents name what.
    pub index: ReferenceIndex,
    /// What schedules Agents want.
    pub schedules: Arc<Board>,
    /// What was applied by this process.
    pub applied: AppliedMarks,
    /// Digest of each Agent's newest revision, by the revision's uid.
    pub revision_digests: RevisionDigests,
    /// Where Events go.
    pub recorder: Recorder,
    /// What is counted.
    pub metrics: Metrics,
    /// How long failed Agents wait.
    pub backoff: Backoff,
}

/// One cache per kind.
pub struct Caches {
    /// Agents, readable or not, for those that name others.
    pub agents: Store<GuardedAgent>,
    /// Tools, readable or not.
    pub tools: Store<GuardedTool>,
    /// Revisions, without their content.
    pub revisions: Cache<PartialObjectMeta<AgentRevision>>,
    /// Deployments of workers.
    pub deployments: Cache<Deployment>,
    /// Worker pods, without their spec.
    pub pods: Cache<Pod>,
    /// Service accounts of workers.
    pub service_accounts: Cache<PartialObjectMeta<ServiceAccount>>,
    /// The Role of each namespace.
    pub roles: Cache<PartialObjectMeta<Role>>,
    /// Bindings of workers to the Role.
    pub role_bindings: Cache<PartialObjectMeta<RoleBinding>>,
}

impl Caches {
    /// Empty caches, but for what the controllers themselves need too.
    #[must_use]
    pub fn new(agents: Store<GuardedAgent>, tools: Store<GuardedTool>) -> Self {
        Self {
            agents,
            tools,
            revisions: Cache::default(),
            deployments: Cache::default(),
            pods: Cache::default(),
            service_accounts: Cache::default(),
            roles: Cache::default(),
            role_bindings: Cache::default(),
        }
    }

    /// The tool of that name.
    #[must_use]
    pub fn tool(&self, key: &ObjectKey) -> Option<Arc<GuardedTool>> {
        self.tools.get(&ObjectRef::new(&key.name).within(&key.namespace))
    }

    /// The Agent of that name.
    #[must_use]
    pub fn agent(&self, key: &ObjectKey) -> Option<Arc<GuardedAgent>> {
        self.agents.get(&ObjectRef::new(&key.name).within(&key.namespace))
    }

    /// Returns once every cache knows what there is.
    pub async fn wait_until_synced(&self) {
        // These fail only when their watch is gone, and then nobody waits.
        let _ = self.agents.wait_until_ready().await;
        let _ = self.tools.wait_until_ready().await;
        self.revisions.wait_until_synced().await;
        self.deployments.wait_until_synced().await;
        self.pods.wait_until_synced().await;
        self.service_accounts.wait_until_synced().await;
        self.roles.wait_until_synced().await;
        self.role_bindings.wait_until_synced().await;
    }
}

impl Context {
    /// Returns once every cache knows what there is.
    pub async fn wait_until_synced(&self) {
        self.caches.wait_until_synced().await;
        self.contents.secrets.wait_until_synced().await;
        self.contents.config_maps.wait_until_synced().await;
    }

    /// Forgets an Agent that is gone.
    pub fn forget(&self, agent: &ObjectKey) {
        self.backoff.forget(agent);
        self.revision_digests.forget(agent);
        self.schedules.forget(agent);
        let name = worker_name(&agent.name);
        self.applied.forget(&ObjectKey::new(&agent.namespace, name));
    }
}

/// Digest of the newest revision of each Agent.
#[derive(Debug, Default)]
pub struct RevisionDigests(Mutex<HashMap<ObjectKey, (String, String)>>);

impl RevisionDigests {
    /// The digest of the revision `uid` of `agent`, if known.
    pub fn get(&self, agent: &ObjectKey, uid: &str) -> Option<String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get(agent)
            .filter(|(known_uid, _)| known_uid == uid)
            .map(|(_, digest)| digest.clone())
    }

    /// Remembers the digest of an Agent's newest revision.
    pub fn set(&self, agent: &ObjectKey, uid: String, digest: String) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(agent.clone(), (uid, digest));
    }

    /// Forgets an Agent that is gone.
    pub fn forget(&self, agent: &ObjectKey) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(agent);
    }
}

/// Which manifest each object was last applied with, so that an object that
/// stands as applied is not applied again.
#[derive(Debug, Default)]
pub struct AppliedMarks(Mutex<HashMap<(&'static str, ObjectKey), AppliedMark>>);

/// A manifest, and the version of the object it led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedMark {
    /// Digest of the manifest.
    pub manifest: String,
    /// Version of the object, see [`version_of`].
    pub version: String,
}

impl AppliedMarks {
    /// Whether that manifest led to that version.
    pub fn matches(&self, kind: &'static str, key: &ObjectKey, mark: &AppliedMark) -> bool {
        let marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        marks.get(&(kind, key.clone())) == Some(mark)
    }

    /// Remembers an apply.
    pub fn set(&self, kind: &'static str, key: &ObjectKey, mark: AppliedMark) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert((kind, key.clone()), mark);
    }

    /// Forgets objects of that name, of whatever kind.
    pub fn forget(&self, key: &ObjectKey) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|(_, known), _| known != key);
    }
}

/// What changes when somebody edits the object, but not when only its status
/// moves: the generation where the API keeps one, else the resource version.
pub fn version_of<K: kube::ResourceExt>(object: &K) -> String {
    let uid = object.uid().unwrap_or_default();
    match object.meta().generation {
        Some(generation) => {
            // Labels and annotations are not part of the generation.
            let annotations = object
                .annotations()
                .iter()
                .filter(|(name, _)| !name.starts_with("deployment.kubernetes.io/"));
            let rest = crate::content_digest::digest(&(object.labels(), annotations.collect::<Vec<_>>()));
            format!("{uid} generation {generation} {}", rest.unwrap_or_default())
        }
        None => format!("{uid} version {}", object.resource_version().unwrap_or_default()),
    }
}
