//! Applies the manifests: the only stage that writes the objects of an Agent or of a
//! WorkerPool.
//!
//! One server-side apply per object, and none if the object is unchanged since
//! this process applied it last. An object of the same name that does not belong
//! to its owner is left alone and reported. The Deployment comes last, so that
//! the objects that its pods need exist before them.

use std::{fmt::Debug, sync::Arc};

use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Resource, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
    core::{NamespaceResourceScope, ObjectMeta, PartialObjectMeta},
};
use serde::{Serialize, de::DeserializeOwned};
use steadfast_crds::{
    AgentRevision,
    conditions::{ConditionType, Reason},
    names::{MANAGED_BY, MANAGED_BY_LABEL},
};

use crate::{
    MANAGER,
    agents::{
        build::{Desired, RevisionPlan, WorkerObjects},
        context::Context,
        identity::{AgentIdentity, WorkerOwner},
        last_applied::{AppliedVersion, version_of},
        replicas::keep_replicas,
        revision_history::RevisionSummary,
        withdrawal::has_foreign_references,
    },
    hashing::content_digest,
    kube::{namespaced_name::NamespacedName, object_cache::ObjectCache},
    validation::ValidationError,
};

/// Why an object could not be applied for now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The API server did not create a revision.
    #[error("create AgentRevision {name}")]
    CreateRevision {
        /// The revision.
        name: String,
        /// The cause.
        source: kube::Error,
    },
    /// The API server did not tell whether an object exists.
    #[error("read {kind} {name}")]
    Read {
        /// Kind of the object.
        kind: &'static str,
        /// Name of the object.
        name: String,
        /// The cause.
        source: kube::Error,
    },
    /// The API server did not apply an object.
    #[error("apply {kind} {name}")]
    Apply {
        /// Kind of the object.
        kind: &'static str,
        /// Name of the object.
        name: String,
        /// The cause.
        source: kube::Error,
    },
    /// A manifest cannot be encoded.
    #[error("encode {kind}")]
    Encode {
        /// Kind of the object.
        kind: &'static str,
        /// The cause.
        source: serde_json::Error,
    },
}

/// The objects of an Agent after the stage.
#[derive(Clone, Debug, Default)]
pub(crate) struct Applied {
    /// Sequence number of the current revision.
    pub(crate) revision: Option<i64>,
    /// Whether this reconciliation created the current revision.
    pub(crate) revision_origin: RevisionOrigin,
    /// Whether the Agent has manifests for workers.
    pub(crate) workers_wanted: bool,
    /// The Deployment.
    pub(crate) deployment: Option<Arc<Deployment>>,
    /// Why the manifests for workers were not applied.
    pub(crate) refusal: Option<ValidationError>,
}

/// Whether a revision is new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum RevisionOrigin {
    /// It existed before this reconciliation.
    #[default]
    Existing,
    /// This reconciliation created it.
    New,
}

/// The result of one apply.
enum ApplyResult<K> {
    /// The object is as desired; present if it was written just now.
    Applied(Option<K>),
    /// A person must do something first.
    Refused(ValidationError),
}

/// Applies the manifests.
pub(crate) async fn apply(context: &Context, agent: &AgentIdentity, desired: Desired) -> Result<Applied, Error> {
    // No `..`: a new part of Desired does not compile until it is applied.
    let Desired {
        revision,
        schedules,
        workers,
    } = desired;
    let mut applied = Applied {
        workers_wanted: workers.is_some(),
        ..Applied::default()
    };
    if let Some(schedules) = schedules {
        context.schedules.set(&agent.key, schedules);
    }
    match revision {
        RevisionPlan::Keep { current } => applied.revision = current,
        RevisionPlan::Create { revision, digest } => match create_revision(context, agent, &revision, digest).await? {
            ApplyResult::Applied(sequence) => {
                applied.revision = sequence;
                applied.revision_origin = RevisionOrigin::New;
            }
            ApplyResult::Refused(error) => applied.refusal = Some(error),
        },
    }
    if let Some(workers) = workers
        && applied.refusal.is_none()
    {
        applied.refusal = apply_workers(context, &agent.as_owner(), workers, &mut applied.deployment).await?;
    }
    if applied.deployment.is_none() {
        applied.deployment = deployment_of(context, &agent.as_owner());
    }
    Ok(applied)
}

