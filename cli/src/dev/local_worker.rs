//! The worker processes that the Agents of the files need: one for each Agent with pods
//! of its own, and one for each WorkerPool. Pure.

use std::collections::{BTreeMap, BTreeSet};

use steadfast_crds::agent::Credential;

/// One worker process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LocalWorker {
    pub(super) home: WorkerHome,
    /// The Agents that it runs.
    pub(super) agents: BTreeSet<String>,
    /// Its credentials, and no other secret, with what every process gets.
    pub(super) variables: BTreeMap<String, String>,
    /// A stand-in answers in place of every model.
    pub(super) has_stand_in: bool,
}

/// Whose worker it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum WorkerHome {
    Agent(String),
    Pool(String),
}

impl WorkerHome {
    pub(super) fn of(agent: &str, pool: Option<&str>) -> Self {
        pool.map_or_else(|| Self::Agent(agent.to_owned()), |pool| Self::Pool(pool.to_owned()))
    }

    /// The name of its log, which no other process has: the name of an Agent has no dot.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Agent(name) => name.clone(),
            Self::Pool(name) => format!("pool.{name}"),
        }
    }

    /// The variable that tells the worker whose it is, with its value.
    pub(super) fn variable(&self) -> (&'static str, &str) {
        match self {
            Self::Agent(name) => ("STEADFAST_AGENT", name),
            Self::Pool(name) => ("STEADFAST_WORKER_POOL", name),
        }
    }

    pub(super) fn describe(&self) -> String {
        match self {
            Self::Agent(name) => format!("the worker of {name}"),
            Self::Pool(name) => format!("the worker of WorkerPool {name}"),
        }
    }
}

impl LocalWorker {
    pub(super) fn new(home: WorkerHome, variables: BTreeMap<String, String>) -> Self {
        Self {
            home,
            agents: BTreeSet::new(),
            variables,
            has_stand_in: false,
        }
    }

    /// Adds the values of credentials.
    pub(super) fn add_credentials<'a>(&mut self, credentials: &[Credential], value: impl Fn(&str) -> Option<&'a str>) {
        let set = credentials.iter().filter_map(|credential| {
            let name = &credential.env_var_name;
            Some((name.clone(), value(name)?.to_owned()))
        });
        self.variables.extend(set);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_and_an_agent_of_the_same_name_are_two_processes() {
        let (agent, pool) = (WorkerHome::of("shared", None), WorkerHome::of("a", Some("shared")));
        assert_ne!(agent.key(), pool.key());
        assert_eq!(pool.variable(), ("STEADFAST_WORKER_POOL", "shared"));
        assert_eq!(WorkerHome::of("b", Some("shared")), pool);
    }
}
