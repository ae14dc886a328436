//! The objects of a cluster: from the caches, and from the API server for the
//! contents that no cache holds. Reads only.

use std::sync::Arc;

use kube::{Api, ResourceExt as _};
use steadfast_crds::{AgentRevision, names::revision_name};

use crate::{
    agents::{
        context::Context,
        dereference::{ReferenceSource, SourceError},
        identity::{AgentIdentity, OwnerKind},
        pool_summary::PoolSummary,
        revision_history::{CurrentRevision, RevisionHistory, digest_content, sequence_of},
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
enum RevisionError {
    #[error("read AgentRevision {0}")]
    Fetch(String, #[source] kube::Error),
    #[error("digest AgentRevision {0}")]
    Digest(String, #[source] serde_json::Error),
}

impl ReferenceSource for Context {
    fn tool(&self, key: &NamespacedName) -> Option<Arc<GuardedTool>> {
        self.caches.tool(key)
    }

    fn agent(&self, key: &NamespacedName) -> AgentSummary {
        AgentSummary::of(self.caches.agent(key).as_deref())
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
        let digest = match self.revision_digests.get(&agent.key, &uid) {
            Some(digest) => Some(digest),
            None => fetch_digest(self, &agent.key, sequence, &uid).await?,
        };
        Ok(RevisionHistory {
            highest,
            current: digest.map(|digest| CurrentRevision { sequence, digest }),
        })
    }
}

async fn fetch_digest(
    context: &Context,
    agent: &NamespacedName,
    sequence: i64,
    uid: &str,
) -> Result<Option<String>, RevisionError> {
    let name = revision_name(&agent.name, sequence);
    let api: Api<AgentRevision> = Api::namespaced(context.client.clone(), &agent.namespace);
    let revision = match api.get_opt(&name).await {
        // Written under another version of the definition. A new revision, which workers can decode, replaces it.
        Err(kube::Error::SerdeError(error)) => {
            tracing::warn!(
                revision = name,
                error = &error as &dyn std::error::Error,
                "the AgentRevision cannot be decoded; creating a new one"
            );
            return Ok(None);
        }
        read => read.map_err(|source| RevisionError::Fetch(name.clone(), source))?,
    };
    let Some(revision) = revision else { return Ok(None) };
    let digest = digest_content(&revision.spec).map_err(|source| RevisionError::Digest(name, source))?;
    context.revision_digests.set(agent, uid.to_owned(), digest.clone());
    Ok(Some(digest))
}
