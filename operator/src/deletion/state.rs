//! The Agents that are being deleted, and how far their tasks have ended.
//! Reconciliations write what is wanted, the drainer writes what it found; neither
//! waits for the other.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::{
    deletion::plan::{Request, Tasks},
    kube::namespaced_name::NamespacedName,
    tasks::TaskSet,
};

/// How long the number of tasks in a status stays as it is: it is for people, and each change is a write.
const STATUS_INTERVAL: Duration = Duration::from_secs(30);

/// One deletion. Another Agent of the same name is another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deleted {
    /// Uid of the Agent.
    pub(crate) uid: String,
    /// Its tasks.
    pub(crate) tasks: TaskSet,
}

/// How far the tasks of one Agent are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The tasks.
    pub(crate) tasks: Tasks,
    /// What every task that was found has been asked.
    pub(crate) asked: Option<Request>,
}

/// The Agents that are being deleted.
#[derive(Debug, Default)]
pub(crate) struct Deletions {
    entries: Mutex<BTreeMap<NamespacedName, Entry>>,
    changed: Notify,
}

#[derive(Debug)]
struct Entry {
    deleted: Deleted,
    since: Instant,
    ask: Option<Request>,
    progress: Progress,
    status_written: Option<Instant>,
}

impl Deletions {
    /// What is known of a deletion, and since when this process knows of it.
    pub(crate) fn observe(&self, deleted: &Deleted, now: Instant) -> (Duration, Progress) {
        let mut entries = self.lock();
        if let Some(entry) = entries.get(&deleted.tasks.agent)
            && entry.deleted == *deleted
        {
            return (now.duration_since(entry.since), entry.progress);
        }
        let entry = Entry {
            deleted: deleted.clone(),
            since: now,
            ask: None,
            progress: Progress::default(),
            status_written: None,
        };
        entries.insert(deleted.tasks.agent.clone(), entry);
        (Duration::ZERO, Progress::default())
    }

    /// Sets how the tasks of an Agent are asked to end.
    pub(crate) fn ask(&self, agent: &NamespacedName, request: Request) {
        let mut entries = self.lock();
        if let Some(entry) = entries.get_mut(agent)
            && entry.ask != Some(request)
        {
            entry.ask = Some(request);
            drop(entries);
            self.changed.notify_one();
        }
    }

    /// Whether the number of tasks in the status may be written again, which is then counted as done.
    pub(crate) fn may_write_number(&self, agent: &NamespacedName, now: Instant) -> bool {
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(agent) else {
            return true;
        };
        let is_due = entry
            .status_written
            .is_none_or(|written| now.duration_since(written) >= STATUS_INTERVAL);
        if is_due {
            entry.status_written = Some(now);
        }
        is_due
    }

    /// Forgets an Agent that is gone, or one that is not being deleted.
    pub(crate) fn forget(&self, agent: &NamespacedName) {
        self.lock().remove(agent);
    }

    /// What is to be asked now.
    pub(super) fn wanted(&self) -> Vec<(Deleted, Request)> {
        let entries = self.lock();
        let wanted = entries.values().filter_map(|entry| {
            let request = entry.ask?;
            Some((entry.deleted.clone(), request))
        });
        wanted.collect()
    }

    /// Whether a request is still wanted: an Agent of the same name may have come since.
    pub(super) fn is_wanted(&self, deleted: &Deleted, request: Request) -> bool {
        let entries = self.lock();
        let entry = entries.get(&deleted.tasks.agent);
        entry.is_some_and(|entry| entry.deleted == *deleted && entry.ask == Some(request))
    }

    /// Records what the drainer found. True if it is new.
    pub(super) fn record(&self, deleted: &Deleted, progress: Progress) -> bool {
        let mut entries = self.lock();
        let entry = entries.get_mut(&deleted.tasks.agent);
        let Some(entry) = entry.filter(|entry| entry.deleted == *deleted) else {
            return false;
        };
        let is_new = entry.progress != progress;
        entry.progress = progress;
        is_new
    }

    /// Returns when something else is wanted than at the last call.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NamespacedName, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// A deletion of the Agent `team/weather`.
    pub(crate) fn deleted(uid: &str) -> Deleted {
        Deleted {
            uid: uid.to_owned(),
            tasks: TaskSet::new(
                "demo",
                NamespacedName::new("team", "weather"),
                "demo/team/agent/weather".to_owned(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{testing::deleted, *};
    use crate::tasks::OpenTasks;

    #[test]
    fn another_agent_of_the_same_name_begins_anew_and_is_not_asked_what_the_first_was() {
        let deletions = Deletions::default();
        let (first, second) = (deleted("1"), deleted("2"));
        let start = Instant::now();
        deletions.observe(&first, start);
        deletions.ask(&first.tasks.agent, Request::Complete);
        let progress = Progress {
            tasks: Tasks::Running(OpenTasks::default()),
            asked: Some(Request::Complete),
        };
        assert!(deletions.record(&first, progress));
        assert!(!deletions.record(&first, progress));
        let later = start + Duration::from_secs(5);
        assert_eq!(deletions.observe(&first, later), (Duration::from_secs(5), progress));

        assert_eq!(deletions.observe(&second, later), (Duration::ZERO, Progress::default()));
        assert!(!deletions.is_wanted(&first, Request::Complete));
        assert!(!deletions.record(&first, progress));
        assert_eq!(deletions.wanted(), []);
    }

    #[test]
    fn the_number_in_a_status_changes_twice_a_minute_at_most() {
        let deletions = Deletions::default();
        let weather = deleted("1");
        let start = Instant::now();
        deletions.observe(&weather, start);
        assert!(deletions.may_write_number(&weather.tasks.agent, start));
        assert!(!deletions.may_write_number(&weather.tasks.agent, start));
        assert!(deletions.may_write_number(&weather.tasks.agent, start + STATUS_INTERVAL));
    }

    #[tokio::test]
    async fn a_change_of_what_is_wanted_wakes_the_drainer_and_a_repetition_does_not() {
        let deletions = Deletions::default();
        let weather = deleted("1");
        deletions.observe(&weather, Instant::now());
        for request in [Request::Complete, Request::Cancel] {
            deletions.ask(&weather.tasks.agent, request);
            deletions.changed().await;
            deletions.ask(&weather.tasks.agent, request);
            let again = tokio::time::timeout(Duration::ZERO, deletions.changed()).await;
            assert!(again.is_err(), "{request:?}");
            assert_eq!(deletions.wanted(), [(weather.clone(), request)]);
        }
    }
}
