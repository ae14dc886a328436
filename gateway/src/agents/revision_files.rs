//! Reads AgentRevision files, for use without Kubernetes.

use std::{collections::BTreeMap, path::Path};

use steadfast_crds::{
    AgentRevision,
    manifests::{ManifestError, read_dir_of},
};

use super::{AgentEntry, Naming, index::AgentIndex};

/// The agents of the AgentRevision files in a directory, each in its newest revision.
pub(super) fn read(naming: &Naming, directory: &Path) -> Result<AgentIndex, ManifestError> {
    let mut newest: BTreeMap<(Option<String>, String), AgentRevision> = BTreeMap::new();
    for revision in read_dir_of::<AgentRevision>(directory)? {
        let agent = (revision.metadata.namespace.clone(), revision.spec.agent.clone());
        match newest.get(&agent) {
            Some(known) if known.spec.sequence >= revision.spec.sequence => {}
            _ => drop(newest.insert(agent, revision)),
        }
    }
    Ok(newest
        .values()
        .map(|revision| AgentEntry::of_revision(naming, revision))
        .collect())
}
