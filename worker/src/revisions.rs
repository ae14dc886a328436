//! Where revisions come from: the AgentRevisions of a namespace, watched, or
//! manifests in a folder. When the API server is away the last ones known stay.

use std::path::PathBuf;

use futures::StreamExt;
use kube::{
    Api, Client, ResourceExt,
    runtime::{WatchStreamExt, reflector, watcher},
};
use steadfast_contract::activities::Revision;
use steadfast_crds::{AgentRevision, names::AGENT_LABEL};
use steadfast_process::ReadinessGauge;
use tokio_util::sync::CancellationToken;

/// A source of revisions.
#[derive(Clone)]
pub enum Revisions {
    /// Manifests in a folder, read anew each time: for use without Kubernetes.
    Folder(PathBuf),
    Kubernetes(reflector::Store<AgentRevision>),
}

#[derive(Debug, thiserror::Error)]
pub enum RevisionError {
    #[error("list the revisions in {folder}")]
    ListFolder {
        folder: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("read the revision in {file}")]
    ReadFile {
        file: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("parse the revision in {file}")]
    ParseFile {
        file: PathBuf,
        #[source]
        source: serde_yaml_ng::Error,
    },
    #[error("agent {agent:?} has no revision yet")]
    None { agent: String },
}

impl Revisions {
    /// Watches the revisions of one agent until the token is cancelled.
    pub fn watch(client: Client, namespace: &str, agent: &str, ready: ReadinessGauge, stop: CancellationToken) -> Self {
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
                    Err(error) => tracing::warn!(%error, "watch of revisions interrupted; going on with those known"),
                }
            }
        });
        Self::Kubernetes(store)
    }

    /// The revision with the highest sequence of an agent.
    pub fn newest(&self, agent: &str) -> Result<Revision, RevisionError> {
        self.of_agent(agent)?
            .into_iter()
            .max_by_key(|revision| revision.spec.sequence)
            .ok_or_else(|| RevisionError::None {
                agent: agent.to_owned(),
            })
    }

    /// A revision by name, while the source still has it.
    pub fn named(&self, agent: &str, name: &str) -> Option<Revision> {
        self.of_agent(agent)
            .ok()?
            .into_iter()
            .find(|revision| revision.name == name)
    }

    fn of_agent(&self, agent: &str) -> Result<Vec<Revision>, RevisionError> {
        let revisions = match self {
            Self::Folder(folder) => read_folder(folder)?,
            Self::Kubernetes(store) => store
                .state()
                .iter()
                .map(|revision| Revision {
                    name: revision.name_any(),
                    spec: revision.spec.clone(),
                })
                .collect(),
        };
        Ok(revisions
            .into_iter()
            .filter(|revision| revision.spec.agent == agent)
            .collect())
    }
}

fn read_folder(folder: &PathBuf) -> Result<Vec<Revision>, RevisionError> {
    let list = |source| RevisionError::ListFolder {
        folder: folder.clone(),
        source,
    };
    let mut revisions = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(list)? {
        let file = entry.map_err(list)?.path();
        if !file
            .extension()
            .is_some_and(|extension| extension == "yaml" || extension == "yml")
        {
            continue;
        }
        let text = std::fs::read_to_string(&file).map_err(|source| RevisionError::ReadFile {
            file: file.clone(),
            source,
        })?;
        let revision: AgentRevision =
            serde_yaml_ng::from_str(&text).map_err(|source| RevisionError::ParseFile { file, source })?;
        revisions.push(Revision {
            name: revision.name_any(),
            spec: revision.spec,
        });
    }
    Ok(revisions)
}
