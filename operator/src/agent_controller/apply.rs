//! Makes what was built exist: the only step that writes an Agent's objects.
//!
//! One server-side apply per object, and none when the object still stands as
//! this process last applied it. An object of the same name that is not the
//! Agent's is left alone and told of. The workload comes last, so that what it
//! needs is there before its pods are.

use std::{fmt::Debug, sync::Arc};

use k8s_openapi::api::apps::v1::Deployment;
use kube::{
    Api, Resource, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
    core::{NamespaceResourceScope, ObjectMeta, PartialObjectMeta},
};
use serde::{Serialize, de::DeserializeOwned};
use steadfast_crds::{
    Agent, AgentRevision,
    conditions::{ConditionType, Reason},
    names::{MANAGED_BY, MANAGED_BY_LABEL},
};

use crate::{
    MANAGER,
    agent_controller::{
        build::{Desired, RevisionPlan, WorkerObjects, is_owned_by, worker_name},
        context::{AppliedMark, Context, version_of},
    },
    cache::{Cache, ObjectKey},
    conditions::Problem,
    content_digest,
};

/// Why something could not be applied for now.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server did not take a new revision.
    #[error("create AgentRevision {name}")]
    CreateRevision {
        /// The revision.
        name: String,
        /// The cause.
        source: kube::Error,
    },
    /// The API server did not say whether there is such an object.
    #[error("look for {kind} {name}")]
    Look {
        /// Kind of the object.
        kind: &'static str,
        /// Name of the object.
        name: String,
        /// The cause.
        source: kube::Error,
    },
    /// The API server did not take an object.
    #[error("apply {kind} {name}")]
    Apply {
        /// Kind of the object.
        kind: &'static str,
        /// Name of the object.
        name: String,
        /// The cause.
        source: kube::Error,
    },
    /// A manifest cannot be put into words.
    #[error("encode {kind}")]
    Encode {
        /// Kind of the object.
        kind: &'static str,
        /// The cause.
        source: serde_json::Error,
    },
}

/// What there is now.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// Sequence number of the current revision.
    pub revision: Option<i64>,
    /// Whether it was made just now.
    pub revision_made: RevisionMade,
    /// Whether workers were to be applied.
    pub workers_wanted: bool,
    /// The Deployment as it stands.
    pub deployment: Option<Arc<Deployment>>,
    /// Why workers were not applied after all.
    pub refusal: Option<Problem>,
}

/// Whether a revision was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RevisionMade {
    /// The current one was there before.
    #[default]
    Before,
    /// It was made in this reconciliation.
    JustNow,
}

/// Outcome of one apply.
enum Step<K> {
    /// The object stands; present if it was written just now.
    Done(Option<K>),
    /// A person must do something first.
    Refused(Problem),
}

/// Makes it so.
pub async fn apply(context: &Context, agent: &Agent, desired: Desired) -> Result<Applied, Error> {
    let Desired { revision, workers } = desired;
    let mut applied = Applied {
        workers_wanted: workers.is_some(),
        ..Applied::default()
    };
    match revision {
        RevisionPlan::Keep { current } => applied.revision = current,
        RevisionPlan::Create { revision, digest } => {
            applied.revision = Some(create_revision(context, agent, &revision, digest).await?);
            applied.revision_made = RevisionMade::JustNow;
        }
    }
    if let Some(workers) = workers {
        applied.refusal = apply_workers(context, agent, workers, &mut applied.deployment).await?;
    }
    if applied.deployment.is_none() {
        let key = ObjectKey::new(agent.namespace().unwrap_or_default(), worker_name(&agent.name_any()));
        let own = |deployment: &Arc<Deployment>| is_owned_by(deployment.as_ref(), agent);
        applied.deployment = context.caches.deployments.get(&key).filter(own);
    }
    Ok(applied)
}

