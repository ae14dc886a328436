//! Agents that move to other workers while a task runs: where the task finds them, and when it continues as new for it.
//!
//! The new workers take no revision that was made for the old ones, whose credentials were others. So a task changes over
//! between two activities, and reads a revision before it goes on.

use steadfast_contract::signals::AgentMoved;
use steadfast_crds::names::qualified_name;

use super::Task;

impl Task {
    /// An agent has moved, whether this task needs it or not.
    pub fn agent_moved(&mut self, moved: AgentMoved) {
        let agent = qualified_name(Some(&moved.namespace), &moved.agent);
        self.state.moved_agents.insert(agent, moved.task_queue);
    }

    /// The run is to continue as new, because the task's own agent or the one that has the turn has moved.
    pub fn is_move_due(&self, own_queue: &str) -> bool {
        self.next_home(own_queue).is_some() || self.next_acting_queue().is_some()
    }

    /// Takes over where the agents are now, for the next run. Returns the task queue of that run, if it is another one.
    pub fn change_over(&mut self, own_queue: &str) -> Option<String> {
        let home = self.next_home(own_queue).cloned();
        let acting = self.next_acting_queue().cloned();
        let acting_moves = acting.is_some() || (home.is_some() && self.state.active_agent.is_none());
        self.state.revision_is_stale |= acting_moves && self.state.turn_started_at.is_some();
        if let (Some(active), Some(queue)) = (&mut self.state.active_agent, acting) {
            active.task_queue = queue;
        }
        home
    }

    /// Where an agent is that a revision names: its namespace is that of the revision if it has none. A revision does not
    /// know where an agent has moved since.
    pub fn queue_of(&self, namespace: Option<&str>, agent: &str, named: &str) -> String {
        let namespace = namespace.unwrap_or_else(|| self.acting_namespace());
        let moved = self.moved_to(namespace, agent);
        moved.map_or_else(|| named.to_owned(), String::clone)
    }

    /// A turn begins with the newest revision, which knows where the agents are that it names.
    pub(super) fn forget_moves(&mut self) {
        let home = qualified_name(Some(&self.start.namespace), &self.start.agent);
        let acting = qualified_name(Some(self.acting_namespace()), self.acting_agent());
        let is_needed = |agent: &String| *agent == home || *agent == acting;
        self.state.moved_agents.retain(|agent, _| is_needed(agent));
    }

    fn next_home(&self, own_queue: &str) -> Option<&String> {
        let moved = self.moved_to(&self.start.namespace, &self.start.agent);
        moved.filter(|queue| queue.as_str() != own_queue)
    }

    fn next_acting_queue(&self) -> Option<&String> {
        let active = self.state.active_agent.as_ref()?;
        let moved = self.moved_to(self.acting_namespace(), &active.agent);
        moved.filter(|queue| **queue != active.task_queue)
    }

    fn moved_to(&self, namespace: &str, agent: &str) -> Option<&String> {
        self.state.moved_agents.get(&qualified_name(Some(namespace), agent))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use steadfast_contract::{start::StartTask, state::ActiveAgent};

    use super::*;
    use crate::NoSink;

    const OWN: &str = "i/team/agent/desk";
    const POOL: &str = "i/team/pool/shared";

    fn task() -> Task {
        let start = StartTask::new("t", "team", "desk");
        Task::new(start, "run", Arc::new(NoSink), jiff::Timestamp::UNIX_EPOCH)
    }

    fn moved(agent: &str, task_queue: &str) -> AgentMoved {
        AgentMoved {
            namespace: "team".to_owned(),
            agent: agent.to_owned(),
            task_queue: task_queue.to_owned(),
        }
    }

    fn handed_off_to(agent: &str) -> Task {
        let mut task = task();
        task.state.active_agent = Some(ActiveAgent {
            agent: agent.to_owned(),
            namespace: None,
            task_queue: format!("i/team/agent/{agent}"),
        });
        task
    }

    #[test]
    fn a_task_whose_agent_moved_continues_on_the_new_queue_and_stays_there() {
        let mut task = task();
        assert!(!task.is_move_due(OWN));
        task.agent_moved(moved("desk", POOL));
        assert!(task.is_move_due(OWN));
        assert_eq!(task.change_over(OWN).as_deref(), Some(POOL));
        assert!(!task.is_move_due(POOL));
        // And back, in another run.
        task.agent_moved(moved("desk", OWN));
        assert_eq!(task.change_over(POOL).as_deref(), Some(OWN));
    }

    #[test]
    fn in_a_turn_the_revision_of_the_old_workers_is_not_used_on_the_new_ones() {
        let mut between_turns = task();
        between_turns.agent_moved(moved("desk", POOL));
        between_turns.change_over(OWN);
        assert!(!between_turns.state.revision_is_stale, "the next turn reads one anyway");

        let mut in_turn = task();
        in_turn.state.turn_started_at = Some(jiff::Timestamp::UNIX_EPOCH);
        in_turn.agent_moved(moved("desk", POOL));
        in_turn.change_over(OWN);
        assert!(in_turn.state.revision_is_stale);
    }

    #[test]
    fn a_task_that_was_handed_off_finds_the_agent_where_it_moved_and_stays_with_its_own_workers() {
        let mut task = handed_off_to("billing");
        task.state.turn_started_at = Some(jiff::Timestamp::UNIX_EPOCH);
        task.agent_moved(moved("billing", POOL));
        assert!(task.is_move_due(OWN));
        assert_eq!(task.change_over(OWN), None);
        assert_eq!(task.acting_queue().as_deref(), Some(POOL));
        assert!(task.state.revision_is_stale && !task.is_move_due(OWN));
    }

    #[test]
    fn while_another_agent_has_the_turn_the_move_of_the_own_agent_leaves_the_revision_alone() {
        let mut task = handed_off_to("billing");
        task.state.turn_started_at = Some(jiff::Timestamp::UNIX_EPOCH);
        task.agent_moved(moved("desk", POOL));
        assert_eq!(task.change_over(OWN).as_deref(), Some(POOL));
        assert!(!task.state.revision_is_stale);
    }

    #[test]
    fn an_agent_that_the_revision_names_is_called_where_it_is_now() {
        let mut task = task();
        let named = "i/team/agent/researcher";
        assert_eq!(task.queue_of(None, "researcher", named), named);
        task.agent_moved(moved("researcher", POOL));
        assert!(!task.is_move_due(OWN));
        assert_eq!(task.queue_of(None, "researcher", named), POOL);
        assert_eq!(task.queue_of(Some("team"), "researcher", named), POOL);
        assert_eq!(task.queue_of(Some("shop"), "researcher", named), named);
        task.forget_moves();
        assert_eq!(task.queue_of(None, "researcher", named), named);
    }
}