/// The Deployment of an owner as the watch knows it.
pub(crate) fn deployment_of(context: &Context, owner: &WorkerOwner) -> Option<Arc<Deployment>> {
    let key = NamespacedName::new(&owner.key.namespace, owner.worker_name());
    let own = |deployment: &Arc<Deployment>| owner.owns(deployment.as_ref());
    context.caches.deployments.get(&key).filter(own)
}

/// Applies the manifests of workers. Returns why they were refused, if they were.
pub(crate) async fn apply_workers(
    context: &Context,
    owner: &WorkerOwner,
    workers: WorkerObjects,
    deployed: &mut Option<Arc<Deployment>>,
) -> Result<Option<ValidationError>, Error> {
    // No `..`: a new kind does not compile until it is applied.
    let WorkerObjects {
        service_account,
        role,
        role_binding,
        deployment,
        old_versions,
    } = workers;
    let caches = &context.caches;
    if let ApplyResult::Refused(error) =
        apply_object(context, owner, &caches.service_accounts, &service_account).await?
    {
        return Ok(Some(error));
    }
    if let ApplyResult::Refused(error) = apply_object(context, owner, &caches.roles, &role).await? {
        return Ok(Some(error));
    }
    if let ApplyResult::Refused(error) = apply_object(context, owner, &caches.role_bindings, &role_binding).await? {
        return Ok(Some(error));
    }
    // Before the image changes: tasks may be on it.
    for old in &old_versions {
        match apply_deployment(context, owner, old).await? {
            ApplyResult::Refused(error) => return Ok(Some(error)),
            ApplyResult::Applied(Some(written)) => remember(context, written),
            ApplyResult::Applied(None) => {}
        }
    }
    let existing = deployment_of(context, owner);
    let kept = keep_replicas(context, owner, &deployment, existing.as_deref()).await;
    kept.map_err(|source| Error::Apply {
        kind: "Deployment",
        name: owner.worker_name(),
        source,
    })?;
    match apply_deployment(context, owner, &deployment).await? {
        ApplyResult::Refused(error) => Ok(Some(error)),
        ApplyResult::Applied(written) => {
            *deployed = written.map(Arc::new);
            Ok(None)
        }
    }
}

async fn apply_deployment(
    context: &Context,
    owner: &WorkerOwner,
    deployment: &Deployment,
) -> Result<ApplyResult<Deployment>, Error> {
    match apply_object(context, owner, &context.caches.deployments, deployment).await {
        // Only a Deployment contains fields that a user wrote.
        Err(Error::Apply {
            source: kube::Error::Api(status),
            ..
        }) if is_refusal(status.code) => Ok(ApplyResult::Refused(ValidationError::new(
            ConditionType::Accepted,
            Reason::InvalidPodTemplate,
            format!("the API server refuses the Deployment: {}", status.message),
        ))),
        result => result,
    }
}

/// Puts a Deployment into the cache, ahead of the watch.
fn remember(context: &Context, mut written: Deployment) {
    written.metadata.managed_fields = None;
    context.caches.deployments.insert(written);
}

async fn create_revision(
    context: &Context,
    agent: &AgentIdentity,
    revision: &AgentRevision,
    digest: String,
) -> Result<ApplyResult<i64>, Error> {
    let api: Api<AgentRevision> = Api::namespaced(context.client.clone(), &agent.key.namespace);
    let parameters = PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    };
    let name = revision.name_any();
    let created = match api.create(&parameters, revision).await {
        Ok(created) => created,
        Err(source) => {
            if already_exists(&source) && belongs_to_another(&api, agent, &name).await? {
                let key = NamespacedName::new(&agent.key.namespace, name);
                return Ok(ApplyResult::Refused(name_taken(
                    &agent.as_owner(),
                    "AgentRevision",
                    &key,
                )));
            }
            return Err(Error::CreateRevision { name, source });
        }
    };
    if let Some(uid) = created.uid() {
        let summary = RevisionSummary {
            digest,
            has_foreign_references: has_foreign_references(&revision.spec),
        };
        context.revision_summaries.set(&agent.key, uid, summary);
    }
    // Ahead of the watch, so that the next reconciliation does not create the revision a second time.
    context.caches.revisions.insert(metadata_only(created.metadata));
    Ok(ApplyResult::Applied(Some(revision.spec.sequence)))
}

