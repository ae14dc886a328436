//! Brings Temporal in line with the desired schedules: after every change of
//! them, again after a pause if something failed, and now and then for what
//! others changed in Temporal. Never ends by itself.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use steadfast_process::ReadinessGauge;
use steadfast_temporal::TemporalError;

use crate::{
    kube::namespaced_name::NamespacedName,
    schedules::{
        desired::{self, AgentSchedules},
        mark::ClusterId,
        plan::{Action, Change, Existence, Ownership, Plan, plan},
        state::{DesiredSchedules, SyncStatus},
        temporal::{Error, ScheduleClient},
    },
};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// The syncer of one watch scope.
pub(crate) struct ScheduleSyncer<E, W> {
    /// Client of Temporal.
    pub(crate) client: ScheduleClient,
    /// The install id, the first part of every schedule id.
    pub(crate) install: String,
    /// Whose schedules may be changed.
    pub(crate) ownership: Ownership,
    /// Ready while no other cluster has schedules with this install id.
    pub(crate) alone: ReadinessGauge,
    /// How often Temporal is compared when no desired schedule changes.
    pub(crate) resync: Duration,
    /// The desired schedules of all Agents.
    pub(crate) desired: Arc<DesiredSchedules>,
    /// Tells whether an Agent exists.
    pub(crate) existence: E,
    /// Reconciles Agents whose condition SchedulesSynced changed.
    pub(crate) wake: W,
}

/// The result of one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    /// There is nothing to try again.
    Complete,
    /// Something failed that may succeed later.
    Retry,
}

impl<E, W> ScheduleSyncer<E, W>
where
    E: Fn(&NamespacedName) -> Existence,
    W: Fn(Vec<NamespacedName>),
{
    /// Works until dropped.
    pub(crate) async fn run(self) {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(FIRST_PAUSE)
            .with_max_delay(LONGEST_PAUSE)
            .without_max_times();
        let mut pause = pauses.build();
        loop {
            match self.sync().await {
                Round::Complete => {
                    pause = pauses.build();
                    // Late is as good as changed: either way the schedules are compared.
                    let _ = tokio::time::timeout(self.resync, self.desired.changed()).await;
                }
                Round::Retry => tokio::time::sleep(pause.next().unwrap_or(LONGEST_PAUSE)).await,
            }
        }
    }

    async fn sync(&self) -> Round {
        let desired = self.desired.snapshot();
        let planned = match self.client.list(&self.install).await {
            Ok(existing) => plan(
                &self.install,
                &self.ownership,
                &existing,
                &desired,
                |schedule| self.client.mark(schedule),
                &self.existence,
            ),
            Err(error) => Err(error),
        };
        let Plan { changes, conflicts } = match planned {
            Ok(plan) => plan,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "cannot list the schedules in Temporal; trying again");
                self.record(&desired, |_| SyncStatus::Unavailable);
                return Round::Retry;
            }
        };
        let mut failed = self.tell_conflicts(&conflicts);
        for change in changes {
            if let Err(error) = self.apply(&change).await {
                let cause: &dyn std::error::Error = &error;
                tracing::warn!(
                    schedule = change.id,
                    error = cause,
                    "cannot change the schedule in Temporal"
                );
                let status = match &error {
                    Error::Temporal(TemporalError::Refused(reason)) => {
                        SyncStatus::Refused(format!("schedule {}: {reason}", change.id))
                    }
                    Error::Foreign => SyncStatus::Conflict(foreign_schedule(&change.id, None)),
                    _ => SyncStatus::Unavailable,
                };
                failed.insert(change.agent, status);
            }
        }
        self.record(&desired, |agent| {
            failed.get(agent).cloned().unwrap_or(SyncStatus::Synced)
        });
        let may_pass = |status: &SyncStatus| matches!(status, SyncStatus::Unavailable | SyncStatus::Conflict(_));
        if !conflicts.is_empty() || failed.values().any(may_pass) {
            Round::Retry
        } else {
            Round::Complete
        }
    }

    /// The Agents whose schedules cannot be written, because another cluster has them.
    fn tell_conflicts(&self, conflicts: &BTreeMap<String, ClusterId>) -> BTreeMap<NamespacedName, SyncStatus> {
        self.alone.set(conflicts.is_empty());
        let mut agents = BTreeMap::new();
        for (id, cluster) in conflicts {
            let message = foreign_schedule(id, Some(cluster));
            tracing::warn!(schedule = id, %cluster, "another cluster uses this install id: {message}");
            if let Some(agent) = desired::agent_of(&self.install, id) {
                agents.insert(agent, SyncStatus::Conflict(message));
            }
        }
        agents
    }

    async fn apply(&self, change: &Change) -> Result<(), Error> {
        match &change.action {
            Action::Create(schedule) => self.client.create(&change.id, schedule).await,
            Action::Update(schedule) => self.client.update(&change.id, schedule).await,
            Action::Delete => self.client.delete(&change.id).await,
        }
    }

    fn record(
        &self,
        desired: &BTreeMap<NamespacedName, AgentSchedules>,
        status: impl Fn(&NamespacedName) -> SyncStatus,
    ) {
        (self.wake)(self.desired.record(desired, status));
    }
}

fn foreign_schedule(id: &str, cluster: Option<&ClusterId>) -> String {
    let owner = cluster.map_or_else(
        || "somebody else, and not the operator of this cluster".to_owned(),
        |cluster| format!("the cluster {cluster}"),
    );
    format!(
        "the schedule {id} in Temporal belongs to {owner}; it stays as it is. Give each cluster another installId, or \
         name the cluster in operator.takeOverClusters if it is gone"
    )
}
