//! Whose worker this process is: that of one agent, or of a WorkerPool. Decides the task
//! queue, the tasks that it takes, and its names. Pure.

use steadfast_crds::names::home_task_queue;
use steadfast_workflow::ServedAgents;

use crate::{args::Args, revisions::Selection};

/// One agent, or the pool of many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WorkerHome {
    namespace: String,
    kind: Kind,
    /// The queue that the operator gives to this owner.
    home: String,
    task_queue: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Agent(String),
    Pool(String),
}

impl WorkerHome {
    pub(super) fn of(args: &Args) -> Self {
        let kind = match &args.worker_pool {
            Some(pool) => Kind::Pool(pool.clone()),
            None => Kind::Agent(args.agent.clone()),
        };
        let home = home_task_queue(&args.install, &args.namespace, &args.agent, args.worker_pool.as_deref());
        Self {
            namespace: args.namespace.clone(),
            kind,
            task_queue: args.task_queue.clone().unwrap_or_else(|| home.clone()),
            home,
        }
    }

    pub(super) fn task_queue(&self) -> &str {
        &self.task_queue
    }

    /// Name of the agent or of the pool.
    pub(super) fn name(&self) -> &str {
        match &self.kind {
            Kind::Agent(name) | Kind::Pool(name) => name,
        }
    }

    /// The tasks that this process runs.
    pub(super) fn served(&self) -> ServedAgents {
        let namespace = self.namespace.clone();
        match &self.kind {
            Kind::Agent(agent) => ServedAgents::One {
                namespace,
                agent: agent.clone(),
            },
            Kind::Pool(_) => ServedAgents::OfPool { namespace },
        }
    }

    /// The revisions that this process needs.
    pub(super) fn selection(&self) -> Selection {
        match &self.kind {
            Kind::Agent(agent) => Selection::OfAgent {
                agent: agent.clone(),
                task_queue: self.home.clone(),
            },
            Kind::Pool(pool) => Selection::OfPool {
                pool: pool.clone(),
                task_queue: self.task_queue.clone(),
            },
        }
    }

    /// Whether it serves more than one agent.
    pub(super) fn is_pool(&self) -> bool {
        matches!(self.kind, Kind::Pool(_))
    }

    /// A name that only this process and its successor have. A host name is one if it is that of a pod of this home:
    /// pods in the network of their node, and programs on one machine, share theirs.
    pub(super) fn process_name(&self, args: &Args) -> Option<String> {
        let of_pod = || {
            let name = args.hostname.as_ref().filter(|_| args.revisions.is_none())?;
            let prefix = match &self.kind {
                Kind::Agent(agent) => format!("agent-{agent}-"),
                Kind::Pool(pool) => format!("pool-{pool}-"),
            };
            name.starts_with(&prefix).then(|| name.clone())
        };
        let name = args.process_name.clone().or_else(of_pod)?;
        let namespace = &self.namespace;
        Some(match &self.kind {
            Kind::Agent(agent) => format!("{namespace}/{agent}/{name}"),
            // No agent has a slash in its name.
            Kind::Pool(pool) => format!("{namespace}/pool/{pool}/{name}"),
        })
    }

    /// The agent or the pool with the last part of the pod's name, or with the process ID. Short, because several events
    /// of every step contain it.
    pub(super) fn identity(&self, args: &Args) -> String {
        let pod = args
            .hostname
            .as_deref()
            .and_then(|name| name.rsplit_once('-'))
            .map(|(_, last)| last.to_owned());
        let process = pod.unwrap_or_else(|| std::process::id().to_string());
        format!("{}-{process}", self.name())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    const CONNECTIONS: [&str; 5] = ["worker", "--install", "prod", "--namespace", "team"];

    fn args(own: &[&str]) -> Args {
        Args::try_parse_from(CONNECTIONS.iter().chain(own)).unwrap()
    }

    #[test]
    fn a_pool_has_one_queue_and_takes_the_tasks_of_its_namespace() {
        let args = args(&["--worker-pool", "shared", "--hostname", "pool-shared-7f-abc"]);
        let home = WorkerHome::of(&args);
        assert_eq!(home.task_queue(), "prod/team/pool/shared");
        let namespace = "team".to_owned();
        assert_eq!(home.served(), ServedAgents::OfPool { namespace });
        assert_eq!(home.identity(&args), "shared-abc");
        assert_eq!(
            home.process_name(&args).as_deref(),
            Some("team/pool/shared/pool-shared-7f-abc")
        );
    }

    #[test]
    fn an_agent_of_its_own_has_its_own_queue_and_no_other_tasks() {
        let args = args(&["--agent", "weather", "--hostname", "agent-weather-7f-abc"]);
        let home = WorkerHome::of(&args);
        assert_eq!(home.task_queue(), "prod/team/agent/weather");
        let (namespace, agent) = ("team".to_owned(), "weather".to_owned());
        assert_eq!(home.served(), ServedAgents::One { namespace, agent });
        assert_eq!(
            home.process_name(&args).as_deref(),
            Some("team/weather/agent-weather-7f-abc")
        );
    }

    #[test]
    fn a_worker_is_that_of_an_agent_or_of_a_pool() {
        for own in [&["--agent", "a", "--worker-pool", "b"][..], &[]] {
            assert!(Args::try_parse_from(CONNECTIONS.iter().chain(own)).is_err(), "{own:?}");
        }
    }
}