async fn apply_workers(
    context: &Context,
    agent: &Agent,
    workers: WorkerObjects,
    stands: &mut Option<Arc<Deployment>>,
) -> Result<Option<Problem>, Error> {
    // No `..`: a new kind does not compile until it is applied.
    let WorkerObjects {
        service_account,
        role,
        role_binding,
        deployment,
    } = workers;
    let caches = &context.caches;
    if let Step::Refused(problem) = apply_object(context, agent, &caches.service_accounts, &service_account).await? {
        return Ok(Some(problem));
    }
    if let Step::Refused(problem) = apply_object(context, agent, &caches.roles, &role).await? {
        return Ok(Some(problem));
    }
    if let Step::Refused(problem) = apply_object(context, agent, &caches.role_bindings, &role_binding).await? {
        return Ok(Some(problem));
    }
    match apply_object(context, agent, &caches.deployments, &deployment).await {
        Ok(Step::Refused(problem)) => Ok(Some(problem)),
        Ok(Step::Done(written)) => {
            *stands = written.map(Arc::new);
            Ok(None)
        }
        // The one object that carries what users write.
        Err(Error::Apply {
            source: kube::Error::Api(status),
            ..
        }) if is_refusal(status.code) => Ok(Some(Problem::new(
            ConditionType::Accepted,
            Reason::InvalidPodTemplate,
            format!("the API server refuses the Deployment: {}", status.message),
        ))),
        Err(error) => Err(error),
    }
}

async fn create_revision(
    context: &Context,
    agent: &Agent,
    revision: &AgentRevision,
    digest: String,
) -> Result<i64, Error> {
    let namespace = agent.namespace().unwrap_or_default();
    let api: Api<AgentRevision> = Api::namespaced(context.client.clone(), &namespace);
    let parameters = PostParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PostParams::default()
    };
    let created = api
        .create(&parameters, revision)
        .await
        .map_err(|source| Error::CreateRevision {
            name: revision.name_any(),
            source,
        })?;
    if let Some(uid) = created.uid() {
        context.revision_digests.set(&ObjectKey::of(agent), uid, digest);
    }
    // Ahead of the watch, lest the next reconciliation makes it a second time.
    context.caches.revisions.insert(metadata_only(created.metadata));
    Ok(revision.spec.sequence)
}

fn metadata_only<K>(mut metadata: ObjectMeta) -> PartialObjectMeta<K> {
    metadata.managed_fields = None;
    PartialObjectMeta {
        types: None,
        metadata,
        _phantom: std::marker::PhantomData,
    }
}

async fn apply_object<K, C>(context: &Context, agent: &Agent, cache: &Cache<C>, desired: &K) -> Result<Step<K>, Error>
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
    let key = ObjectKey::of(desired);
    let api: Api<K> = Api::namespaced(context.client.clone(), &key.namespace);
    let manifest = content_digest::digest(desired).map_err(|source| Error::Encode { kind, source })?;
    if let Some(standing) = cache.get(&key) {
        let mark = AppliedMark {
            manifest: manifest.clone(),
            version: version_of(standing.as_ref()),
        };
        if context.applied.matches(kind, &key, &mark) {
            return Ok(Step::Done(None));
        }
    } else {
        let look = |source| Error::Look {
            kind,
            name: key.name.clone(),
            source,
        };
        let standing = api.get_metadata_opt(&key.name).await.map_err(look)?;
        let foreign = |standing: &PartialObjectMeta<K>| !is_owned_by(standing, agent) && !is_shared(standing, desired);
        if standing.as_ref().is_some_and(foreign) {
            return Ok(Step::Refused(name_taken(kind, &key)));
        }
    }
    match api
        .patch(&key.name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(desired))
        .await
    {
        Ok(written) => {
            context.applied.set(
                kind,
                &key,
                AppliedMark {
                    manifest,
                    version: version_of(&written),
                },
            );
            Ok(Step::Done(Some(written)))
        }
        Err(source) => Err(Error::Apply {
            kind,
            name: key.name,
            source,
        }),
    }
}

/// What the API server refuses of a manifest it will refuse again.
const fn is_refusal(code: u16) -> bool {
    matches!(code, 400 | 422)
}

/// The object belongs to no Agent, and the one that stands is ours too.
fn is_shared<A: Resource, B: Resource>(standing: &A, desired: &B) -> bool {
    let ours = standing
        .labels()
        .get(MANAGED_BY_LABEL)
        .is_some_and(|by| by == MANAGED_BY);
    desired.owner_references().is_empty() && ours
}

fn name_taken(kind: &str, key: &ObjectKey) -> Problem {
    Problem::new(
        ConditionType::WorkersAvailable,
        Reason::NameTaken,
        format!(
            "{kind} \"{}\" exists and does not belong to this Agent; rename or delete it",
            key.name
        ),
    )
}
