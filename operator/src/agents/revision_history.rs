//! The revisions of an Agent: their sequence numbers, and the digest of a
//! revision's content.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use kube::ResourceExt as _;
use steadfast_crds::{AgentRevisionSpec, names::SEQUENCE_LABEL};

use crate::{hashing::content_digest, kube::namespaced_name::NamespacedName};

/// The revisions of an Agent so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RevisionHistory {
    /// The highest sequence number that was ever used; 0 if none was.
    pub highest: i64,
    /// The newest revision that exists.
    pub current: Option<CurrentRevision>,
}

/// The newest revision of an Agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentRevision {
    /// Its sequence number.
    pub sequence: i64,
    /// The digest of its content.
    pub digest: String,
}

impl RevisionHistory {
    /// The history whose newest revision is this one.
    pub fn of_newest(spec: &AgentRevisionSpec) -> Result<Self, serde_json::Error> {
        Ok(Self {
            highest: spec.sequence,
            current: Some(CurrentRevision {
                sequence: spec.sequence,
                digest: digest_content(spec)?,
            }),
        })
    }
}

/// The sequence number in a revision's label.
pub(crate) fn sequence_of<K: kube::Resource>(revision: &K) -> Option<i64> {
    revision.labels().get(SEQUENCE_LABEL)?.parse().ok()
}

/// The digest of a revision's content, without its sequence number.
pub(crate) fn digest_content(spec: &AgentRevisionSpec) -> Result<String, serde_json::Error> {
    content_digest::digest(&AgentRevisionSpec {
        sequence: 0,
        ..spec.clone()
    })
}

/// The digest of each Agent's newest revision, so that revisions are not read again.
#[derive(Debug, Default)]
pub(crate) struct RevisionDigests(Mutex<HashMap<NamespacedName, (String, String)>>);

impl RevisionDigests {
    /// The digest of the revision with this uid, if known.
    pub(crate) fn get(&self, agent: &NamespacedName, uid: &str) -> Option<String> {
        let digests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        digests
            .get(agent)
            .filter(|(known_uid, _)| known_uid == uid)
            .map(|(_, digest)| digest.clone())
    }

    /// Stores the digest of an Agent's newest revision.
    pub(crate) fn set(&self, agent: &NamespacedName, uid: String, digest: String) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(agent.clone(), (uid, digest));
    }

    /// Forgets an Agent that is gone.
    pub(crate) fn forget(&self, agent: &NamespacedName) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(agent);
    }
}
