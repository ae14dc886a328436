//! One agent as the gateway knows it, and the names of an agent.

use std::fmt;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, Time};
use kube::Resource as _;
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use steadfast_crds::{
    AgentRevision, AgentRevisionSpec,
    conditions::{ConditionType, Reason},
    names,
};
use steadfast_watch::RawObject;
use uuid::Uuid;

use crate::agentex::wire;

/// Namespace of all agent ids (a fixed random UUID).
const AGENT_IDS: Uuid = Uuid::from_u128(0x2b8e_41c7_9d0a_4f63_a5d7_08c3_61be_94f2);

/// Which installation the agents belong to, and how clients name them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    /// Part of every name outside of Kubernetes.
    pub install_id: String,
    /// The namespace whose agents need no prefix.
    pub default_namespace: String,
}

impl Naming {
    /// Reads `name` or `namespace.name`.
    pub(crate) fn parse_client_name(&self, client_name: &str) -> AgentName {
        match client_name.split_once('.') {
            Some((namespace, name)) => AgentName::new(namespace, name),
            None => AgentName::new(&self.default_namespace, client_name),
        }
    }

    /// `name` in the default namespace, `namespace.name` in any other.
    pub(crate) fn client_name(&self, name: &AgentName) -> String {
        if name.namespace == self.default_namespace {
            name.name.clone()
        } else {
            format!("{}.{}", name.namespace, name.name)
        }
    }

    /// The id of an agent. A restored cluster gives an agent the same id again.
    fn agent_id(&self, name: &AgentName) -> Uuid {
        Uuid::new_v5(&AGENT_IDS, format!("{}/{name}", self.install_id).as_bytes())
    }
}

/// Namespace and name of an agent in Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AgentName {
    pub namespace: String,
    pub name: String,
}

impl AgentName {
    pub(crate) fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// Reads `namespace/name`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (namespace, name) = text.split_once('/')?;
        Some(Self::new(namespace, name))
    }

    pub(super) fn of_object(metadata: &ObjectMeta) -> Option<Self> {
        Some(Self::new(metadata.namespace.as_deref()?, metadata.name.as_deref()?))
    }
}

