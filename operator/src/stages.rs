//! Takes one Agent or WorkerPool through the stages of the reconcile, without a cluster.

use steadfast_crds::{Agent, AgentRevision, WorkerPool};

use crate::{
    agents::{
        build::{RevisionPlan, build},
        dereference::{self, dereference},
        manifest_source::ManifestSource,
        reference_index::pool_secrets,
        validate::{self, validate},
    },
    hashing::keyed_hash::{EmptyKeyError, KeyedHash},
    kube::namespaced_name::NamespacedName,
    pools,
    settings::{ImagePullPolicy, Settings},
    validation::ValidationError,
};

/// Why no revisions can be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No hash can be made.
    #[error("hash the Secrets of the manifests")]
    Hash(#[from] EmptyKeyError),
    /// A revision cannot be encoded.
    #[error("encode a revision")]
    Encode(#[from] serde_json::Error),
    /// The objects that an Agent refers to cannot be read.
    #[error(transparent)]
    Dereference(#[from] dereference::Error),
    /// An Agent cannot be validated.
    #[error(transparent)]
    Validate(#[from] validate::Error),
}

/// An Agent of the manifests.
#[derive(Debug)]
pub struct OfflineAgent {
    /// Namespace and name.
    pub key: NamespacedName,
    /// The Agent.
    pub agent: Agent,
    /// What is wrong with it; it has no new revision then.
    pub errors: Vec<ValidationError>,
    /// The next revision, if the content of the newest one differs.
    pub revision: Option<AgentRevision>,
}

impl OfflineAgent {
    /// An Agent that the API server would refuse.
    pub(crate) fn refused(mut agent: Agent, namespace: &str) -> Self {
        agent.metadata.namespace.get_or_insert_with(|| namespace.to_owned());
        Self {
            key: NamespacedName::of(&agent),
            agent,
            errors: Vec::new(),
            revision: None,
        }
    }
}

/// Takes one Agent through the stages, as the reconcile does.
pub(crate) async fn plan_agent(
    mut agent: Agent,
    source: &ManifestSource,
    namespace: &str,
    settings: &Settings,
    hash: &KeyedHash,
) -> Result<OfflineAgent, Error> {
    agent.metadata.namespace.get_or_insert_with(|| namespace.to_owned());
    let dereferenced = dereference(source, &agent, settings).await?;
    let validated = validate(&agent, &dereferenced, settings, hash)?;
    let desired = build(&validated, &dereferenced.history, settings);
    Ok(OfflineAgent {
        key: NamespacedName::of(&agent),
        agent,
        errors: validated.errors,
        revision: match desired.revision {
            RevisionPlan::Create { revision, .. } => Some(*revision),
            RevisionPlan::Keep { .. } => None,
        },
    })
}

/// A WorkerPool of the manifests.
#[derive(Debug)]
pub struct OfflinePool {
    /// Namespace and name.
    pub key: NamespacedName,
    /// The WorkerPool.
    pub pool: WorkerPool,
}

/// Checks one WorkerPool, as the reconcile does.
pub(crate) async fn check_pool(
    mut pool: WorkerPool,
    source: &ManifestSource,
    namespace: &str,
    settings: &Settings,
    hash: &KeyedHash,
) -> Result<(OfflinePool, Vec<ValidationError>), Error> {
    pool.metadata.namespace.get_or_insert_with(|| namespace.to_owned());
    let key = NamespacedName::of(&pool);
    let names = pool_secrets(&pool, settings);
    let secrets = dereference::secrets(source, &key.namespace, names).await?;
    let (_, errors) = pools::validate::validate(&pool, &secrets, settings, hash)?;
    Ok((OfflinePool { key, pool }, errors))
}

/// Settings of a cluster do not matter here.
pub(crate) fn settings(install_id: &str) -> Settings {
    Settings {
        install_id: install_id.to_owned(),
        worker_image: "steadfast/worker".to_owned(),
        image_pull_policy: ImagePullPolicy::IfNotPresent,
        worker_env: Vec::new(),
        worker_secret_env: Vec::new(),
        worker_encryption: None,
        allow_service_account_name: false,
    }
}
