//! The revisions of an Agent: their sequence numbers, and the digest of a
//! revision's content.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use kube::ResourceExt as _;
use steadfast_crds::{AgentRevisionSpec, names::SEQUENCE_LABEL};

use crate::{
    agents::withdrawal::has_foreign_references, hashing::content_digest, kube::namespaced_name::NamespacedName,
};

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
    /// Its content, in short.
    pub summary: RevisionSummary,
}

/// What is remembered of a revision's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevisionSummary {
    /// The digest.
    pub digest: String,
    /// Whether it refers to other namespaces.
    pub has_foreign_references: bool,
}

impl RevisionSummary {
    /// The summary of this content.
    pub fn of(spec: &AgentRevisionSpec) -> Result<Self, serde_json::Error> {
        Ok(Self {
            digest: digest_content(spec)?,
            has_foreign_references: has_foreign_references(spec),
        })
    }
}

impl RevisionHistory {
    /// The history whose newest revision is this one.
    pub fn of_newest(spec: &AgentRevisionSpec) -> Result<Self, serde_json::Error> {
        Ok(Self {
            highest: spec.sequence,
            current: Some(CurrentRevision {
                sequence: spec.sequence,
                summary: RevisionSummary::of(spec)?,
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

/// What is known of each Agent's newest revision, so that revisions are not read again.
#[derive(Debug, Default)]
pub(crate) struct RevisionSummaries(Mutex<HashMap<NamespacedName, (String, RevisionSummary)>>);

impl RevisionSummaries {
    /// The summary of the revision with this uid, if known.
    pub(crate) fn get(&self, agent: &NamespacedName, uid: &str) -> Option<RevisionSummary> {
        let summaries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        summaries
            .get(agent)
            .filter(|(known_uid, _)| known_uid == uid)
            .map(|(_, summary)| summary.clone())
    }

    /// Stores the summary of an Agent's newest revision.
    pub(crate) fn set(&self, agent: &NamespacedName, uid: String, summary: RevisionSummary) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(agent.clone(), (uid, summary));
    }

    /// Forgets an Agent that is gone.
    pub(crate) fn forget(&self, agent: &NamespacedName) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(agent);
    }
}
