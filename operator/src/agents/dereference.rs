//! Reads everything that an Agent refers to, and the history of its revisions.
//!
//! The objects come from a [`ReferenceSource`]: a cluster, or manifests. A
//! missing object is a value and not an error; an error is worth another attempt.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use steadfast_crds::{Agent, agent_reference_grant::ReferentKind};

use crate::{
    agents::{
        grants::{Referent, Refusal},
        identity::AgentIdentity,
        pool_summary::PoolSummary,
        reference_index::{agent_secrets, referents},
        revision_history::RevisionHistory,
        summary::AgentSummary,
    },
    kube::{
        content_cache::{ConfigMapData, SecretHashes},
        namespaced_name::NamespacedName,
    },
    settings::Settings,
    tools::GuardedTool,
};

/// Why an object cannot be read.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// Where the objects that an Agent refers to come from.
pub trait ReferenceSource: Sync {
    /// Why an Agent in the namespace `from` may not refer to an object in another namespace; `None` if it may.
    fn refusal(&self, from: &str, to: &Referent) -> Result<Option<Refusal>, SourceError>;

    /// The AgentTool; `None` if it does not exist.
    fn tool(&self, key: &NamespacedName) -> Option<Arc<GuardedTool>>;

    /// The summary of another Agent.
    fn agent(&self, key: &NamespacedName) -> AgentSummary;

    /// The summary of a WorkerPool.
    fn pool(&self, key: &NamespacedName) -> PoolSummary;

    /// The keyed hash of each value of a Secret; `None` if the Secret does not exist.
    fn secret_hashes(
        &self,
        key: &NamespacedName,
    ) -> impl Future<Output = Result<Option<Arc<SecretHashes>>, SourceError>> + Send;

    /// The texts of a ConfigMap; `None` if the ConfigMap does not exist.
    fn config_map(
        &self,
        key: &NamespacedName,
    ) -> impl Future<Output = Result<Option<Arc<ConfigMapData>>, SourceError>> + Send;

    /// The revisions of the Agent that exist.
    fn revision_history(
        &self,
        agent: &AgentIdentity,
    ) -> impl Future<Output = Result<RevisionHistory, SourceError>> + Send;
}

