//! The owners whose workers have versions, and how far Temporal is with them.

use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};

use steadfast_crds::conditions::{ConditionType, Reason};
use tokio::time::Instant;

use crate::{conditions::ConditionUpdate, kube::owner::Owner, versions::plan::Desired, work_queue::WorkQueue};

/// How far the versions of one owner are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Temporal was not asked yet.
    #[default]
    Unknown,
    /// The pods of the newest version are not all available; this version is current.
    RollingOut(Option<String>),
    /// The pods of the newest version are available, and Temporal does not know it.
    Unregistered,
    /// Temporal does not know it for so long that it will not; this version is current.
    LimitReached(Option<String>),
    /// The newest version is current, and so many tasks are left on these.
    Draining(BTreeSet<String>, usize),
    /// The newest version is the only one with tasks.
    RolledOut,
    /// Temporal cannot be reached.
    Unavailable,
    /// The server cannot do it, for this reason.
    Unsupported(String),
    /// Temporal refuses to make the newest version current, for this reason.
    Refused(String),
}

/// What one pass of the syncer found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PassOutcome {
    /// How far the versions are.
    pub(crate) progress: Progress,
    /// The versions that nobody needs.
    pub(crate) unused: BTreeSet<String>,
    /// The runs that were asked to continue as new and have not done so.
    pub(crate) asked: HashSet<String>,
    /// Since when the newest version is unregistered.
    pub(crate) unregistered_since: Option<Instant>,
}

/// The owners whose workers have versions.
#[derive(Debug, Default)]
pub(crate) struct Versions(WorkQueue<Desired, PassOutcome>);

impl Versions {
    /// Sets what an owner's workers are to be. Other settings are acted on at once.
    pub(crate) fn set(&self, owner: Owner, desired: Desired, now: Instant) {
        let build_id = desired.build_id.clone();
        self.0.set(owner, desired, now, |before| {
            let Some((known, found)) = before else {
                return PassOutcome::default();
            };
            // What was found stays known, but for a version that is wanted again.
            let mut found = found.clone();
            if let Some(wanted) = &build_id {
                found.unused.remove(wanted);
            }
            if known.build_id != build_id {
                found.progress = Progress::Unknown;
                found.unregistered_since = None;
            }
            found
        });
    }

    /// Forgets an owner that is gone, or whose workers have no versions.
    pub(crate) fn remove(&self, owner: &Owner) {
        self.0.remove(owner);
    }

    /// The versions of an owner that nobody needs.
    pub(crate) fn unused(&self, owner: &Owner) -> BTreeSet<String> {
        let unused = self.0.get(owner, |_, found| found.unused.clone());
        unused.unwrap_or_default()
    }

    /// The condition VersionRolledOut of an owner; `None` for workers without versions.
    pub(crate) fn condition(&self, owner: &Owner) -> Option<ConditionUpdate> {
        let condition =
            |desired: &Desired, found: &PassOutcome| condition(desired.build_id.as_deref(), &found.progress);
        self.0.get(owner, condition)
    }

    /// Makes a pass over each owner when it is due, at most `concurrency` at a time. Works until dropped.
    pub(crate) async fn run<P: Future<Output = ()>>(
        &self,
        concurrency: usize,
        pass: impl Fn(Owner, Desired, PassOutcome) -> P,
    ) {
        self.0.run(concurrency, pass).await;
    }

    /// Ends a pass; the next one is after `pause`. What was found for other settings does not count. Returns whether a
    /// reconciliation has something to do.
    pub(crate) fn record(
        &self,
        owner: &Owner,
        desired: &Desired,
        found: PassOutcome,
        pause: Duration,
        now: Instant,
    ) -> bool {
        let told = (found.progress.clone(), found.unused.clone());
        let before = self.0.done(owner, desired, found, now + pause);
        before.is_some_and(|before| (before.progress, before.unused) != told)
    }
}

