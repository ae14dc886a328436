//! Decides what is asked of Temporal for the versions of one owner's workers. Pure.

use std::collections::{BTreeMap, BTreeSet};

/// What Kubernetes has, and what its workers are to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Desired {
    /// Name of the Worker Deployment in Temporal: the task queue.
    pub(crate) deployment: String,
    /// Build id of the newest version; `None` for workers without one.
    pub(crate) build_id: Option<String>,
    /// Whether all pods are of the newest version, and available.
    pub(crate) is_rolled_out: bool,
    /// Build ids of the old versions that have pods.
    pub(crate) old: BTreeSet<String>,
}

/// What a version is in Temporal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It takes new tasks: the current one, or one that somebody else ramps up.
    InUse,
    /// Tasks are pinned to it.
    Draining,
    /// No task is pinned to it, or none has ever been.
    Unused,
}

/// What Temporal has of a Worker Deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Build id of the current version; `None` while workers without a version take new tasks.
    pub(crate) current: Option<String>,
    /// The versions that have polled, by build id.
    pub(crate) versions: BTreeMap<String, State>,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// How far the newest version is.
    pub(crate) stage: Stage,
    /// The versions whose tasks are to continue as new.
    pub(crate) drain: BTreeSet<String>,
    /// The versions that nobody needs.
    pub(crate) unused: BTreeSet<String>,
    /// Those of them that have no pods, and are to be deleted from Temporal.
    pub(crate) delete: BTreeSet<String>,
}

/// How far the newest version is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Not all of its pods are available.
    #[default]
    RollingOut,
    /// Its pods are available, and Temporal does not know it.
    Unregistered,
    /// It is to become current.
    Promote,
    /// It is current.
    Current,
}

/// What is to be done for these versions.
pub(crate) fn decide(desired: &Desired, seen: &Seen) -> Plan {
    let is_known = |build_id: &String| seen.versions.contains_key(build_id);
    let stage = if seen.current == desired.build_id {
        Stage::Current
    } else if !desired.is_rolled_out {
        Stage::RollingOut
    } else if desired.build_id.as_ref().is_none_or(is_known) {
        Stage::Promote
    } else {
        Stage::Unregistered
    };
    let others = seen
        .versions
        .iter()
        .filter(|(id, _)| Some(*id) != desired.build_id.as_ref());
    let of_state = |wanted: State| {
        let of_state = others.clone().filter(move |(_, state)| **state == wanted);
        of_state.map(|(id, _)| id.clone()).collect::<BTreeSet<_>>()
    };
    let mut unused = of_state(State::Unused);
    let delete = unused.difference(&desired.old).cloned().collect();
    // Its pods have never polled: no task has run there.
    unused.extend(desired.old.iter().filter(|id| !is_known(id)).cloned());
    if let Some(wanted) = &desired.build_id {
        unused.remove(wanted);
    }
    Plan {
        stage,
        // Before that, the next run would start where this one is.
        drain: if stage == Stage::Current {
            of_state(State::Draining)
        } else {
            BTreeSet::new()
        },
        unused,
        delete,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[&str]) -> BTreeSet<String> {
        ids.iter().map(|id| (*id).to_owned()).collect()
    }

    fn desired(build_id: Option<&str>, is_rolled_out: bool, old: &[&str]) -> Desired {
        Desired {
            deployment: "demo/team/agent/weather".to_owned(),
            build_id: build_id.map(str::to_owned),
            is_rolled_out,
            old: ids(old),
        }
    }

    fn seen(current: Option<&str>, versions: &[(&str, State)]) -> Seen {
        Seen {
            current: current.map(str::to_owned),
            versions: versions.iter().map(|(id, state)| ((*id).to_owned(), *state)).collect(),
        }
    }

    fn plan(stage: Stage) -> Plan {
        Plan {
            stage,
            ..Plan::default()
        }
    }

    #[test]
    fn a_version_becomes_current_when_its_pods_are_available_and_have_polled() {
        let first = |is_rolled_out, seen: &Seen| decide(&desired(Some("a"), is_rolled_out, &[]), seen);
        assert_eq!(first(false, &seen(None, &[])), plan(Stage::RollingOut));
        assert_eq!(
            first(false, &seen(None, &[("a", State::Unused)])),
            plan(Stage::RollingOut)
        );
        assert_eq!(first(true, &seen(None, &[])), plan(Stage::Unregistered));
        assert_eq!(first(true, &seen(None, &[("a", State::Unused)])), plan(Stage::Promote));
        assert_eq!(
            first(true, &seen(Some("a"), &[("a", State::InUse)])),
            plan(Stage::Current)
        );
        // Pods that come and go later change nothing.
        assert_eq!(
            first(false, &seen(Some("a"), &[("a", State::InUse)])),
            plan(Stage::Current)
        );
    }

    #[test]
    fn tasks_move_once_the_newest_version_is_current_and_the_old_one_goes_when_it_is_drained() {
        let next = desired(Some("b"), true, &["a"]);
        let at = |current, a, b| decide(&next, &seen(Some(current), &[("a", a), ("b", b)]));
        assert_eq!(at("a", State::InUse, State::Unused), plan(Stage::Promote));
        let draining = Plan {
            drain: ids(&["a"]),
            ..plan(Stage::Current)
        };
        assert_eq!(at("b", State::Draining, State::InUse), draining);
        let drained = Plan {
            unused: ids(&["a"]),
            ..plan(Stage::Current)
        };
        assert_eq!(at("b", State::Unused, State::InUse), drained);
        let gone = desired(Some("b"), true, &[]);
        let gone = decide(&gone, &seen(Some("b"), &[("a", State::Unused), ("b", State::InUse)]));
        let deleted = Plan {
            unused: ids(&["a"]),
            delete: ids(&["a"]),
            ..plan(Stage::Current)
        };
        assert_eq!(gone, deleted);
    }

    #[test]
    fn a_version_whose_pods_never_worked_is_unused_before_the_next_one_is_current() {
        // "b" has polled and has not become available; "c" could not even be pulled.
        let next = desired(Some("d"), false, &["a", "b", "c"]);
        let plan = decide(&next, &seen(Some("a"), &[("a", State::InUse), ("b", State::Unused)]));
        assert_eq!(plan.stage, Stage::RollingOut);
        assert_eq!(plan.unused, ids(&["b", "c"]));
        assert_eq!((plan.drain, plan.delete), (ids(&[]), ids(&[])));
    }

    #[test]
    fn the_way_back_is_a_version_that_was_drained() {
        let back = desired(Some("a"), true, &["b"]);
        let plan = decide(&back, &seen(Some("b"), &[("a", State::Unused), ("b", State::InUse)]));
        assert_eq!((plan.stage, plan.unused), (Stage::Promote, ids(&[])));
        let plan = decide(&back, &seen(Some("a"), &[("a", State::InUse), ("b", State::Draining)]));
        assert_eq!((plan.stage, plan.drain), (Stage::Current, ids(&["b"])));
    }

    #[test]
    fn workers_without_a_version_become_current_like_any_other() {
        let unpinned = desired(None, true, &["a"]);
        let plan = decide(&unpinned, &seen(Some("a"), &[("a", State::InUse)]));
        assert_eq!(plan.stage, Stage::Promote);
        let plan = decide(&unpinned, &seen(None, &[("a", State::Draining)]));
        assert_eq!((plan.stage, plan.drain), (Stage::Current, ids(&["a"])));
    }
}
