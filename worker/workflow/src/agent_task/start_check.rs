//! Whether a start input may begin a run. Whoever reaches the task queue of an
//! agent can start a workflow on it: the input names an agent that the worker
//! serves, and only a continued run brings a state with it. Pure.

use steadfast_contract::start::StartTask;

use super::ServedAgents;

/// Why a run is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RefusedStart {
    #[error("the task is for agent {agent:?} in namespace {namespace:?}, which this worker does not serve")]
    OtherAgent { namespace: String, agent: String },
    #[error("the start input has the state of an earlier run, and this run continues none")]
    ForeignState,
}

/// Checks a start input. `continues` says whether the run continues another one.
pub(super) fn check(start: &StartTask, serves: Option<&ServedAgents>, continues: bool) -> Result<(), RefusedStart> {
    if serves.is_some_and(|served| !served.include(&start.namespace, &start.agent)) {
        return Err(RefusedStart::OtherAgent {
            namespace: start.namespace.clone(),
            agent: start.agent.clone(),
        });
    }
    if start.state.is_some() && !continues {
        return Err(RefusedStart::ForeignState);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use steadfast_contract::state::DurableState;

    use super::*;

    fn served() -> ServedAgents {
        ServedAgents::One {
            namespace: "team-a".to_owned(),
            agent: "desk".to_owned(),
        }
    }

    #[test]
    fn a_worker_refuses_tasks_of_other_agents() {
        let check =
            |namespace: &str, agent: &str| check(&StartTask::new("task", namespace, agent), Some(&served()), false);
        assert_eq!(check("team-a", "desk"), Ok(()));
        for (namespace, agent) in [("team-b", "desk"), ("team-a", "other")] {
            assert_eq!(
                check(namespace, agent),
                Err(RefusedStart::OtherAgent {
                    namespace: namespace.to_owned(),
                    agent: agent.to_owned()
                })
            );
        }
    }

    #[test]
    fn a_worker_of_a_pool_refuses_tasks_of_other_namespaces() {
        let pool = ServedAgents::OfPool {
            namespace: "team-a".to_owned(),
        };
        let check = |namespace: &str| check(&StartTask::new("task", namespace, "any"), Some(&pool), false);
        assert_eq!(check("team-a"), Ok(()));
        assert!(check("team-b").is_err());
    }

    #[test]
    fn a_state_is_accepted_from_a_continued_run_only() {
        let mut start = StartTask::new("task", "team-a", "desk");
        start.state = Some(Box::new(DurableState::default()));
        assert_eq!(check(&start, Some(&served()), false), Err(RefusedStart::ForeignState));
        assert_eq!(check(&start, Some(&served()), true), Ok(()));
    }
}
