//! One agent as the gateway knows it.

use std::fmt;

use jiff::Timestamp;
use uuid::Uuid;

use super::Naming;
use crate::wire;

/// Where an agent lives in Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentName {
    pub namespace: String,
    pub name: String,
}

impl AgentName {
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// Reads `namespace/name`.
    pub fn parse(text: &str) -> Option<Self> {
        let (namespace, name) = text.split_once('/')?;
        Some(Self::new(namespace, name))
    }

    /// `name` in the default namespace, `namespace.name` elsewhere.
    pub fn for_clients(&self, naming: &Naming) -> String {
        if self.namespace == naming.default_namespace {
            self.name.clone()
        } else {
            format!("{}.{}", self.namespace, self.name)
        }
    }
}

impl fmt::Display for AgentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct AgentEntry {
    /// Derived from install, namespace and name, so that it survives a restore.
    pub id: Uuid,
    pub name: AgentName,
    pub client_name: String,
    pub description: String,
    /// Temporal task queue of its workers.
    pub task_queue: String,
    pub status: wire::AgentStatus,
    pub status_reason: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl AgentEntry {
    pub fn to_wire(&self) -> wire::Agent {
        wire::Agent {
            id: self.id.to_string(),
            name: self.client_name.clone(),
            description: self.description.clone(),
            status: self.status,
            status_reason: self.status_reason.clone(),
            acp_type: "async",
            created_at: self.created_at,
            updated_at: self.updated_at,
            registered_at: self.created_at,
            registration_metadata: None,
            agent_input_type: "text",
            production_deployment_id: None,
        }
    }

    /// The id of the task with this name: names are scoped by agent.
    pub fn named_task_id(&self, name: &str) -> String {
        Uuid::new_v5(&self.id, name.as_bytes()).to_string()
    }

    /// The id of a task that may be asked for again under the same key.
    pub fn keyed_task_id(&self, creator: &str, key: &str) -> String {
        // A name holds no NUL: no named task can have this id.
        Uuid::new_v5(&self.id, format!("\0{creator}\0{key}").as_bytes()).to_string()
    }
}
