//! Why and when the running turn is to stop: an interrupt, or a time limit that has passed.

use std::time::Duration;

use steadfast_agent_loop::Failure;

use super::Task;

/// A time limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// `limits.turnTimeout`
    Turn,
    /// `limits.taskTimeout`
    Task,
}

/// What has asked the running turn to stop. An interrupt comes before a time limit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stop {
    interrupted: bool,
    passed: Option<Deadline>,
    /// The workers have not yet been told to cancel the running calls.
    cancel_pending: bool,
}

impl Stop {
    pub(super) fn turn_started(&mut self) {
        self.interrupted = false;
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
    /// A user has interrupted the running turn.
    pub fn interrupt(&mut self) {
        self.local.stop.interrupted = true;
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

    /// The workers are to be told to cancel the running calls.
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
            _ if stop.interrupted => Failure::Interrupted,
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
