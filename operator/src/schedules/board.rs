//! Where reconciliations and the keeper meet: what each Agent wants, and how
//! far Temporal is. Neither waits for the other.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use steadfast_crds::conditions::{ConditionType, Reason};
use tokio::sync::Notify;

use crate::{cache::ObjectKey, conditions::Finding, schedules::desired::Desired};

/// How far Temporal is with an Agent's schedules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    /// It was not asked yet.
    #[default]
    Waiting,
    /// It has them all.
    Synced,
    /// It cannot be asked.
    Unavailable,
    /// It does not take one; why.
    Refused(String),
}

/// The meeting point.
#[derive(Debug, Default)]
pub struct Board {
    entries: Mutex<BTreeMap<ObjectKey, Entry>>,
    news: Notify,
}

#[derive(Debug)]
struct Entry {
    wanted: Desired,
    progress: Progress,
}

impl Board {
    /// What an Agent wants from now on.
    pub fn want(&self, agent: &ObjectKey, wanted: Desired) {
        let mut entries = self.lock();
        match entries.get_mut(agent) {
            Some(entry) if entry.wanted == wanted => return,
            Some(entry) => {
                entry.wanted = wanted;
                entry.progress = Progress::Waiting;
            }
            None => {
                let progress = Progress::Waiting;
                entries.insert(agent.clone(), Entry { wanted, progress });
            }
        }
        drop(entries);
        self.news.notify_one();
    }

    /// Forgets an Agent that is gone; its schedules go too.
    pub fn forget(&self, agent: &ObjectKey) {
        self.lock().remove(agent);
        self.news.notify_one();
    }

    /// What the Agent's status says of it; nothing for an Agent without schedules.
    #[must_use]
    pub fn finding(&self, agent: &ObjectKey) -> Option<Finding> {
        let entries = self.lock();
        let entry = entries.get(agent).filter(|entry| !entry.wanted.is_empty())?;
        let condition = ConditionType::SchedulesSynced;
        Some(match &entry.progress {
            Progress::Synced => Finding::holds(condition, Reason::Synced, "Temporal has every schedule"),
            Progress::Waiting => Finding::fails(condition, Reason::Waiting, "Temporal has not been asked yet"),
            Progress::Unavailable => Finding::fails(
                condition,
                Reason::TemporalUnavailable,
                "Temporal cannot be asked now; it is tried again",
            ),
            Progress::Refused(why) => Finding::fails(condition, Reason::ScheduleRefused, why.clone()),
        })
    }

    /// What all Agents want.
    pub(super) fn wanted(&self) -> BTreeMap<ObjectKey, Desired> {
        let entries = self.lock();
        entries
            .iter()
            .map(|(agent, entry)| (agent.clone(), entry.wanted.clone()))
            .collect()
    }

    /// Records how far Temporal is with what these Agents wanted; those whose progress changed.
    pub(super) fn record(
        &self,
        wanted: &BTreeMap<ObjectKey, Desired>,
        progress: impl Fn(&ObjectKey) -> Progress,
    ) -> Vec<ObjectKey> {
        let mut entries = self.lock();
        let mut changed = Vec::new();
        for (agent, was_wanted) in wanted {
            let Some(entry) = entries.get_mut(agent) else { continue };
            let now = progress(agent);
            // One that wants something else by now has its turn in the next round.
            if entry.wanted == *was_wanted && entry.progress != now {
                entry.progress = now;
                if !entry.wanted.is_empty() {
                    changed.push(agent.clone());
                }
            }
        }
        changed
    }

    /// Returns once something changed since the last time it returned.
    pub(super) async fn wait_for_news(&self) {
        self.news.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ObjectKey, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use serde_json::json;
    use steadfast_crds::Agent;

    use super::*;
    use crate::schedules::desired::of_agent;

    fn wanted(message: &str) -> Desired {
        let agent: Agent = serde_json::from_value(json!({
            "apiVersion": "steadfast.dev/v1alpha1", "kind": "Agent",
            "metadata": { "name": "a", "namespace": "team" },
            "spec": {
                "instructions": "Answer.", "model": { "name": "m" },
                "schedules": [{ "name": "daily", "cron": "@daily", "message": message }],
            },
        }))
        .unwrap();
        of_agent(&agent, "demo")
    }

    #[tokio::test]
    async fn an_agent_is_synced_only_with_what_it_wants_now() {
        let board = Board::default();
        let key = ObjectKey::new("team", "a");
        let reason = || board.finding(&key).map(|finding| finding.reason);
        assert_eq!(reason(), None);
        board.want(&key, wanted("x"));
        board.wait_for_news().await;
        assert_eq!(reason(), Some(Reason::Waiting));
        let round = board.wanted();
        board.want(&key, wanted("y"));
        assert_eq!(board.record(&round, |_| Progress::Synced), []);
        assert_eq!(reason(), Some(Reason::Waiting));
        let round = board.wanted();
        assert_eq!(board.record(&round, |_| Progress::Synced), std::slice::from_ref(&key));
        assert_eq!(board.record(&round, |_| Progress::Synced), []);
        assert_eq!(reason(), Some(Reason::Synced));
    }

    #[test]
    fn an_agent_without_schedules_says_nothing_of_them() {
        let board = Board::default();
        let key = ObjectKey::new("team", "a");
        board.want(&key, Desired::new());
        assert_eq!(board.finding(&key), None);
        assert_eq!(board.record(&board.wanted(), |_| Progress::Unavailable), []);
    }
}
