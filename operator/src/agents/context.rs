//! The clients, caches and memory that all reconciliations of a scope share.

use std::sync::Arc;

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Pod, ServiceAccount},
    rbac::v1::{Role, RoleBinding},
};
use kube::{Client, core::PartialObjectMeta, runtime::reflector::Store};
use steadfast_crds::AgentRevision;
use steadfast_process::BlockingWork;

use crate::{
    agents::{
        apply_clock::ApplyClock,
        cross_namespace::CrossNamespace,
        identity::{GuardedAgent, GuardedPool, OwnerKind},
        last_applied::LastApplied,
        reference_index::ReferenceIndex,
        revision_history::RevisionSummaries,
        scaling_state::{Scaling, UnmanagedReplicas},
    },
    deletion::state::Deletions,
    kube::{
        backoff::Backoff,
        content_cache::{ConfigMapCache, SecretHashCache},
        namespaced_name::NamespacedName,
        object_cache::ObjectCache,
    },
    metrics::Metrics,
    moves::state::Moves,
    schedules::state::DesiredSchedules,
    settings::Settings,
    tools::GuardedTool,
    versions::state::Versions,
};

/// Shared by all reconciliations of one scope.
pub(crate) struct Context {
    /// Client of the API server.
    pub(crate) client: Client,
    /// Settings of all workers.
    pub(crate) settings: Settings,
    /// The hashes of Secrets.
    pub(crate) secrets: SecretHashCache,
    /// The texts of ConfigMaps.
    pub(crate) config_maps: ConfigMapCache,
    /// The other objects that Agents refer to, and the objects that belong to Agents.
    pub(crate) caches: Caches,
    /// The references of Agents, in both directions.
    pub(crate) index: ReferenceIndex,
    /// What Agents refer to in other namespaces; shared by all scopes.
    pub(crate) cross_namespace: Arc<CrossNamespace>,
    /// The references of WorkerPools, in both directions.
    pub(crate) pool_index: ReferenceIndex,
    /// The desired schedules of Agents.
    pub(crate) schedules: Arc<DesiredSchedules>,
    /// The Agents that are being deleted.
    pub(crate) deletions: Arc<Deletions>,
    /// The Agents that are moving to other workers.
    pub(crate) moves: Arc<Moves>,
    /// The owners whose workers the operator scales.
    pub(crate) scaling: Scaling,
    /// The owners whose workers have versions.
    pub(crate) versions: Versions,
    /// The Deployments whose manifest leaves `replicas` out.
    pub(crate) unmanaged_replicas: UnmanagedReplicas,
    /// The manifests that this process applied.
    pub(crate) last_applied: LastApplied,
    /// What is known of the newest revisions.
    pub(crate) revision_summaries: RevisionSummaries,
    /// Metrics of the process.
    pub(crate) metrics: Metrics,
    /// The Agents that were applied and are not Ready yet.
    pub(crate) apply_clock: ApplyClock,
    /// Delays after failures of Agents.
    pub(crate) agent_backoff: Backoff,
    /// Delays after failures of WorkerPools.
    pub(crate) pool_backoff: Backoff,
    /// Threads for validation: parsers of users' texts, which nobody can stop.
    pub(crate) blocking: BlockingWork,
}

/// One cache per kind.
pub(crate) struct Caches {
    /// Agents, also those that cannot be decoded.
    agents: Store<GuardedAgent>,
    /// AgentTools, also those that cannot be decoded.
    tools: Store<GuardedTool>,
    /// WorkerPools, also those that cannot be decoded.
    pools: Store<GuardedPool>,
    /// Revisions, without their content.
    pub(crate) revisions: ObjectCache<PartialObjectMeta<AgentRevision>>,
    /// Deployments of workers.
    pub(crate) deployments: ObjectCache<Deployment>,
    /// Pods of workers, without their spec.
    pub(crate) pods: ObjectCache<Pod>,
    /// ServiceAccounts of workers.
    pub(crate) service_accounts: ObjectCache<PartialObjectMeta<ServiceAccount>>,
    /// The Role of each namespace with workers.
    pub(crate) roles: ObjectCache<PartialObjectMeta<Role>>,
    /// RoleBindings of workers.
    pub(crate) role_bindings: ObjectCache<PartialObjectMeta<RoleBinding>>,
}

impl Caches {
    /// Empty caches beside the stores of the three controllers.
    pub(crate) fn new(agents: Store<GuardedAgent>, tools: Store<GuardedTool>, pools: Store<GuardedPool>) -> Self {
        Self {
            agents,
            tools,
            pools,
            revisions: ObjectCache::default(),
            deployments: ObjectCache::default(),
            pods: ObjectCache::default(),
            service_accounts: ObjectCache::default(),
            roles: ObjectCache::default(),
            role_bindings: ObjectCache::default(),
        }
    }

    /// All AgentTools.
    pub(crate) fn all_tools(&self) -> Vec<Arc<GuardedTool>> {
        self.tools.state()
    }

    /// The Agent with that name.
    pub(crate) fn agent(&self, key: &NamespacedName) -> Option<Arc<GuardedAgent>> {
        self.agents.get(&key.object_ref())
    }

    /// The WorkerPool with that name.
    pub(crate) fn pool(&self, key: &NamespacedName) -> Option<Arc<GuardedPool>> {
        self.pools.get(&key.object_ref())
    }

    async fn wait_until_synced(&self) {
        // Waiting fails only when the watch is dropped, and then nobody waits.
        let _ = self.agents.wait_until_ready().await;
        let _ = self.tools.wait_until_ready().await;
        let _ = self.pools.wait_until_ready().await;
        self.revisions.wait_until_synced().await;
        self.deployments.wait_until_synced().await;
        self.pods.wait_until_synced().await;
        self.service_accounts.wait_until_synced().await;
        self.roles.wait_until_synced().await;
        self.role_bindings.wait_until_synced().await;
    }
}

impl Context {
    /// Returns when the first list of every watch is complete.
    pub(crate) async fn wait_until_synced(&self) {
        self.caches.wait_until_synced().await;
        self.secrets.objects.wait_until_synced().await;
        self.config_maps.objects.wait_until_synced().await;
    }

    /// Forgets an Agent that is gone.
    pub(crate) fn forget(&self, agent: &NamespacedName) {
        self.agent_backoff.forget(agent);
        self.apply_clock.forget(agent);
        self.revision_summaries.forget(agent);
        self.schedules.remove(agent);
        self.deletions.forget(agent);
        self.moves.forget(agent);
        self.scaling.wakes.forget(agent);
        self.forget_workers(OwnerKind::Agent, agent);
    }

    /// Forgets a WorkerPool that is gone.
    pub(crate) fn forget_pool(&self, pool: &NamespacedName) {
        self.pool_backoff.forget(pool);
        self.forget_workers(OwnerKind::Pool, pool);
    }

    fn forget_workers(&self, kind: OwnerKind, owner: &NamespacedName) {
        let workers = NamespacedName::new(&owner.namespace, kind.worker_name(&owner.name));
        self.last_applied.forget(&workers);
        let owner = (kind, owner.clone());
        self.scaling.remove(&owner);
        self.versions.remove(&owner);
        self.unmanaged_replicas.forget(&owner);
    }
}