/// Why an object that an Agent refers to cannot be read for now.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A Secret cannot be read.
    #[error("read Secret {0}")]
    Secret(String, #[source] SourceError),
    /// A ConfigMap cannot be read.
    #[error("read ConfigMap {0}")]
    ConfigMap(String, #[source] SourceError),
    /// Whether a reference to another namespace is permitted is not known.
    #[error("look up what namespace {0} grants")]
    Grants(String, #[source] SourceError),
    /// The revisions cannot be read.
    #[error("read the AgentRevisions")]
    Revisions(#[source] SourceError),
}

/// Everything that an Agent refers to.
#[derive(Debug)]
pub struct Dereferenced {
    /// The system prompt.
    pub instructions: Instructions,
    /// Each AgentTool of the spec; `None` for one that does not exist. What may not be referred to was not looked up.
    pub tools: BTreeMap<NamespacedName, Result<Option<Arc<GuardedTool>>, Refusal>>,
    /// Each other Agent of the spec. What may not be referred to was not looked up.
    pub agents: BTreeMap<NamespacedName, Result<AgentSummary, Refusal>>,
    /// The WorkerPool of the spec; `None` for an Agent with pods of its own.
    pub pool: Option<PoolSummary>,
    /// The hashes of each Secret that the Agent's own workers need.
    pub secrets: Secrets,
    /// The revisions so far.
    pub history: RevisionHistory,
}

impl Dereferenced {
    /// What may be referred to, in the Agent's own namespace and in others.
    pub(crate) fn permitted(&self) -> BTreeSet<Referent> {
        let referent = |kind, key: &NamespacedName| Referent { kind, key: key.clone() };
        let tools = self.tools.iter().filter(|(_, found)| found.is_ok());
        let agents = self.agents.iter().filter(|(_, found)| found.is_ok());
        tools
            .map(|(key, _)| referent(ReferentKind::AgentTool, key))
            .chain(agents.map(|(key, _)| referent(ReferentKind::Agent, key)))
            .collect()
    }
}

/// The hashes of Secrets, by name; `None` for one that does not exist.
pub type Secrets = BTreeMap<String, Option<Arc<SecretHashes>>>;

/// The system prompt, or the reason why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instructions {
    /// The text.
    Text(String),
    /// The ConfigMap does not exist.
    ConfigMapNotFound,
    /// The ConfigMap does not have the key.
    ConfigMapKeyNotFound,
}

/// Reads everything that an Agent refers to.
pub async fn dereference(
    source: &impl ReferenceSource,
    agent: &Agent,
    settings: &Settings,
) -> Result<Dereferenced, Error> {
    let identity = AgentIdentity::of(agent);
    let in_namespace = |name: &String| NamespacedName::new(&identity.key.namespace, name);
    let mut tools = BTreeMap::new();
    let mut agents = BTreeMap::new();
    for referent in referents(agent) {
        let refusal = refusal(source, &identity.key.namespace, &referent)?;
        let key = referent.key;
        match referent.kind {
            ReferentKind::AgentTool => {
                let tool = refusal.map_or_else(|| Ok(source.tool(&key)), Err);
                tools.insert(key, tool);
            }
            ReferentKind::Agent => {
                let agent = refusal.map_or_else(|| Ok(source.agent(&key)), Err);
                agents.insert(key, agent);
            }
        }
    }
    Ok(Dereferenced {
        instructions: instructions(source, agent, in_namespace).await?,
        tools,
        agents,
        pool: agent
            .spec
            .worker_pool
            .as_ref()
            .map(|pool| source.pool(&in_namespace(&pool.name))),
        secrets: secrets(source, &identity.key.namespace, agent_secrets(agent, settings)).await?,
        history: history(source, agent, &identity).await?,
    })
}

/// Why a reference is refused. An Agent may refer to everything in its own namespace.
fn refusal(source: &impl ReferenceSource, from: &str, to: &Referent) -> Result<Option<Refusal>, Error> {
    if to.key.namespace == from {
        return Ok(None);
    }
    let of_namespace = |cause| Error::Grants(to.key.namespace.clone(), cause);
    source.refusal(from, to).map_err(of_namespace)
}

async fn instructions(
    source: &impl ReferenceSource,
    agent: &Agent,
    in_namespace: impl Fn(&String) -> NamespacedName,
) -> Result<Instructions, Error> {
    let Some(from) = &agent.spec.instructions_from else {
        return Ok(Instructions::Text(agent.spec.instructions.clone().unwrap_or_default()));
    };
    let reference = &from.config_map_key_ref;
    let data = source
        .config_map(&in_namespace(&reference.name))
        .await
        .map_err(|source| Error::ConfigMap(reference.name.clone(), source))?;
    Ok(match data {
        None => Instructions::ConfigMapNotFound,
        Some(data) => match data.get(&reference.key) {
            None => Instructions::ConfigMapKeyNotFound,
            Some(text) => Instructions::Text(text.clone()),
        },
    })
}

/// Reads Secrets of a namespace.
pub async fn secrets<'a>(
    source: &impl ReferenceSource,
    namespace: &str,
    names: impl Iterator<Item = &'a String> + Send,
) -> Result<Secrets, Error> {
    let mut secrets = BTreeMap::new();
    for name in names {
        if secrets.contains_key(name) {
            continue;
        }
        let hashes = source
            .secret_hashes(&NamespacedName::new(namespace, name))
            .await
            .map_err(|source| Error::Secret(name.clone(), source))?;
        secrets.insert(name.clone(), hashes);
    }
    Ok(secrets)
}

async fn history(
    source: &impl ReferenceSource,
    agent: &Agent,
    identity: &AgentIdentity,
) -> Result<RevisionHistory, Error> {
    let history = source.revision_history(identity).await.map_err(Error::Revisions)?;
    // The revision of that number may have been deleted since.
    let recorded = agent.status.as_ref().and_then(|status| status.revision).unwrap_or(0);
    Ok(RevisionHistory {
        highest: history.highest.max(recorded),
        ..history
    })
}
