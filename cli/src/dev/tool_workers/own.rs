//! Workers of Agents that are programs of the user: Steadfast's worker with built-in
//! tools.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    super::{environment::Environment, status},
    description::{Description, ToolWorker},
    files::Fingerprint,
    preparation::{self, Prepared},
};

/// The programs by the name of the Agent.
#[derive(Debug, Default)]
pub(in super::super) struct OwnWorkers {
    known: BTreeMap<String, (ToolWorker, Fingerprint, Option<Prepared>)>,
}

impl OwnWorkers {
    /// The program of an Agent; absent if Steadfast's own worker runs it.
    pub(in super::super) fn of(&self, agent: &str) -> Option<&Prepared> {
        self.known.get(agent)?.2.as_ref()
    }

    /// Builds the programs whose description or files have changed. Returns the names of their Agents.
    pub(in super::super) async fn update(
        &mut self,
        directories: &[PathBuf],
        environments: &Path,
        environment: &Environment,
    ) -> Vec<String> {
        let mut changed = Vec::new();
        for worker in directories.iter().flat_map(|directory| described(directory)) {
            let Some(agent) = worker.agent.clone() else { continue };
            let fingerprint = Fingerprint::of(&worker);
            let known = self.known.get(&agent);
            if known.is_some_and(|(of, at, _)| *of == worker && *at == fingerprint) {
                continue;
            }
            let last = known.and_then(|(_, _, prepared)| prepared.clone());
            let prepared = match preparation::prepare(&worker, environments, environment).await {
                Ok(prepared) => Some(prepared),
                Err(error) => {
                    status(&format!("{}: {error:#}", worker.name));
                    // The last good program goes on.
                    last
                }
            };
            self.known.insert(agent.clone(), (worker, fingerprint, prepared));
            changed.push(agent);
        }
        changed
    }
}

/// What is wrong with the file is told by the workers of tools.
fn described(directory: &Path) -> Vec<ToolWorker> {
    Description::read(directory).unwrap_or_default()
}
