//! Decides how the tasks of a deleted Agent are asked to end, and when the Agent may go. Pure.

use std::time::Duration;

use steadfast_crds::agent::{DeletionPolicy, DeletionSettings};

use crate::tasks::OpenTasks;

/// How long tasks that are cancelled at the deadline of a drain may take to end: what a turn does when it is cancelled.
const CANCEL_GRACE: Duration = Duration::from_secs(30);
/// How long a list without tasks is not believed after the deletion: Temporal lists a task a moment after its start, and
/// a gateway learns of the deletion a moment after the operator.
const SETTLE: Duration = Duration::from_secs(3);

/// How a task is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Request {
    /// After its running turn, taking no more messages.
    Complete,
    /// At once.
    Cancel,
}

/// Whether workers can still run the Agent's tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workers {
    /// Their Deployment stays, or they serve other Agents too.
    Present,
    /// The Agent's Deployment has no replicas, is gone, or is being deleted too: with its namespace, or by a deletion in
    /// the foreground.
    Gone,
}

/// What is known of the tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tasks {
    /// Temporal was not asked yet.
    #[default]
    Unknown,
    /// Temporal cannot be asked.
    Unreachable,
    /// As many ran when Temporal was asked last.
    Running(OpenTasks),
}

/// What the decision depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observation {
    /// How long ago the Agent was deleted.
    pub(crate) elapsed: Duration,
    /// For how long this process has known of the deletion.
    pub(crate) observed: Duration,
    /// The workers.
    pub(crate) workers: Workers,
    /// The tasks.
    pub(crate) tasks: Tasks,
    /// What every task that was found has been asked.
    pub(crate) asked: Option<Request>,
}

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The tasks are asked to end, and the Agent stays.
    Hold {
        /// How they are asked.
        ask: Request,
        /// When time alone changes the decision.
        decide_again_after: Duration,
    },
    /// The Agent goes.
    Release(Outcome),
}

/// What became of the tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The policy is to leave them.
    Kept,
    /// All have ended.
    Ended,
    /// So many have been asked to end and have not.
    Left(OpenTasks),
    /// Temporal did not answer.
    Unknown,
}

