//! The source of revisions: the AgentRevisions of a namespace, by a watch, or
//! manifests in a directory. While the API server is unavailable, the last known
//! revisions stay.

use std::{path::PathBuf, sync::Arc};

use kube::{Client, ResourceExt, runtime::reflector};
use steadfast_contract::activities::Revision;
use steadfast_crds::{
    AgentRevision,
    manifests::{ManifestError, read_dir_of},
    names::AGENT_LABEL,
};
use steadfast_process::ReadinessGauge;
use steadfast_watch::{Watch, decode_event};
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
        let (store, mut writer) = reflector::store();
        let watch = Watch::all::<AgentRevision>(client)
            .in_namespace(namespace)
            .with_labels(&format!("{AGENT_LABEL}={agent}"));
        let watched = store.clone();
        tokio::spawn(async move {
            let watch = watch.run(|event| {
                if let Some(event) = decode_event("AgentRevision", event, |object| object.decode()) {
                    writer.apply_watcher_event(&event);
                }
                ready.set(!watched.is_empty());
            });
            tokio::select! {
                () = stop.cancelled() => {}
                () = watch => {}
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
    use steadfast_watch::Event;

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
            writer.apply_watcher_event(&Event::Apply((*revision).clone()));
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
