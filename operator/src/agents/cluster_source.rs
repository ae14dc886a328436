//! The objects of a cluster: from the caches, and from the API server for the
//! contents that no cache holds. Reads only.

use std::sync::Arc;

use kube::{Api, ResourceExt as _};
use steadfast_crds::{AgentRevision, AgentRevisionSpec, names::revision_name};

use crate::{
    agents::{
        context::Context,
        dereference::{ReferenceSource, SourceError},
        grants::{Referent, Refusal},
        identity::{AgentIdentity, OwnerKind},
        pool_summary::PoolSummary,
        revision_history::{CurrentRevision, RevisionHistory, RevisionSummary, sequence_of},
        summary::AgentSummary,
    },
    kube::{
        content_cache::{ConfigMapData, SecretHashes},
        namespaced_name::NamespacedName,
    },
    tools::GuardedTool,
};

/// Why the newest revision of an Agent cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RevisionError {
    /// The API server does not tell it.
    #[error("read AgentRevision {0}")]
    Fetch(String, #[source] kube::Error),
    /// It cannot be encoded.
    #[error("digest AgentRevision {0}")]
    Digest(String, #[source] serde_json::Error),
}

impl ReferenceSource for Context {
    fn refusal(&self, from: &str, to: &Referent) -> Result<Option<Refusal>, SourceError> {
        self.cross_namespace.refusal(from, to)
    }

    fn tool(&self, key: &NamespacedName) -> Option<Arc<GuardedTool>> {
        self.cross_namespace.tool(key)
    }

    fn agent(&self, key: &NamespacedName) -> AgentSummary {
        AgentSummary::of(self.cross_namespace.agent(key).as_deref())
    }

    fn pool(&self, key: &NamespacedName) -> PoolSummary {
        PoolSummary::of(self.caches.pool(key).as_deref())
    }

    async fn secret_hashes(&self, key: &NamespacedName) -> Result<Option<Arc<SecretHashes>>, SourceError> {
        Ok(self.secrets.fetch(key).await?)
    }

    async fn config_map(&self, key: &NamespacedName) -> Result<Option<Arc<ConfigMapData>>, SourceError> {
        Ok(self.config_maps.fetch(key).await?)
    }

    async fn revision_history(&self, agent: &AgentIdentity) -> Result<RevisionHistory, SourceError> {
        let mut highest = 0;
        let mut newest: Option<(i64, String)> = None;
        for revision in self.caches.revisions.of_owner(OwnerKind::Agent, &agent.key) {
            let Some(sequence) = sequence_of(revision.as_ref()) else {
                continue;
            };
            highest = highest.max(sequence);
            // The revisions of a deleted Agent of the same name count, but Kubernetes is about to delete them.
            if agent.owns(revision.as_ref()) && newest.as_ref().is_none_or(|(known, _)| *known < sequence) {
                newest = revision.uid().map(|uid| (sequence, uid));
            }
        }
        let Some((sequence, uid)) = newest else {
            return Ok(RevisionHistory { highest, current: None });
        };
        let summary = match self.revision_summaries.get(&agent.key, &uid) {
            Some(summary) => Some(summary),
            None => fetch_summary(self, &agent.key, sequence, &uid).await?,
        };
        Ok(RevisionHistory {
            highest,
            current: summary.map(|summary| CurrentRevision { sequence, summary }),
        })
    }
}

async fn fetch_summary(
    context: &Context,
    agent: &NamespacedName,
    sequence: i64,
    uid: &str,
) -> Result<Option<RevisionSummary>, RevisionError> {
    let Some(spec) = fetch_revision(context, agent, sequence).await? else {
        return Ok(None);
    };
    let name = revision_name(&agent.name, sequence);
    let summary = RevisionSummary::of(&spec).map_err(|source| RevisionError::Digest(name, source))?;
    context.revision_summaries.set(agent, uid.to_owned(), summary.clone());
    Ok(Some(summary))
}

/// The content of a revision; `None` if it is gone or cannot be decoded.
pub(crate) async fn fetch_revision(
    context: &Context,
    agent: &NamespacedName,
    sequence: i64,
) -> Result<Option<AgentRevisionSpec>, RevisionError> {
    let name = revision_name(&agent.name, sequence);
    let api: Api<AgentRevision> = Api::namespaced(context.client.clone(), &agent.namespace);
    match api.get_opt(&name).await {
        // Written under another version of the definition. A new revision, which workers can decode, replaces it.
        Err(kube::Error::SerdeError(error)) => {
            tracing::warn!(
                revision = name,
                error = &error as &dyn std::error::Error,
                "the AgentRevision cannot be decoded; creating a new one"
            );
            Ok(None)
        }
        Ok(revision) => Ok(revision.map(|revision| revision.spec)),
        Err(source) => Err(RevisionError::Fetch(name, source)),
    }
}
