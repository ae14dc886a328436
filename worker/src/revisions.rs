//! The source of revisions: the AgentRevisions of a namespace, by a watch, or
//! manifests in a directory. While the API server is unavailable, the last known
//! revisions stay.

use std::{path::PathBuf, sync::Arc};

use futures::StreamExt;
use kube::{
    Api, Client, ResourceExt,
    runtime::{WatchStreamExt, reflector, watcher},
};
use steadfast_contract::activities::Revision;
use steadfast_crds::{
    AgentRevision,
    manifests::{ManifestError, read_dir_of},
    names::AGENT_LABEL,
};
use steadfast_process::ReadinessGauge;
use tokio_util::sync::CancellationToken;

/// A source of revisions.
#[derive(Clone)]
pub(crate) enum Revisions {
    /// Manifests in a directory, read again each time: for use without Kubernetes.
    Directory(PathBuf),
    Kubernetes(reflector::Store<AgentRevision>),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum RevisionError {
    #[error("read the revisions")]
    ReadDirectory(#[from] ManifestError),
    #[error("the agent {agent:?} has no revision yet")]
    NoRevision { agent: String },
}

impl Revisions {
    /// Watches the revisions of an agent until the token is cancelled.
    pub(crate) fn watch(
        client: Client,
        namespace: &str,
        agent: &str,
        ready: ReadinessGauge,
        stop: CancellationToken,
    ) -> Self {
        let api: Api<AgentRevision> = Api::namespaced(client, namespace);
        let (store, writer) = reflector::store();
        let config = watcher::Config::default().labels(&format!("{AGENT_LABEL}={agent}"));
        let events = watcher(api, config).default_backoff().reflect(writer).boxed();
        let watched = store.clone();
        tokio::spawn(async move {
            let mut events = std::pin::pin!(events.take_until(stop.cancelled_owned()));
            while let Some(event) = events.next().await {
                match event {
                    Ok(_) => ready.set(!watched.is_empty()),
                    Err(error) => {
                        tracing::warn!(%error, "watch of AgentRevisions failed; using the known revisions, retrying");
                    }
                }
            }
        });
        Self::Kubernetes(store)
    }

    /// The revision of an agent with the highest sequence. Compares by reference: a revision may have a megabyte.
    pub(crate) fn newest(&self, agent: &str) -> Result<Arc<AgentRevision>, RevisionError> {
        let revisions = match self {
            Self::Directory(directory) => read_dir_of(directory)?.into_iter().map(Arc::new).collect(),
            Self::Kubernetes(store) => store.state(),
        };
        revisions
            .into_iter()
            .filter(|revision: &Arc<AgentRevision>| revision.spec.agent == agent)
            .max_by_key(|revision| revision.spec.sequence)
            .ok_or_else(|| RevisionError::NoRevision {
                agent: agent.to_owned(),
            })
    }

    /// A copy of the newest revision, or none if it is the known one.
    pub(crate) fn newest_unless(&self, agent: &str, known: Option<&str>) -> Result<Option<Revision>, RevisionError> {
        let newest = self.newest(agent)?;
        if newest.metadata.name.as_deref() == known && known.is_some() {
            return Ok(None);
        }
        Ok(Some(Revision {
            name: newest.name_any(),
            spec: newest.spec.clone(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn revision(agent: &str, sequence: u32) -> Arc<AgentRevision> {
        let revision = json!({
            "apiVersion": "steadfast.dev/v1alpha1", "kind": "AgentRevision",
            "metadata": {"name": format!("{agent}-{sequence}"), "namespace": "default"},
            "spec": {"agent": agent, "sequence": sequence, "model": {"name": "m"}, "taskQueue": "q"},
        });
        Arc::new(serde_json::from_value(revision).unwrap())
    }

    fn revisions() -> Revisions {
        let (store, mut writer) = reflector::store();
        for (agent, sequence) in [("a", 9), ("a", 10), ("a", 2), ("b", 11)] {
            let revision = revision(agent, sequence);
            writer.apply_watcher_event(&watcher::Event::Apply((*revision).clone()));
        }
        Revisions::Kubernetes(store)
    }

    #[test]
    fn the_newest_revision_has_the_highest_sequence_of_its_agent() {
        assert_eq!(revisions().newest("a").unwrap().name_any(), "a-10");
        assert!(matches!(revisions().newest("c"), Err(RevisionError::NoRevision { .. })));
    }

    #[test]
    fn a_known_revision_is_not_copied() {
        let revisions = revisions();
        assert_eq!(revisions.newest_unless("a", Some("a-10")).unwrap(), None);
        let newest = revisions.newest_unless("a", Some("a-9")).unwrap().unwrap();
        assert_eq!(newest.name, "a-10");
    }
}
