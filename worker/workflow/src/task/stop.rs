//! Why and when the running turn is to stop: an interrupt, or a time limit that has passed.

use std::time::Duration;

use steadfast_agent_loop::{Failure, Step};

use super::Task;

/// A time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// `limits.turnTimeout`
    Turn,
    /// `limits.taskTimeout`
    Task,
}

/// What has asked the running turn to stop in this run. An interrupt, which is kept for the next run,
/// comes before a time limit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stop {
    passed: Option<Deadline>,
    /// The workers have not yet been told to cancel the running calls.
    cancel_pending: bool,
}

impl Stop {
    pub(super) fn turn_started(&mut self) {
        self.cancel_pending = false;
    }

    pub(super) fn turn_ended(&mut self) {
        self.turn_started();
        if self.passed == Some(Deadline::Turn) {
            self.passed = None;
        }
    }
}

impl Task {
    /// A user has interrupted the running turn, or the one that is about to begin. Without either there is
    /// nothing to stop.
    pub fn interrupt(&mut self) {
        let turn_runs = self.state.agent_run.next_step() != Step::AwaitMessage;
        let queued_in_pages = self.state.pages.as_ref().is_some_and(|pages| pages.queued > 0);
        if turn_runs || queued_in_pages || !self.state.inbox.is_empty() {
            self.state.interrupted = true;
        }
    }

    /// The turn was interrupted and has not ended yet.
    pub fn is_interrupted(&self) -> bool {
        self.state.interrupted
    }

    /// The workers are to be told to cancel the running calls.
    pub fn cancel_running_calls(&mut self) {
        self.local.stop.cancel_pending = true;
    }

    /// A time limit has passed; `turn_runs` says whether calls may have to be cancelled.
    pub fn deadline_passed(&mut self, deadline: Deadline, turn_runs: bool) {
        self.local.stop.passed = Some(deadline);
        self.local.stop.cancel_pending = turn_runs;
    }

    /// The task has reached its own time limit.
    pub fn is_timed_out(&self) -> bool {
        self.local.stop.passed == Some(Deadline::Task)
    }

    /// The workers have not been told yet to cancel the running calls.
    pub fn is_cancel_pending(&self) -> bool {
        self.local.stop.cancel_pending
    }

    /// The workers are being told.
    pub fn cancel_announced(&mut self) {
        self.local.stop.cancel_pending = false;
    }

    /// Why the running turn was stopped.
    pub fn stop_reason(&self) -> Failure {
        let stop = self.local.stop;
        match stop.passed {
            _ if self.state.interrupted => Failure::Interrupted,
            Some(Deadline::Turn) => Failure::Error {
                category: "turn_timeout".to_owned(),
                message: "the turn took longer than limits.turnTimeout".to_owned(),
            },
            Some(Deadline::Task) => Failure::Error {
                category: "task_timeout".to_owned(),
                message: "the task took longer than limits.taskTimeout".to_owned(),
            },
            None => Failure::Canceled,
        }
    }

    /// The next time limit, and when it passes.
    pub fn next_deadline(&self) -> Option<(Deadline, jiff::Timestamp)> {
        if self.local.stop.passed.is_some() {
            return None;
        }
        let limits = &self.state.revision.as_ref()?.spec.limits;
        let at = |from: Option<jiff::Timestamp>, limit: Option<Duration>| from?.checked_add(limit?).ok();
        let turn = at(self.state.turn_started_at, limits.turn_timeout.map(Into::into));
        let task = at(Some(self.state.created_at), limits.task_timeout.map(Into::into));
        let turn = turn.map(|at| (Deadline::Turn, at));
        let task = task.map(|at| (Deadline::Task, at));
        [turn, task].into_iter().flatten().min_by_key(|(_, at)| *at)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use steadfast_agent_loop::{Guarded, Input, Limits, TurnOutcome};
    use steadfast_contract::start::StartTask;

    use super::*;
    use crate::{NoSink, task::test_support::message};

    const NOW: jiff::Timestamp = jiff::Timestamp::UNIX_EPOCH;

    fn task() -> Task {
        let mut start = StartTask::new("t", "default", "a");
        start.messages = vec![message("one"), message("two")];
        Task::new(start, "run-1", Arc::new(NoSink), NOW)
    }

    /// Begins the turn of the oldest message, as a revision without guardrails would.
    fn begin_turn(task: &mut Task) {
        let turn = task.state.inbox.start_turn().unwrap().turn;
        let limits = Limits {
            max_model_calls_per_turn: 5,
        };
        let guarded = Guarded::No;
        let started = Input::TurnStarted { turn, limits, guarded };
        task.state.agent_run.record(started).unwrap();
    }

    fn next_run(task: &Task) -> Task {
        Task::new(task.continue_as_new().start, "run-2", Arc::new(NoSink), NOW)
    }

    #[test]
    fn an_interrupt_is_kept_for_the_next_run_until_its_turn_ends() {
        let mut task = task();
        begin_turn(&mut task);
        task.interrupt();
        let mut task = next_run(&task);
        assert!(task.is_interrupted());
        assert_eq!(task.stop_reason(), Failure::Interrupted);
        task.close_turn(TurnOutcome::Interrupted, NOW);
        assert!(!task.is_interrupted());
    }

    #[test]
    fn an_interrupt_stops_the_turn_that_is_about_to_begin_and_nothing_without_a_message() {
        let mut waiting = task();
        waiting.interrupt();
        assert!(waiting.is_interrupted());
        let mut idle = Task::new(StartTask::new("t", "default", "a"), "run-1", Arc::new(NoSink), NOW);
        idle.interrupt();
        idle.receive(message("later"), NOW);
        assert!(!idle.is_interrupted());
    }
}
