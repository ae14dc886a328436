//! Reads AgentRevision files, for use without Kubernetes.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize as _;
use steadfast_crds::AgentRevision;

#[derive(Debug, thiserror::Error)]
pub enum ReadFolderError {
    #[error("read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} is not an AgentRevision", path.display())]
    Parse {
        path: PathBuf,
        #[source]
        source: serde_yaml_ng::Error,
    },
}

/// The newest revision of each agent in the folder's YAML files.
pub fn read(folder: &Path) -> Result<Vec<AgentRevision>, ReadFolderError> {
    let reading = |source| ReadFolderError::Read {
        path: folder.to_owned(),
        source,
    };
    let mut newest: BTreeMap<(Option<String>, String), AgentRevision> = BTreeMap::new();
    for file in fs::read_dir(folder).map_err(reading)? {
        let path = file.map_err(reading)?.path();
        if !path
            .extension()
            .is_some_and(|extension| extension == "yaml" || extension == "yml")
        {
            continue;
        }
        let text = fs::read_to_string(&path).map_err(|source| ReadFolderError::Read {
            path: path.clone(),
            source,
        })?;
        for document in serde_yaml_ng::Deserializer::from_str(&text) {
            let revision = AgentRevision::deserialize(document).map_err(|source| ReadFolderError::Parse {
                path: path.clone(),
                source,
            })?;
            let agent = (revision.metadata.namespace.clone(), revision.spec.agent.clone());
            match newest.get(&agent) {
                Some(known) if known.spec.sequence >= revision.spec.sequence => {}
                _ => drop(newest.insert(agent, revision)),
            }
        }
    }
    Ok(newest.into_values().collect())
}