/// What people are told.
fn condition(build_id: Option<&str>, progress: &Progress) -> ConditionUpdate {
    let newest = name(build_id);
    let not_met = |reason, message| ConditionUpdate::not_met(ConditionType::VersionRolledOut, reason, message);
    match progress {
        Progress::Unknown => not_met(
            Reason::Waiting,
            "Temporal has not been asked for the versions yet".to_owned(),
        ),
        Progress::RollingOut(current) => not_met(
            Reason::RollingOut,
            format!(
                "{newest} becomes current when all of its pods are available; until then tasks run on {}",
                name(current.as_deref())
            ),
        ),
        Progress::Unregistered => not_met(
            Reason::RollingOut,
            format!("the pods of {newest} are available; it becomes current when Temporal knows it"),
        ),
        Progress::LimitReached(current) => not_met(
            Reason::VersionLimitReached,
            format!(
                "Temporal does not take {newest} in, whose pods are available: its limit of Worker Deployments or of \
                 their versions is reached; tasks run on {}",
                name(current.as_deref())
            ),
        ),
        Progress::Draining(old, 0) => not_met(
            Reason::TasksOnOldVersion,
            format!(
                "{newest} is current; {} keeps its pods until Temporal says that it is drained",
                names(old)
            ),
        ),
        Progress::Draining(old, tasks) => not_met(
            Reason::TasksOnOldVersion,
            format!(
                "{newest} is current; {} on {} until they continue as new",
                count(*tasks),
                names(old)
            ),
        ),
        Progress::RolledOut => ConditionUpdate::met(
            ConditionType::VersionRolledOut,
            Reason::RolledOut,
            format!("{newest} is current, and no task is on another version"),
        ),
        Progress::Unavailable => not_met(
            Reason::TemporalUnavailable,
            "Temporal cannot be reached; the operator tries again".to_owned(),
        ),
        Progress::Refused(reason) => not_met(
            Reason::VersionRefused,
            format!("Temporal refuses to make {newest} current; the operator tries again: {reason}"),
        ),
        Progress::Unsupported(reason) => not_met(
            Reason::VersioningUnsupported,
            format!("tasks stay on their version until they end, because Temporal cannot move them: {reason}"),
        ),
    }
}

fn name(build_id: Option<&str>) -> String {
    build_id.map_or_else(|| "workers without a version".to_owned(), |id| format!("version {id}"))
}

fn count(tasks: usize) -> String {
    match tasks {
        1 => "1 task is".to_owned(),
        _ => format!("{tasks} tasks are"),
    }
}

fn names(build_ids: &BTreeSet<String>) -> String {
    let ids: Vec<&str> = build_ids.iter().map(String::as_str).collect();
    format!("version {}", ids.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kube::{namespaced_name::NamespacedName, owner::OwnerKind};

    fn owner() -> Owner {
        (OwnerKind::Agent, NamespacedName::new("team", "a"))
    }

    fn desired(build_id: &str) -> Desired {
        Desired {
            deployment: "demo/team/agent/a".to_owned(),
            build_id: Some(build_id.to_owned()),
            is_rolled_out: true,
            old: BTreeSet::new(),
        }
    }

    fn found(progress: Progress, unused: &[&str]) -> PassOutcome {
        PassOutcome {
            progress,
            unused: unused.iter().map(|id| (*id).to_owned()).collect(),
            ..PassOutcome::default()
        }
    }

    #[test]
    fn what_was_found_counts_for_the_settings_that_it_was_found_for() {
        let (versions, now) = (Versions::default(), Instant::now());
        assert_eq!(versions.condition(&owner()), None);
        versions.set(owner(), desired("b"), now);
        let (_, taken, _) = versions.0.take(now).unwrap();
        assert_eq!(
            versions.0.take(now).unwrap_err(),
            None,
            "nobody is asked for twice at a time"
        );
        let pause = Duration::from_secs(5);
        assert!(versions.record(&owner(), &taken, found(Progress::RolledOut, &["a"]), pause, now));
        assert!(!versions.record(&owner(), &taken, found(Progress::RolledOut, &["a"]), pause, now));
        assert_eq!(versions.0.take(now).unwrap_err(), Some(now + pause));
        let reason = || versions.condition(&owner()).unwrap().reason;
        assert_eq!((reason(), versions.unused(&owner()).len()), (Reason::RolledOut, 1));

        // The way back: the version is wanted again, whatever was known of it.
        versions.set(owner(), desired("a"), now);
        assert_eq!((reason(), versions.unused(&owner()).len()), (Reason::Waiting, 0));
        assert!(!versions.record(&owner(), &taken, found(Progress::RolledOut, &["a"]), pause, now));
        assert_eq!(versions.unused(&owner()).len(), 0);
        versions.remove(&owner());
        assert_eq!(versions.condition(&owner()), None);
    }

    #[test]
    fn the_condition_says_how_many_tasks_are_where() {
        let old = BTreeSet::from(["1.0-x".to_owned()]);
        let told = condition(Some("1.1-y"), &Progress::Draining(old, 12));
        assert_eq!(
            told.message,
            "version 1.1-y is current; 12 tasks are on version 1.0-x until they continue as new"
        );
        let told = condition(Some("1.1-y"), &Progress::RollingOut(None));
        assert_eq!(
            told.message,
            "version 1.1-y becomes current when all of its pods are available; until then tasks run on workers without \
             a version"
        );
    }
}
