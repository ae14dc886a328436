//! The agents that clients can use, found by id or by name. A watch on a cluster or a
//! directory of AgentRevision files fills the index; a request for an agent never goes to
//! the API server.

mod cluster;
mod entry;
mod index;
mod revision_files;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard},
};

use steadfast_crds::manifests::ManifestError;
use steadfast_process::ReadinessGauge;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use self::entry::Naming;
pub(crate) use self::entry::{AgentEntry, AgentName};
use self::index::AgentIndex;

/// All agents of this installation. Clones share one index.
#[derive(Clone)]
#[cfg_attr(test, derive(Default))]
pub struct AgentDirectory {
    naming: Naming,
    /// The namespaces whose agents are served; all when empty.
    namespaces: Vec<String>,
    index: Arc<RwLock<AgentIndex>>,
    /// Read again before every lookup, so that an edited file counts at once.
    files: Option<PathBuf>,
}

impl AgentDirectory {
    /// The agents of these namespaces of a cluster, or of all. Sets `agents_known` once the first lists are complete;
    /// the watches survive an API server that is down and end with `stop`.
    pub fn of_cluster(
        naming: Naming,
        namespaces: &[String],
        client: &kube::Client,
        agents_known: &ReadinessGauge,
        stop: &CancellationToken,
    ) -> Self {
        let index = Arc::new(RwLock::default());
        let scopes: Vec<Option<String>> = if namespaces.is_empty() {
            vec![None]
        } else {
            namespaces.iter().cloned().map(Some).collect()
        };
        let unlisted = Arc::new(Mutex::new(BTreeSet::from_iter(scopes.clone())));
        for scope in scopes {
            let feed = cluster::IndexFeed::new(naming.clone(), scope.clone(), index.clone());
            let (unlisted, agents_known) = (unlisted.clone(), agents_known.clone());
            let listed = move || {
                let mut unlisted = unlisted.lock().unwrap_or_else(PoisonError::into_inner);
                unlisted.remove(&scope);
                if unlisted.is_empty() {
                    agents_known.set(true);
                }
            };
            tokio::spawn(cluster::watch(client.clone(), feed, listed, stop.clone()));
        }
        Self {
            naming,
            namespaces: namespaces.to_vec(),
            index,
            files: None,
        }
    }

    /// The agents of a directory of AgentRevision files, each in its newest revision.
    pub fn of_revision_files(naming: Naming, directory: PathBuf) -> Result<Self, ManifestError> {
        let index = revision_files::read(&naming, &directory)?;
        Ok(Self {
            naming,
            namespaces: Vec::new(),
            index: Arc::new(RwLock::new(index)),
            files: Some(directory),
        })
    }

    /// How many agents there are.
    pub fn count(&self) -> usize {
        self.read().iter().count()
    }

    /// Whether the agents of a namespace are served.
    pub(crate) fn serves(&self, namespace: &str) -> bool {
        self.namespaces.is_empty() || self.namespaces.iter().any(|served| served == namespace)
    }

    pub(crate) fn naming(&self) -> &Naming {
        &self.naming
    }

    /// All agents, ordered by namespace and name.
    pub(crate) fn list(&self) -> Vec<Arc<AgentEntry>> {
        self.read().iter().cloned().collect()
    }

    /// The agent with this id.
    pub(crate) fn by_id(&self, id: &str) -> Option<Arc<AgentEntry>> {
        let id = Uuid::parse_str(id).ok()?;
        self.read().by_id(id)
    }

    /// The agent with this client name: `name` in the default namespace, or `namespace.name`.
    pub(crate) fn by_client_name(&self, client_name: &str) -> Option<Arc<AgentEntry>> {
        self.by_name(&self.naming.parse_client_name(client_name))
    }

    /// The agent with this name in Kubernetes.
    pub(crate) fn by_name(&self, name: &AgentName) -> Option<Arc<AgentEntry>> {
        self.read().by_name(name)
    }

    fn read(&self) -> RwLockReadGuard<'_, AgentIndex> {
        if let Some(directory) = &self.files {
            match revision_files::read(&self.naming, directory) {
                Ok(index) => *self.index.write().unwrap_or_else(PoisonError::into_inner) = index,
                // A file that is being written must not make its agent disappear.
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot read the AgentRevision files; serving the agents read before"
                ),
            }
        }
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_namespaces_given_no_other_is_served() {
        let everywhere = AgentDirectory::default();
        assert!(everywhere.serves("team-a"));
        let narrow = AgentDirectory {
            namespaces: vec!["team-a".to_owned()],
            ..everywhere
        };
        assert!(narrow.serves("team-a") && !narrow.serves("team-b"));
    }
}
