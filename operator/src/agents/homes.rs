//! Where the tasks of an Agent may run: on the workers for which its newest revision was made, and on those that it has
//! left. The revisions tell, so that no restart of the operator forgets it.

use kube::ResourceExt as _;
use steadfast_crds::names::{WORKER_POOL_LABEL, home_task_queue};

use crate::{
    agents::{context::Context, identity::AgentIdentity, revision_history::sequence_of},
    kube::{namespaced_name::NamespacedName, owner::OwnerKind},
    tasks::TaskSet,
};

/// The workers of an Agent at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AgentHome {
    /// The WorkerPool; `None` for workers of its own.
    pub(crate) pool: Option<String>,
    /// Sequence number of the newest revision that was made for them.
    pub(crate) newest: i64,
}

impl AgentHome {
    /// The tasks of the Agent there.
    pub(crate) fn tasks(&self, install: &str, agent: &NamespacedName) -> TaskSet {
        let task_queue = home_task_queue(install, &agent.namespace, &agent.name, self.pool.as_deref());
        TaskSet::new(install, agent.clone(), task_queue)
    }
}

/// The homes of an Agent, the present one first.
pub(crate) fn homes(context: &Context, agent: &AgentIdentity) -> Vec<AgentHome> {
    let revisions = context.caches.revisions.of_owner(OwnerKind::Agent, &agent.key);
    let own = revisions.iter().filter(|revision| agent.owns(revision.as_ref()));
    of_revisions(own.filter_map(|revision| Some((sequence_of(revision.as_ref())?, pool_of(revision.as_ref())))))
}

/// The WorkerPool for which a revision was made.
pub(crate) fn pool_of<K: kube::Resource>(revision: &K) -> Option<String> {
    revision.labels().get(WORKER_POOL_LABEL).cloned()
}

fn of_revisions(revisions: impl Iterator<Item = (i64, Option<String>)>) -> Vec<AgentHome> {
    let mut revisions: Vec<_> = revisions.collect();
    revisions.sort_unstable_by_key(|(sequence, _)| std::cmp::Reverse(*sequence));
    let mut homes: Vec<AgentHome> = Vec::new();
    for (newest, pool) in revisions {
        if homes.iter().all(|home| home.pool != pool) {
            homes.push(AgentHome { pool, newest });
        }
    }
    homes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::QueueKind;

    fn home(pool: Option<&str>, newest: i64) -> AgentHome {
        AgentHome {
            pool: pool.map(str::to_owned),
            newest,
        }
    }

    fn of(revisions: &[(i64, Option<&str>)]) -> Vec<AgentHome> {
        let revisions = revisions.iter();
        of_revisions(revisions.map(|(sequence, pool)| (*sequence, pool.map(str::to_owned))))
    }

    #[test]
    fn the_newest_revision_says_where_an_agent_is_and_the_others_where_it_was() {
        assert_eq!(of(&[]), []);
        assert_eq!(of(&[(1, None), (3, None), (2, None)]), [home(None, 3)]);
        assert_eq!(
            of(&[
                (9, Some("b")),
                (1, None),
                (2, Some("a")),
                (10, Some("b")),
                (4, Some("a"))
            ]),
            [home(Some("b"), 10), home(Some("a"), 4), home(None, 1)]
        );
        // There and back.
        assert_eq!(
            of(&[(1, None), (2, Some("a")), (3, None)]),
            [home(None, 3), home(Some("a"), 2)]
        );
    }

    #[test]
    fn tasks_are_on_the_queue_of_the_home() {
        let agent = NamespacedName::new("team", "desk");
        let queues = [home(None, 1), home(Some("shared"), 2)].map(|home| {
            let tasks = home.tasks("demo", &agent);
            (tasks.task_queue, tasks.kind)
        });
        assert_eq!(
            queues,
            [
                ("demo/team/agent/desk".to_owned(), QueueKind::Own),
                ("demo/team/pool/shared".to_owned(), QueueKind::Shared)
            ]
        );
    }
}
