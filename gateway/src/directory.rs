//! Which agents there are, and under which id and name clients know them. Fed by
//! a watch on a cluster or by a folder of revisions; never asks anyone on a request.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use steadfast_crds::{Agent, AgentRevision, names};
use uuid::Uuid;

use crate::wire;

mod agent;
pub mod folder;
pub mod kubernetes;

pub use agent::{AgentEntry, AgentName};

/// Namespace of all agent ids (a fixed random UUID).
const NAMESPACE: Uuid = Uuid::from_u128(0x2b8e_41c7_9d0a_4f63_a5d7_08c3_61be_94f2);

/// Names of this installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naming {
    pub install: String,
    pub default_namespace: String,
}

/// The agents, as last heard.
#[derive(Clone)]
pub struct AgentDirectory {
    naming: Naming,
    source: Source,
}

struct Folder {
    path: PathBuf,
    /// What was read last without an error.
    last: Mutex<Arc<[AgentRevision]>>,
}

#[derive(Clone)]
enum Source {
    /// Fixed ones.
    Revisions(Arc<[AgentRevision]>),
    /// Read anew for each question, so that an edit is seen at once.
    Folder(Arc<Folder>),
    Kubernetes(kube::runtime::reflector::Store<Agent>),
}

impl AgentDirectory {
    /// The agents of a folder, each at its newest revision.
    pub fn of_revisions(naming: Naming, revisions: Vec<AgentRevision>) -> Self {
        Self {
            naming,
            source: Source::Revisions(revisions.into()),
        }
    }

    /// The agents of a folder's files, as they are when they are asked for.
    pub fn of_folder(naming: Naming, path: PathBuf) -> Result<Self, folder::ReadFolderError> {
        let last = Mutex::new(folder::read(&path)?.into());
        Ok(Self {
            naming,
            source: Source::Folder(Arc::new(Folder { path, last })),
        })
    }

    /// The agents that a watch keeps in a store.
    pub fn of_store(naming: Naming, store: kube::runtime::reflector::Store<Agent>) -> Self {
        Self {
            naming,
            source: Source::Kubernetes(store),
        }
    }

    pub fn naming(&self) -> &Naming {
        &self.naming
    }

    /// All agents, by namespace and name.
    pub fn list(&self) -> Vec<AgentEntry> {
        let mut agents: Vec<AgentEntry> = match &self.source {
            Source::Revisions(revisions) => self.of_all(revisions),
            Source::Folder(folder) => self.of_all(&folder.read()),
            Source::Kubernetes(store) => store.state().iter().filter_map(|agent| self.of_agent(agent)).collect(),
        };
        agents.sort_by(|one, other| one.name.cmp(&other.name));
        agents
    }

    /// The agent that clients know by this id.
    pub fn by_id(&self, id: &str) -> Option<AgentEntry> {
        let id = Uuid::parse_str(id).ok()?;
        self.list().into_iter().find(|agent| agent.id == id)
    }

    /// The agent that clients know by this name: `name`, or `namespace.name`.
    pub fn by_client_name(&self, name: &str) -> Option<AgentEntry> {
        let name = match name.split_once('.') {
            Some((namespace, name)) => AgentName::new(namespace, name),
            None => AgentName::new(&self.naming.default_namespace, name),
        };
        self.by_name(&name)
    }

    pub fn by_name(&self, name: &AgentName) -> Option<AgentEntry> {
        match &self.source {
            Source::Revisions(_) | Source::Folder(_) => self.list().into_iter().find(|agent| agent.name == *name),
            Source::Kubernetes(store) => {
                let reference = kube::runtime::reflector::ObjectRef::new(&name.name).within(&name.namespace);
                store.get(&reference).and_then(|agent| self.of_agent(&agent))
            }
        }
    }

    fn of_all(&self, revisions: &[AgentRevision]) -> Vec<AgentEntry> {
        revisions.iter().map(|revision| self.of_revision(revision)).collect()
    }

    fn id(&self, name: &AgentName) -> Uuid {
        let AgentName { namespace, name } = name;
        Uuid::new_v5(
            &NAMESPACE,
            format!("{}/{namespace}/{name}", self.naming.install).as_bytes(),
        )
    }

    fn of_agent(&self, agent: &Agent) -> Option<AgentEntry> {
        let name = AgentName::new(agent.metadata.namespace.as_deref()?, agent.metadata.name.as_deref()?);
        let created_at = agent
            .metadata
            .creation_timestamp
            .as_ref()
            .map_or(Timestamp::UNIX_EPOCH, |time| time.0);
        let status = agent.status.as_ref();
        let ready = status.and_then(|status| status.conditions.iter().find(|condition| condition.type_ == "Ready"));
        Some(AgentEntry {
            id: self.id(&name),
            task_queue: status
                .and_then(|status| status.task_queue.clone())
                .unwrap_or_else(|| names::agent_task_queue(&self.naming.install, &name.namespace, &name.name)),
            client_name: name.for_clients(&self.naming),
            name,
            description: agent.spec.description.clone(),
            status: match ready.map(|ready| ready.status.as_str()) {
                Some("True") => wire::AgentStatus::Ready,
                Some("False") => wire::AgentStatus::Unhealthy,
                _ => wire::AgentStatus::Unknown,
            },
            status_reason: ready
                .filter(|ready| ready.status != "True")
                .map(|ready| ready.message.clone()),
            created_at,
            updated_at: ready.map_or(created_at, |ready| ready.last_transition_time.0),
        })
    }

    fn of_revision(&self, revision: &AgentRevision) -> AgentEntry {
        let namespace = revision
            .metadata
            .namespace
            .as_deref()
            .unwrap_or(&self.naming.default_namespace);
        let name = AgentName::new(namespace, &revision.spec.agent);
        let created_at = revision
            .metadata
            .creation_timestamp
            .as_ref()
            .map_or(Timestamp::UNIX_EPOCH, |time| time.0);
        AgentEntry {
            id: self.id(&name),
            task_queue: revision.spec.task_queue.clone(),
            client_name: name.for_clients(&self.naming),
            name,
            description: revision.spec.description.clone(),
            status: wire::AgentStatus::Ready,
            status_reason: None,
            created_at,
            updated_at: created_at,
        }
    }
}

impl Folder {
    /// A file that is just being written does not make its agent disappear.
    fn read(&self) -> Arc<[AgentRevision]> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match folder::read(&self.path) {
            Ok(revisions) => *last = revisions.into(),
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "going on with the revisions read before"
            ),
        }
        last.clone()
    }
}
