//! The source of revisions: the AgentRevisions of a namespace, by a watch, or
//! manifests in a directory. While the API server is unavailable, the last known
//! revisions stay.

mod store;

use std::{path::PathBuf, sync::Arc};

use kube::{Client, ResourceExt};
use steadfast_contract::{activities::Revision, tool_targets::NamespaceQueues};
use steadfast_crds::{
    AgentRevision,
    manifests::{ManifestError, read_dir_of},
    names::{AGENT_LABEL, WORKER_POOL_LABEL},
};
use steadfast_process::ReadinessGauge;
use steadfast_watch::{Watch, decode_event};
use tokio_util::sync::CancellationToken;

use self::store::NewestRevisions;

/// A source of revisions.
#[derive(Clone)]
pub(crate) enum Revisions {
    /// Manifests in a directory, read again each time: for use without Kubernetes.
    Directory(PathBuf, Selection),
    Kubernetes(Arc<NewestRevisions>),
}

/// The revisions that a process needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    /// Those of one agent that were made for workers of its own.
    OfAgent { agent: String, task_queue: String },
    /// Those of the agents on a pool.
    OfPool { pool: String, task_queue: String },
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum RevisionError {
    #[error("read the revisions")]
    ReadDirectory(#[from] ManifestError),
    #[error("the agent {agent:?} has no revision yet")]
    NoRevision { agent: String },
    #[error("the agent {agent:?} is not on these workers")]
    ElsewhereOnly { agent: String },
}

impl Selection {
    fn labels(&self) -> String {
        match self {
            Self::OfAgent { agent, .. } => format!("{AGENT_LABEL}={agent}"),
            Self::OfPool { pool, .. } => format!("{WORKER_POOL_LABEL}={pool}"),
        }
    }

    /// Whether the credentials of this process are those of the revision. An agent may have moved to other workers, and
    /// anybody who may write labels can put one on the revision of another agent.
    fn admits(&self, revision: &AgentRevision) -> bool {
        let made_for = &revision.spec.task_queue;
        match self {
            Self::OfAgent { task_queue, .. } => {
                made_for == task_queue || NamespaceQueues::of_agent_queue(made_for).is_none()
            }
            Self::OfPool { task_queue, .. } => made_for == task_queue,
        }
    }

    /// Whether there is enough to serve. A pool without agents waits for the first one.
    fn is_ready(&self, revisions: &NewestRevisions) -> bool {
        match self {
            Self::OfAgent { .. } => !revisions.is_empty(),
            Self::OfPool { .. } => revisions.is_synced(),
        }
    }
}

impl Revisions {
    /// Reads the revisions of a directory, where those of an agent must be already.
    pub(crate) fn in_directory(directory: PathBuf, selection: Selection) -> Result<Self, RevisionError> {
        let of_agent = match &selection {
            Selection::OfAgent { agent, .. } => Some(agent.clone()),
            Selection::OfPool { .. } => None,
        };
        let revisions = Self::Directory(directory, selection);
        match of_agent {
            Some(agent) => drop(revisions.newest(&agent)?),
            None => drop(revisions.all()?),
        }
        Ok(revisions)
    }

    /// Watches revisions until the token is cancelled.
    pub(crate) fn watch(
        client: Client,
        namespace: &str,
        selection: Selection,
        ready: ReadinessGauge,
        stop: CancellationToken,
    ) -> Self {
        let store = Arc::new(NewestRevisions::default());
        let watch = Watch::all::<AgentRevision>(client)
            .in_namespace(namespace)
            .with_labels(&selection.labels());
        let watched = store.clone();
        tokio::spawn(async move {
            let watch = watch.run(|event| {
                // A revision that cannot be decoded is logged, and takes nothing from the other agents.
                if let Some(event) = decode_event("AgentRevision", event, |object| object.decode()) {
                    watched.observe(event, |revision| selection.admits(revision));
                }
                ready.set(selection.is_ready(&watched));
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
        let missing = || RevisionError::NoRevision {
            agent: agent.to_owned(),
        };
        match self {
            Self::Directory(directory, selection) => {
                let mut revisions = read_dir_of::<AgentRevision>(directory)?;
                revisions.retain(|revision| revision.spec.agent == agent);
                if revisions.is_empty() {
                    return Err(missing());
                }
                let admitted = revisions.into_iter().filter(|revision| selection.admits(revision));
                let newest = admitted.max_by_key(|revision| revision.spec.sequence);
                newest.map(Arc::new).ok_or_else(|| RevisionError::ElsewhereOnly {
                    agent: agent.to_owned(),
                })
            }
            Self::Kubernetes(store) => store.newest(agent).ok_or_else(missing),
        }
    }

    /// The newest revision of each agent that this process serves.
    pub(crate) fn all(&self) -> Result<Vec<Arc<AgentRevision>>, RevisionError> {
        match self {
            Self::Directory(_, Selection::OfAgent { agent, .. }) => self.newest(agent).map(|revision| vec![revision]),
            Self::Directory(directory, selection) => {
                let store = NewestRevisions::default();
                let revisions = read_dir_of::<AgentRevision>(directory)?.into_iter();
                for revision in revisions.filter(|revision| selection.admits(revision)) {
                    store.insert(revision);
                }
                Ok(store.all())
            }
            Self::Kubernetes(store) => Ok(store.all()),
        }
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

    fn revision(agent: &str, sequence: u32) -> AgentRevision {
        let revision = json!({
            "apiVersion": "steadfast.dev/v1alpha1", "kind": "AgentRevision",
            "metadata": {"name": format!("{agent}-{sequence}"), "namespace": "default"},
            "spec": {"agent": agent, "sequence": sequence, "model": {"name": "m"}, "taskQueue": "q"},
        });
        serde_json::from_value(revision).unwrap()
    }

    fn revisions() -> Revisions {
        let store = NewestRevisions::default();
        for (agent, sequence) in [("a", 9), ("a", 10), ("a", 2), ("b", 11)] {
            store.insert(revision(agent, sequence));
        }
        Revisions::Kubernetes(Arc::new(store))
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

    #[test]
    fn a_pool_runs_no_agent_of_another_queue_whatever_its_label_says() {
        let of_pool = |task_queue: &str| Selection::OfPool {
            pool: "shared".to_owned(),
            task_queue: task_queue.to_owned(),
        };
        assert!(of_pool("q").admits(&revision("a", 1)));
        assert!(!of_pool("other").admits(&revision("a", 1)));
        assert_eq!(of_pool("q").labels(), "steadfast.dev/worker-pool=shared");
    }

    #[test]
    fn workers_of_its_own_run_no_revision_that_was_made_for_a_pool_and_keep_the_one_before() {
        let of_agent = Selection::OfAgent {
            agent: "a".to_owned(),
            task_queue: "i/default/agent/a".to_owned(),
        };
        let made_for = |task_queue: &str, sequence| {
            let mut revision = revision("a", sequence);
            task_queue.clone_into(&mut revision.spec.task_queue);
            revision
        };
        let store = NewestRevisions::default();
        for (queue, sequence) in [("i/default/agent/a", 1), ("i/default/pool/shared", 2)] {
            let event = steadfast_watch::Event::Apply(made_for(queue, sequence));
            store.observe(event, |revision| of_agent.admits(revision));
        }
        assert_eq!(store.newest("a").unwrap().name_any(), "a-1");
        assert!(of_agent.admits(&made_for("q", 3)), "no home of another owner");
    }

    #[test]
    fn a_pool_without_agents_is_ready_and_an_agent_without_a_revision_is_not() {
        let store = NewestRevisions::default();
        let pool = Selection::OfPool {
            pool: "shared".to_owned(),
            task_queue: "q".to_owned(),
        };
        assert!(!pool.is_ready(&store), "nothing is known yet");
        store.observe(steadfast_watch::Event::Init, |_| true);
        store.observe(steadfast_watch::Event::InitDone, |_| true);
        assert!(pool.is_ready(&store));
        let of_agent = Selection::OfAgent {
            agent: "a".to_owned(),
            task_queue: "q".to_owned(),
        };
        assert!(!of_agent.is_ready(&store));
    }
}
