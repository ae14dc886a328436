//! The desired schedules of all Agents, and how far Temporal is with them.
//! Reconciliations write the first, the syncer writes the second; neither waits
//! for the other.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use steadfast_crds::conditions::{ConditionType, Reason};
use tokio::sync::Notify;

use crate::{conditions::ConditionUpdate, kube::namespaced_name::NamespacedName, schedules::desired::AgentSchedules};

/// How far Temporal is with the schedules of one Agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum SyncStatus {
    /// Temporal was not asked yet.
    #[default]
    Pending,
    /// Temporal has every schedule.
    Synced,
    /// Temporal cannot be reached.
    Unavailable,
    /// Temporal refuses a schedule, for this reason.
    Refused(String),
    /// A schedule belongs to another cluster, as this text says.
    Conflict(String),
}

/// The desired schedules of all Agents.
#[derive(Debug, Default)]
pub(crate) struct DesiredSchedules {
    entries: Mutex<BTreeMap<NamespacedName, Entry>>,
    changed: Notify,
}

#[derive(Debug)]
struct Entry {
    desired: AgentSchedules,
    status: SyncStatus,
}

impl DesiredSchedules {
    /// Sets the schedules of an Agent.
    pub(crate) fn set(&self, agent: &NamespacedName, desired: AgentSchedules) {
        let mut entries = self.lock();
        if entries.get(agent).is_some_and(|entry| entry.desired == desired) {
            return;
        }
        let status = SyncStatus::Pending;
        entries.insert(agent.clone(), Entry { desired, status });
        drop(entries);
        self.changed.notify_one();
    }

    /// Removes an Agent that is gone, and with it its schedules.
    pub(crate) fn remove(&self, agent: &NamespacedName) {
        self.lock().remove(agent);
        self.changed.notify_one();
    }

    /// The condition SchedulesSynced of an Agent; `None` for an Agent without schedules.
    pub(crate) fn condition(&self, agent: &NamespacedName) -> Option<ConditionUpdate> {
        let entries = self.lock();
        let entry = entries.get(agent).filter(|entry| !entry.desired.is_empty())?;
        let condition = ConditionType::SchedulesSynced;
        Some(match &entry.status {
            SyncStatus::Synced => ConditionUpdate::met(condition, Reason::Synced, "Temporal has every schedule"),
            SyncStatus::Pending => ConditionUpdate::not_met(
                condition,
                Reason::Waiting,
                "the schedules have not been sent to Temporal yet",
            ),
            SyncStatus::Unavailable => ConditionUpdate::not_met(
                condition,
                Reason::TemporalUnavailable,
                "Temporal cannot be reached; the operator tries again",
            ),
            SyncStatus::Refused(reason) => ConditionUpdate::not_met(condition, Reason::ScheduleRefused, reason.clone()),
            SyncStatus::Conflict(text) => ConditionUpdate::not_met(condition, Reason::InstallIdConflict, text.clone()),
        })
    }

    /// The desired schedules of all Agents, now.
    pub(super) fn snapshot(&self) -> BTreeMap<NamespacedName, AgentSchedules> {
        let entries = self.lock();
        entries
            .iter()
            .map(|(agent, entry)| (agent.clone(), entry.desired.clone()))
            .collect()
    }

    /// Records how far Temporal is with a snapshot. Returns the Agents whose condition changed.
    pub(super) fn record(
        &self,
        snapshot: &BTreeMap<NamespacedName, AgentSchedules>,
        status: impl Fn(&NamespacedName) -> SyncStatus,
    ) -> Vec<NamespacedName> {
        let mut entries = self.lock();
        let mut changed = Vec::new();
        for (agent, desired) in snapshot {
            let Some(entry) = entries.get_mut(agent) else { continue };
            let now = status(agent);
            // The next round takes care of an Agent whose schedules changed since the snapshot.
            if entry.desired == *desired && entry.status != now {
                entry.status = now;
                if !entry.desired.is_empty() {
                    changed.push(agent.clone());
                }
            }
        }
        changed
    }

    /// Returns when something changed since the last call returned.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NamespacedName, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedules::desired::testing::schedules;

    #[tokio::test]
    async fn an_agent_is_synced_only_with_its_current_schedules() {
        let desired = DesiredSchedules::default();
        let key = NamespacedName::new("team", "a");
        let reason = || desired.condition(&key).map(|condition| condition.reason);
        assert_eq!(reason(), None);
        desired.set(&key, schedules(&[("daily", "x")]));
        desired.changed().await;
        assert_eq!(reason(), Some(Reason::Waiting));
        let round = desired.snapshot();
        desired.set(&key, schedules(&[("daily", "y")]));
        assert_eq!(desired.record(&round, |_| SyncStatus::Synced), []);
        assert_eq!(reason(), Some(Reason::Waiting));
        let round = desired.snapshot();
        assert_eq!(
            desired.record(&round, |_| SyncStatus::Synced),
            std::slice::from_ref(&key)
        );
        assert_eq!(desired.record(&round, |_| SyncStatus::Synced), []);
        assert_eq!(reason(), Some(Reason::Synced));
    }

    #[test]
    fn an_agent_without_schedules_has_no_condition() {
        let desired = DesiredSchedules::default();
        let key = NamespacedName::new("team", "a");
        desired.set(&key, AgentSchedules::new());
        assert_eq!(desired.condition(&key), None);
        assert_eq!(desired.record(&desired.snapshot(), |_| SyncStatus::Unavailable), []);
    }
}