impl fmt::Display for AgentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The part of an Agent that the gateway reads.
#[derive(Debug, Default, Deserialize)]
struct AgentView {
    #[serde(default)]
    spec: SpecView,
    #[serde(default)]
    status: StatusView,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SpecView {
    #[serde(default)]
    description: String,
    /// Whatever stands there, however deep: an Agent is listed before the operator has looked at it.
    model: Option<Box<RawValue>>,
    tools: Option<Box<RawValue>>,
    worker_pool: Option<PoolView>,
}

#[derive(Debug, Default, Deserialize)]
struct PoolView {
    #[serde(default)]
    name: String,
}

#[derive(Debug, Default, Deserialize)]
struct ModelView {
    #[serde(default)]
    name: String,
}

/// A reference to an AgentTool, or to an agent that is a tool.
#[derive(Debug, Default, Deserialize)]
struct ToolView {
    tool: Option<String>,
    agent: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StatusView {
    task_queue: Option<String>,
    #[serde(default)]
    former_task_queues: Vec<String>,
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AgentEntry {
    pub(crate) id: Uuid,
    pub(crate) name: AgentName,
    pub(crate) client_name: String,
    pub(crate) description: String,
    /// Name of its model.
    pub(crate) model: String,
    /// Names of its AgentTools, and of the agents that are its tools.
    pub(crate) tools: Vec<String>,
    /// Counts the changes of its resource.
    pub(crate) version: i64,
    /// Temporal task queue of the agent's workers.
    pub(crate) task_queue: String,
    /// Those that it had before.
    pub(crate) former_task_queues: Vec<String>,
    /// No worker runs, and a message may start one.
    pub(crate) is_asleep: bool,
    /// Its resource stays only until its tasks have ended.
    pub(crate) is_being_deleted: bool,
    pub(crate) status: wire::AgentStatus,
    pub(crate) status_reason: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

impl AgentEntry {
    /// Reads an Agent of a cluster; `None` for an object without a name. Reads the status, and of the spec what clients
    /// see: whatever else an Agent contains, its tasks go on.
    pub(crate) fn of_agent(naming: &Naming, agent: &RawObject) -> Option<Self> {
        let name = AgentName::of_object(agent.meta())?;
        let created_at = created_at(agent.meta());
        let AgentView { spec, status } = agent.decode_part().unwrap_or_else(|error| {
            tracing::warn!(agent = %name, %error, "cannot read the description and the status of the Agent");
            AgentView::default()
        });
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
        Some(Self {
            id: naming.agent_id(&name),
            task_queue: status.task_queue.unwrap_or_else(|| {
                let pool = spec.worker_pool.as_ref().map(|pool| pool.name.as_str());
                names::home_task_queue(&naming.install_id, &name.namespace, &name.name, pool)
            }),
            former_task_queues: status.former_task_queues,
            client_name: naming.client_name(&name),
            name,
            description: spec.description,
            model: spec.model.map(|model| name_of(&model)).unwrap_or_default(),
            tools: spec.tools.map(|tools| names_of(&tools)).unwrap_or_default(),
            version: agent.meta().generation.unwrap_or(1),
            is_asleep: is_asleep(&status.conditions),
            is_being_deleted: agent.meta().deletion_timestamp.is_some(),
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

    /// Reads an AgentRevision.
    pub(super) fn of_revision(naming: &Naming, revision: &AgentRevision) -> Self {
        let namespace = revision
            .metadata
            .namespace
            .as_deref()
            .unwrap_or(&naming.default_namespace);
        let name = AgentName::new(namespace, &revision.spec.agent);
        let created_at = created_at(&revision.metadata);
        Self {
            id: naming.agent_id(&name),
            task_queue: revision.spec.task_queue.clone(),
            former_task_queues: Vec::new(),
            client_name: naming.client_name(&name),
            name,
            description: revision.spec.description.clone(),
            model: revision.spec.model.name.clone(),
            tools: tools_of(&revision.spec),
            version: revision.spec.sequence,
            is_asleep: false,
            is_being_deleted: revision.metadata.deletion_timestamp.is_some(),
            status: wire::AgentStatus::Ready,
            status_reason: None,
            created_at,
            updated_at: created_at,
        }
    }

    pub(crate) fn to_wire(&self) -> wire::Agent {
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
            model: self.model.clone(),
            tools: self.tools.clone(),
        }
    }

    /// The id of the task to which a creator gave this name. Names belong to their creators: a
    /// name tells nothing of the tasks of others, and nobody can take it first.
    pub(crate) fn named_task_id(&self, creator: &str, name: &str) -> Uuid {
        self.task_id(&["name", creator, name])
    }

    /// The id of the task that a creator requested under an idempotency key.
    pub(crate) fn keyed_task_id(&self, creator: &str, key: &str) -> Uuid {
        self.task_id(&["key", creator, key])
    }

    fn task_id(&self, parts: &[&str; 3]) -> Uuid {
        // JSON keeps the parts apart, whatever they contain.
        Uuid::new_v5(&self.id, json!(parts).to_string().as_bytes())
    }
}

fn is_asleep(conditions: &[Condition]) -> bool {
    let (workers, asleep) = (ConditionType::WorkersAvailable, Reason::ScaledToZero);
    let workers = conditions.iter().find(|condition| condition.type_ == workers.as_str());
    workers.is_some_and(|workers| workers.reason == asleep.as_str())
}

fn name_of(model: &RawValue) -> String {
    let model: ModelView = serde_json::from_str(model.get()).unwrap_or_default();
    model.name
}

/// The names that can be read.
fn names_of(tools: &RawValue) -> Vec<String> {
    let tools: Vec<ToolView> = serde_json::from_str(tools.get()).unwrap_or_default();
    let names = tools.into_iter().filter_map(|view| view.tool.or(view.agent));
    names.collect()
}

/// A revision has the tools by the names of their functions.
fn tools_of(spec: &AgentRevisionSpec) -> Vec<String> {
    let tools = spec.tools.iter().map(|tool| tool.name.clone());
    tools
        .chain(spec.agents.iter().map(|agent| agent.agent.clone()))
        .collect()
}

fn created_at(metadata: &ObjectMeta) -> Timestamp {
    metadata
        .creation_timestamp
        .as_ref()
        .map_or(Timestamp::UNIX_EPOCH, |Time(time)| *time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_a_key_belong_to_their_creator() {
        let revision = serde_json::from_value(json!({
            "apiVersion": "steadfast.dev/v1alpha1", "kind": "AgentRevision", "metadata": {"name": "haiku-1"},
            "spec": {"agent": "haiku", "sequence": 1, "description": "", "model": {"name": "fake"}, "taskQueue": "q"},
        }))
        .unwrap();
        let agent = AgentEntry::of_revision(&Naming::default(), &revision);
        let ids = [
            agent.named_task_id("alice", "monday"),
            agent.named_task_id("bob", "monday"),
            agent.named_task_id("", "monday"),
            agent.named_task_id("", "alice\0monday"),
            agent.keyed_task_id("alice", "monday"),
            agent.keyed_task_id("bob", "monday"),
        ];
        let different: std::collections::BTreeSet<&Uuid> = ids.iter().collect();
        assert_eq!(different.len(), ids.len());
        assert_eq!(agent.named_task_id("alice", "monday"), ids[0]);
    }
}
