//! Fetches everything an Agent refers to, and the history of its revisions.
//! Reads only. What is missing is a value, not an error.

use std::{collections::BTreeMap, sync::Arc};

use kube::{Api, ResourceExt as _, core::DeserializeGuard};
use steadfast_crds::{
    Agent, AgentRevision, AgentRevisionSpec, AgentTool,
    names::{SEQUENCE_LABEL, revision_name},
};

use crate::{
    agent_controller::{build::is_owned_by, context::Context, introduction::Introduction},
    cache::ObjectKey,
    content_digest,
    contents::KeyDigests,
    reference_index::{named_agents, named_tools},
};

/// Why something could not be read for now.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server did not give a Secret.
    #[error("read Secret {0}")]
    FetchSecret(String, #[source] kube::Error),
    /// The API server did not give a ConfigMap.
    #[error("read ConfigMap {0}")]
    FetchConfigMap(String, #[source] kube::Error),
    /// The API server did not give a revision.
    #[error("read AgentRevision {0}")]
    FetchRevision(String, #[source] kube::Error),
    /// A revision cannot be put into words.
    #[error("digest AgentRevision {0}")]
    DigestRevision(String, #[source] serde_json::Error),
}

/// What an Agent refers to, as found.
#[derive(Debug)]
pub struct Found {
    /// The system prompt.
    pub instructions: Instructions,
    /// Each tool of the spec; absent ones are None.
    pub tools: BTreeMap<String, Option<Arc<DeserializeGuard<AgentTool>>>>,
    /// Each other Agent of the spec.
    pub agents: BTreeMap<String, Introduction>,
    /// Digests of each Secret named by the Agent or the settings; absent ones are None.
    pub secrets: BTreeMap<String, Option<Arc<KeyDigests>>>,
    /// Its revisions so far.
    pub history: History,
}

/// Where the system prompt is, or is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instructions {
    /// The text.
    Text(String),
    /// No such ConfigMap.
    ConfigMapNotFound,
    /// The ConfigMap has no such key.
    ConfigMapKeyNotFound,
}

/// An Agent's revisions so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Highest sequence number ever used.
    pub highest: i64,
    /// The newest revision that exists.
    pub current: Option<CurrentRevision>,
}

/// The newest revision of an Agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentRevision {
    /// Its sequence number.
    pub sequence: i64,
    /// Digest of its content.
    pub digest: String,
}

/// Reads all of it.
pub async fn dereference(context: &Context, agent: &Agent) -> Result<Found, Error> {
    let key = ObjectKey::of(agent);
    Ok(Found {
        instructions: instructions(context, agent, &key).await?,
        tools: tools(context, agent, &key),
        agents: agents(context, agent, &key),
        secrets: secrets(context, agent, &key).await?,
        history: history(context, agent, &key).await?,
    })
}

async fn instructions(context: &Context, agent: &Agent, key: &ObjectKey) -> Result<Instructions, Error> {
    let Some(source) = &agent.spec.instructions_from else {
        return Ok(Instructions::Text(agent.spec.instructions.clone().unwrap_or_default()));
    };
    let reference = &source.config_map_key_ref;
    let config_map = ObjectKey::new(&key.namespace, &reference.name);
    let texts = context
        .contents
        .fetch_config_map(&config_map)
        .await
        .map_err(|source| Error::FetchConfigMap(reference.name.clone(), source))?;
    Ok(match texts {
        None => Instructions::ConfigMapNotFound,
        Some(texts) => match texts.get(&reference.key) {
            None => Instructions::ConfigMapKeyNotFound,
            Some(text) => Instructions::Text(text.clone()),
        },
    })
}

fn tools(
    context: &Context,
    agent: &Agent,
    key: &ObjectKey,
) -> BTreeMap<String, Option<Arc<DeserializeGuard<AgentTool>>>> {
    named_tools(agent)
        .map(|name| {
            let tool = context.caches.tool(&ObjectKey::new(&key.namespace, name));
            (name.clone(), tool)
        })
        .collect()
}

fn agents(context: &Context, agent: &Agent, key: &ObjectKey) -> BTreeMap<String, Introduction> {
    named_agents(agent)
        .map(|name| {
            let other = context.caches.agent(&ObjectKey::new(&key.namespace, name));
            (name.clone(), Introduction::of(other.as_deref()))
        })
        .collect()
}

async fn secrets(
    context: &Context,
    agent: &Agent,
    key: &ObjectKey,
) -> Result<BTreeMap<String, Option<Arc<KeyDigests>>>, Error> {
    let credentials = agent.spec.credentials.iter().map(|credential| &credential.secret_name);
    let common = context
        .settings
        .worker_secret_env
        .iter()
        .map(|variable| &variable.source.secret);
    let mut found = BTreeMap::new();
    for name in credentials.chain(common) {
        if found.contains_key(name) {
            continue;
        }
        let digests = context
            .contents
            .fetch_secret(&ObjectKey::new(&key.namespace, name))
            .await
            .map_err(|source| Error::FetchSecret(name.clone(), source))?;
        found.insert(name.clone(), digests);
    }
    Ok(found)
}

async fn history(context: &Context, agent: &Agent, key: &ObjectKey) -> Result<History, Error> {
    let mut highest = agent.status.as_ref().and_then(|status| status.revision).unwrap_or(0);
    let mut newest: Option<(i64, String)> = None;
    for revision in context.caches.revisions.of_agent(key) {
        let Some(sequence) = sequence_of(revision.as_ref()) else {
            continue;
        };
        highest = highest.max(sequence);
        // Those of a deleted Agent of the same name count, but are about to go.
        if is_owned_by(revision.as_ref(), agent) && newest.as_ref().is_none_or(|(known, _)| *known < sequence) {
            newest = revision.uid().map(|uid| (sequence, uid));
        }
    }
    let Some((sequence, uid)) = newest else {
        return Ok(History { highest, current: None });
    };
    let digest = match context.revision_digests.get(key, &uid) {
        Some(digest) => Some(digest),
        None => fetch_digest(context, key, sequence, &uid).await?,
    };
    Ok(History {
        highest,
        current: digest.map(|digest| CurrentRevision { sequence, digest }),
    })
}

async fn fetch_digest(context: &Context, key: &ObjectKey, sequence: i64, uid: &str) -> Result<Option<String>, Error> {
    let name = revision_name(&key.name, sequence);
    let api: Api<AgentRevision> = Api::namespaced(context.client.clone(), &key.namespace);
    let revision = match api.get_opt(&name).await {
        // Made under another definition: a revision that workers can read takes its place.
        Err(kube::Error::SerdeError(error)) => {
            tracing::warn!(
                name,
                error = &error as &dyn std::error::Error,
                "an AgentRevision cannot be read"
            );
            return Ok(None);
        }
        read => read.map_err(|source| Error::FetchRevision(name.clone(), source))?,
    };
    let Some(revision) = revision else { return Ok(None) };
    let digest = digest_content(&revision.spec).map_err(|source| Error::DigestRevision(name, source))?;
    context.revision_digests.set(key, uid.to_owned(), digest.clone());
    Ok(Some(digest))
}

/// The sequence number in a revision's label.
pub fn sequence_of<K: kube::Resource>(revision: &K) -> Option<i64> {
    revision.labels().get(SEQUENCE_LABEL)?.parse().ok()
}

/// Digest of what a revision says, whatever its number.
pub fn digest_content(spec: &AgentRevisionSpec) -> Result<String, serde_json::Error> {
    content_digest::digest(&AgentRevisionSpec {
        sequence: 0,
        ..spec.clone()
    })
}
