//! Brings Temporal in line with the desired schedules: after every change of
//! them, and again after a pause if something failed. Never ends by itself.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use steadfast_temporal::TemporalError;

use crate::{
    kube::namespaced_name::NamespacedName,
    schedules::{
        desired::AgentSchedules,
        plan::{Action, Change, Existence, plan},
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
                    self.desired.changed().await;
                }
                Round::Retry => tokio::time::sleep(pause.next().unwrap_or(LONGEST_PAUSE)).await,
            }
        }
    }

    async fn sync(&self) -> Round {
        let desired = self.desired.snapshot();
        let planned = match self.client.list(&self.install).await {
            Ok(existing) => plan(&self.install, &existing, &desired, &self.existence).map_err(Error::from),
            Err(error) => Err(error),
        };
        let changes = match planned {
            Ok(changes) => changes,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "cannot list the schedules in Temporal; trying again");
                self.record(&desired, |_| SyncStatus::Unavailable);
                return Round::Retry;
            }
        };
        let mut failed = BTreeMap::new();
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
                    _ => SyncStatus::Unavailable,
                };
                failed.insert(change.agent, status);
            }
        }
        self.record(&desired, |agent| {
            failed.get(agent).cloned().unwrap_or(SyncStatus::Synced)
        });
        if failed.values().any(|status| *status == SyncStatus::Unavailable) {
            Round::Retry
        } else {
            Round::Complete
        }
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
