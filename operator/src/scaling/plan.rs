//! Decides how many workers there are to be. Pure.
//!
//! More as soon as more is waiting than the workers are meant to have; fewer once fewer have been enough for a while,
//! and never below one: that one goes when the workers themselves say that they have had nothing to do for as long.

use std::time::Duration;

use steadfast_crds::worker::AutoscalingSettings;
use tokio::time::Instant;

/// What the workers say that they do, all together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Not every worker has said.
    Unknown,
    /// At least one activity runs, or one turn is under way.
    Busy,
    /// Nothing has run for this time.
    Idle(Duration),
}

/// Whether a new pod template is being rolled out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rollout {
    /// Every pod is of the newest template.
    Complete,
    /// Not yet: one pod at least must show that the template works.
    UnderWay,
}

/// What the decision depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observation {
    /// The number of pods in the Deployment.
    pub(crate) replicas: i32,
    /// Whether they are of one template.
    pub(crate) rollout: Rollout,
    /// Tasks that wait at Temporal.
    pub(crate) backlog: i64,
    /// What the workers do. Matters only where the last one may go.
    pub(crate) work: Work,
}

/// Since when fewer workers have been enough.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory(Option<Fewer>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fewer {
    since: Instant,
    /// The most that were needed in that time.
    most: i32,
}

/// Another number of workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// The number.
    pub(crate) replicas: i32,
    /// Why.
    pub(crate) cause: Cause,
}

/// Why the number of workers changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A message came for an Agent without workers.
    Woken,
    /// So many tasks wait.
    Backlog(i64),
    /// Fewer were enough for the cooldown period.
    Quiet,
    /// The workers had nothing to do for the cooldown period.
    Idle,
    /// The number was outside of the bounds of the spec.
    Bounds,
}

impl Cause {
    /// The value of a label.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Woken => "woken",
            Self::Backlog(_) => "backlog",
            Self::Quiet => "quiet",
            Self::Idle => "idle",
            Self::Bounds => "bounds",
        }
    }
}

/// The number of workers that starts for a message; `None` if there are workers.
pub(crate) fn wake(settings: &AutoscalingSettings, replicas: i32) -> Option<Change> {
    (replicas == 0).then(|| change(settings.min_replicas.max(1), Cause::Woken))
}

/// Whether the last worker may go, so that what the workers say matters.
pub(crate) fn may_sleep(settings: &AutoscalingSettings, replicas: i32, backlog: i64) -> bool {
    settings.min_replicas == 0 && replicas > 0 && backlog == 0
}

/// The number of workers that is right now, if it is another one.
pub(crate) fn decide(
    settings: &AutoscalingSettings,
    memory: &mut Memory,
    seen: &Observation,
    now: Instant,
) -> Option<Change> {
    let cooldown = settings.cooldown_period.as_std();
    let sleeps = may_sleep(settings, seen.replicas, seen.backlog)
        && seen.rollout == Rollout::Complete
        && matches!(seen.work, Work::Idle(time) if time >= cooldown);
    if sleeps {
        memory.0 = None;
        return Some(change(0, Cause::Idle));
    }
    if seen.replicas == 0 && settings.min_replicas == 0 && seen.backlog == 0 {
        memory.0 = None;
        return None;
    }
    let needed = needed(settings, seen.backlog);
    if seen.replicas < needed {
        memory.0 = None;
        let cause = match seen.backlog {
            0 => Cause::Bounds,
            backlog => Cause::Backlog(backlog),
        };
        return Some(change(needed, cause));
    }
    if seen.replicas > settings.max_replicas {
        memory.0 = None;
        return Some(change(settings.max_replicas, Cause::Bounds));
    }
    if seen.replicas == needed {
        memory.0 = None;
        return None;
    }
    let fewer = memory.0.get_or_insert(Fewer {
        since: now,
        most: needed,
    });
    fewer.most = fewer.most.max(needed);
    if now.duration_since(fewer.since) < cooldown {
        return None;
    }
    let most = fewer.most;
    memory.0 = None;
    Some(change(most, Cause::Quiet))
}

/// The number of workers for so many waiting tasks: one at least.
fn needed(settings: &AutoscalingSettings, backlog: i64) -> i32 {
    let per_worker = i64::from(settings.target_queue_size.max(1));
    let by_backlog = backlog.max(0).saturating_add(per_worker - 1) / per_worker;
    let by_backlog = i32::try_from(by_backlog).unwrap_or(i32::MAX);
    by_backlog
        .max(settings.min_replicas)
        .max(1)
        .min(settings.max_replicas.max(1))
}