fn already_exists(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

async fn belongs_to_another(api: &Api<AgentRevision>, agent: &AgentIdentity, name: &str) -> Result<bool, Error> {
    let existing = api.get_metadata_opt(name).await.map_err(|source| Error::Read {
        kind: "AgentRevision",
        name: name.to_owned(),
        source,
    })?;
    Ok(existing.is_some_and(|existing| !agent.owns(&existing)))
}

fn metadata_only<K>(mut metadata: ObjectMeta) -> PartialObjectMeta<K> {
    metadata.managed_fields = None;
    PartialObjectMeta {
        types: None,
        metadata,
        _phantom: std::marker::PhantomData,
    }
}

async fn apply_object<K, C>(
    context: &Context,
    owner: &WorkerOwner,
    cache: &ObjectCache<C>,
    desired: &K,
) -> Result<ApplyResult<K>, Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + k8s_openapi::Resource
        + Clone
        + Serialize
        + DeserializeOwned
        + Debug,
    C: Resource,
{
    let kind = <K as k8s_openapi::Resource>::KIND;
    let key = NamespacedName::of(desired);
    let api: Api<K> = Api::namespaced(context.client.clone(), &key.namespace);
    let manifest = content_digest::digest(desired).map_err(|source| Error::Encode { kind, source })?;
    let belongs = if let Some(existing) = cache.get(&key) {
        let applied = AppliedVersion {
            manifest: manifest.clone(),
            version: version_of(existing.as_ref()),
        };
        let belongs = may_apply(owner, existing.as_ref(), desired);
        if belongs && context.last_applied.matches(kind, &key, &applied) {
            return Ok(ApplyResult::Applied(None));
        }
        belongs
    } else {
        let read = |source| Error::Read {
            kind,
            name: key.name.clone(),
            source,
        };
        let existing = api.get_metadata_opt(&key.name).await.map_err(read)?;
        existing.is_none_or(|existing| may_apply(owner, &existing, desired))
    };
    if !belongs {
        return Ok(ApplyResult::Refused(name_taken(owner, kind, &key)));
    }
    match api
        .patch(&key.name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(desired))
        .await
    {
        Ok(written) => {
            context.last_applied.set(
                kind,
                &key,
                AppliedVersion {
                    manifest,
                    version: version_of(&written),
                },
            );
            Ok(ApplyResult::Applied(Some(written)))
        }
        Err(source) => Err(Error::Apply {
            kind,
            name: key.name,
            source,
        }),
    }
}

/// Whether the API server refuses the manifest itself, and will refuse it again.
const fn is_refusal(code: u16) -> bool {
    matches!(code, 400 | 422)
}

/// Whether an existing object is this owner's, or one that all owners share. A label is no proof: anybody can write it.
fn may_apply<A: Resource, B: Resource>(owner: &WorkerOwner, existing: &A, desired: &B) -> bool {
    let labels = existing.labels();
    let ours = labels.get(MANAGED_BY_LABEL).is_some_and(|by| by == MANAGED_BY);
    let shared = desired.owner_references().is_empty() && existing.owner_references().is_empty() && ours;
    owner.owns(existing) || shared
}

fn name_taken(owner: &WorkerOwner, kind: &str, key: &NamespacedName) -> ValidationError {
    ValidationError::new(
        ConditionType::WorkersAvailable,
        Reason::NameTaken,
        format!(
            "{kind} \"{}\" exists and does not belong to this {}; rename or delete it",
            key.name,
            owner.kind.as_str()
        ),
    )
}