/// Decides. Without settings the tasks are left.
pub(crate) fn decide(settings: Option<&DeletionSettings>, now: &Observation) -> Decision {
    let Some(settings) = settings else {
        return Decision::Release(Outcome::Kept);
    };
    let deadline = settings.deadline.as_std();
    let (ask, give_up) = match settings.policy {
        DeletionPolicy::Orphan => return Decision::Release(Outcome::Kept),
        DeletionPolicy::Cancel => (Request::Cancel, deadline),
        DeletionPolicy::Drain => {
            // Without workers no turn ends: so the remaining tasks are canceled; workers that come later carry it out.
            let is_over = now.elapsed >= deadline || now.workers == Workers::Gone;
            let ask = if is_over { Request::Cancel } else { Request::Complete };
            (ask, deadline + CANCEL_GRACE)
        }
    };
    let is_settled = now.observed >= SETTLE;
    let has_ended = now.tasks == Tasks::Running(OpenTasks::default());
    if has_ended && is_settled {
        return Decision::Release(Outcome::Ended);
    }
    if let Tasks::Running(left) = now.tasks
        && now.workers == Workers::Gone
        && now.asked == Some(Request::Cancel)
        && is_settled
    {
        return Decision::Release(Outcome::Left(left));
    }
    if now.elapsed >= give_up {
        return Decision::Release(match now.tasks {
            Tasks::Running(_) if has_ended => Outcome::Ended,
            Tasks::Running(left) => Outcome::Left(left),
            Tasks::Unknown | Tasks::Unreachable => Outcome::Unknown,
        });
    }
    let mut decide_again_after = give_up.saturating_sub(now.elapsed);
    if ask == Request::Complete {
        decide_again_after = deadline.saturating_sub(now.elapsed);
    }
    if !is_settled {
        decide_again_after = decide_again_after.min(SETTLE.saturating_sub(now.observed));
    }
    Decision::Hold {
        ask,
        decide_again_after,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn settings(policy: &str) -> DeletionSettings {
        serde_json::from_value(json!({"policy": policy, "deadline": "1m"})).unwrap()
    }

    fn running(counted: usize) -> Tasks {
        Tasks::Running(OpenTasks { counted, more: false })
    }

    /// Ten seconds after the deletion, with workers.
    fn observation(tasks: Tasks, asked: Option<Request>) -> Observation {
        Observation {
            elapsed: Duration::from_secs(10),
            observed: Duration::from_secs(10),
            workers: Workers::Present,
            tasks,
            asked,
        }
    }

    fn hold(ask: Request, seconds: u64) -> Decision {
        Decision::Hold {
            ask,
            decide_again_after: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn a_drain_completes_tasks_until_the_deadline_then_cancels_them_then_gives_up() {
        let drain = settings("Drain");
        let at = |seconds| Observation {
            elapsed: Duration::from_secs(seconds),
            ..observation(running(12), Some(Request::Complete))
        };
        let decide = |seconds| decide(Some(&drain), &at(seconds));
        assert_eq!(decide(10), hold(Request::Complete, 50));
        assert_eq!(decide(60), hold(Request::Cancel, 30));
        assert_eq!(decide(89), hold(Request::Cancel, 1));
        let left = OpenTasks {
            counted: 12,
            more: false,
        };
        assert_eq!(decide(90), Decision::Release(Outcome::Left(left)));
    }

    #[test]
    fn a_cancel_asks_at_once_and_gives_up_at_the_deadline() {
        let cancel = settings("Cancel");
        let now = observation(Tasks::Unknown, None);
        assert_eq!(decide(Some(&cancel), &now), hold(Request::Cancel, 50));
        let late = Observation {
            elapsed: MINUTE,
            ..observation(running(1), Some(Request::Cancel))
        };
        assert!(matches!(
            decide(Some(&cancel), &late),
            Decision::Release(Outcome::Left(_))
        ));
    }

    #[test]
    fn an_orphan_or_no_settings_release_at_once_whatever_runs() {
        let now = observation(running(3), None);
        for settings in [None, Some(settings("Orphan"))] {
            assert_eq!(
                decide(settings.as_ref(), &now),
                Decision::Release(Outcome::Kept),
                "{settings:?}"
            );
        }
    }

    #[test]
    fn an_empty_list_right_after_the_deletion_is_not_believed() {
        let drain = settings("Drain");
        let early = Observation {
            elapsed: Duration::from_secs(1),
            observed: Duration::from_secs(1),
            ..observation(running(0), Some(Request::Complete))
        };
        assert_eq!(decide(Some(&drain), &early), hold(Request::Complete, 2));
        let later = observation(running(0), Some(Request::Complete));
        assert_eq!(decide(Some(&drain), &later), Decision::Release(Outcome::Ended));
    }

    #[test]
    fn without_workers_a_drain_cancels_at_once_and_waits_only_until_every_task_was_asked() {
        let drain = settings("Drain");
        let gone = |asked| Observation {
            workers: Workers::Gone,
            ..observation(running(2), asked)
        };
        for asked in [None, Some(Request::Complete)] {
            assert_eq!(decide(Some(&drain), &gone(asked)), hold(Request::Cancel, 80));
        }
        let left = OpenTasks {
            counted: 2,
            more: false,
        };
        assert_eq!(
            decide(Some(&drain), &gone(Some(Request::Cancel))),
            Decision::Release(Outcome::Left(left))
        );
    }

    #[test]
    fn the_deadline_passes_while_temporal_is_away() {
        for tasks in [Tasks::Unknown, Tasks::Unreachable] {
            for (policy, seconds) in [("Drain", 90), ("Cancel", 60)] {
                let late = Observation {
                    elapsed: Duration::from_secs(seconds),
                    ..observation(tasks, None)
                };
                let settings = settings(policy);
                assert_eq!(
                    decide(Some(&settings), &late),
                    Decision::Release(Outcome::Unknown),
                    "{policy}"
                );
                let early = Observation {
                    elapsed: Duration::from_secs(seconds - 1),
                    ..late
                };
                assert!(
                    matches!(decide(Some(&settings), &early), Decision::Hold { .. }),
                    "{policy}"
                );
            }
        }
    }

    #[test]
    fn every_state_is_released_some_time() {
        for policy in ["Drain", "Cancel"] {
            for workers in [Workers::Present, Workers::Gone] {
                for tasks in [Tasks::Unknown, Tasks::Unreachable, running(0), running(7)] {
                    for asked in [None, Some(Request::Complete), Some(Request::Cancel)] {
                        let mut now = Observation {
                            elapsed: Duration::ZERO,
                            observed: Duration::ZERO,
                            workers,
                            tasks,
                            asked,
                        };
                        let mut decisions = 0;
                        while let Decision::Hold { decide_again_after, .. } = decide(Some(&settings(policy)), &now) {
                            assert!(decide_again_after > Duration::ZERO, "{now:?}");
                            now.elapsed += decide_again_after;
                            now.observed += decide_again_after;
                            decisions += 1;
                            assert!(decisions < 5, "{now:?}");
                        }
                        assert!(now.elapsed <= MINUTE + CANCEL_GRACE, "{now:?}");
                    }
                }
            }
        }
    }
}