const fn change(replicas: i32, cause: Cause) -> Change {
    Change { replicas, cause }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const COOLDOWN: Duration = Duration::from_mins(5);

    fn settings(min: i32, max: i32) -> AutoscalingSettings {
        let settings = json!({ "minReplicas": min, "maxReplicas": max, "targetQueueSize": 10 });
        serde_json::from_value(settings).unwrap()
    }

    fn seen(replicas: i32, backlog: i64, work: Work) -> Observation {
        Observation {
            replicas,
            rollout: Rollout::Complete,
            backlog,
            work,
        }
    }

    fn at_once(settings: &AutoscalingSettings, seen: &Observation) -> Option<Change> {
        decide(settings, &mut Memory::default(), seen, Instant::now())
    }

    #[test]
    fn the_backlog_alone_starts_as_many_workers_as_it_needs() {
        for (replicas, backlog, expected) in [
            (0, 1, Some(1)),
            (0, 11, Some(2)),
            (1, 10, None),
            (1, 11, Some(2)),
            (2, 1_000, Some(5)),
            (5, 1_000, None),
            (0, i64::MAX, Some(5)),
        ] {
            let change = at_once(&settings(0, 5), &seen(replicas, backlog, Work::Unknown));
            assert_eq!(
                change.map(|change| change.replicas),
                expected,
                "{replicas} for {backlog}"
            );
            assert!(change.is_none_or(|change| change.cause == Cause::Backlog(backlog)));
        }
    }

    #[test]
    fn the_last_worker_goes_only_when_it_says_that_it_had_nothing_to_do() {
        let idle = Work::Idle(COOLDOWN);
        let asleep = Some(change(0, Cause::Idle));
        assert_eq!(at_once(&settings(0, 5), &seen(1, 0, idle)), asleep);
        assert_eq!(at_once(&settings(0, 5), &seen(3, 0, idle)), asleep);
        for work in [
            Work::Unknown,
            Work::Busy,
            Work::Idle(COOLDOWN.checked_sub(Duration::from_secs(1)).unwrap()),
        ] {
            assert_eq!(at_once(&settings(0, 5), &seen(1, 0, work)), None, "{work:?}");
        }
        assert_eq!(at_once(&settings(0, 5), &seen(1, 1, idle)), None, "a task waits");
        assert_eq!(at_once(&settings(1, 5), &seen(1, 0, idle)), None, "one is the least");
        let rolling = Observation {
            rollout: Rollout::UnderWay,
            ..seen(1, 0, idle)
        };
        assert_eq!(at_once(&settings(0, 5), &rolling), None, "the template is not proven");
        assert_eq!(at_once(&settings(0, 5), &seen(0, 0, Work::Unknown)), None, "it sleeps");
    }

    #[test]
    fn fewer_workers_are_kept_once_fewer_were_enough_for_the_whole_period() {
        let settings = settings(0, 5);
        let mut memory = Memory::default();
        let start = Instant::now();
        let mut after = |seconds, backlog| {
            let now = start + Duration::from_secs(seconds);
            decide(&settings, &mut memory, &seen(4, backlog, Work::Busy), now)
        };
        assert_eq!(after(0, 0), None);
        assert_eq!(after(100, 15), None, "two were needed for a moment");
        assert_eq!(after(200, 0), None);
        assert_eq!(after(300, 0), Some(change(2, Cause::Quiet)));
        assert_eq!(after(310, 0), None, "the period begins anew");
        assert_eq!(after(400, 40), None, "all four are needed");
        assert_eq!(after(650, 0), None);
        assert_eq!(after(949, 0), None);
        assert_eq!(after(950, 0), Some(change(1, Cause::Quiet)));
    }

    #[test]
    fn the_bounds_of_the_spec_hold_at_once() {
        assert_eq!(
            at_once(&settings(2, 5), &seen(1, 0, Work::Busy)),
            Some(change(2, Cause::Bounds))
        );
        assert_eq!(
            at_once(&settings(2, 5), &seen(0, 0, Work::Busy)),
            Some(change(2, Cause::Bounds))
        );
        assert_eq!(
            at_once(&settings(2, 5), &seen(9, 0, Work::Busy)),
            Some(change(5, Cause::Bounds))
        );
    }

    #[test]
    fn a_message_starts_workers_only_where_there_are_none() {
        let woken = |min, replicas| wake(&settings(min, 5), replicas).map(|change| change.replicas);
        assert_eq!(woken(0, 0), Some(1));
        assert_eq!(woken(2, 0), Some(2));
        assert_eq!(woken(0, 1), None);
    }
}
