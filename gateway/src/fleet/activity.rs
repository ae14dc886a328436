//! What a task does now, and how many tasks of each agent do it. Pure.

use std::collections::HashMap;

use crate::agents::AgentName;

/// What a task does that has a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    Runs,
    WaitsForPeople,
}

/// How many tasks of an agent have a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TaskCounts {
    pub(crate) running: u32,
    pub(crate) waiting: u32,
}

pub(super) fn counts(tasks: impl Iterator<Item = (AgentName, Activity)>) -> HashMap<AgentName, TaskCounts> {
    let mut counts: HashMap<AgentName, TaskCounts> = HashMap::new();
    for (agent, activity) in tasks {
        let of_agent = counts.entry(agent).or_default();
        match activity {
            Activity::Runs => of_agent.running += 1,
            Activity::WaitsForPeople => of_agent.waiting += 1,
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_counted_by_agent_and_by_what_they_do() {
        let agent = |name| AgentName::new("default", name);
        let tasks = [
            (agent("a"), Activity::Runs),
            (agent("b"), Activity::WaitsForPeople),
            (agent("a"), Activity::WaitsForPeople),
            (agent("a"), Activity::Runs),
        ];
        let of = |running, waiting| TaskCounts { running, waiting };
        let expected = HashMap::from([(agent("a"), of(2, 1)), (agent("b"), of(0, 1))]);
        assert_eq!(counts(tasks.into_iter()), expected);
    }
}
