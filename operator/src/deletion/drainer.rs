//! Asks the tasks of deleted Agents to end, and counts those that are left: one page of one Agent after the other, at a
//! bounded rate, so that an Agent with many tasks does not hold up the others. Never ends by itself.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use steadfast_temporal::TemporalError;
use tokio::time::Instant;

use crate::{
    deletion::{
        passes::{Next, Passes},
        plan::{Request, Tasks},
        state::{Deleted, Deletions, Progress},
    },
    kube::namespaced_name::NamespacedName,
    rate_limit::RateLimit,
    tasks::{OpenTasks, client::TaskClient},
};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The drainer of one watch scope.
pub(crate) struct Drainer<W> {
    /// Client of Temporal.
    pub(crate) client: TaskClient,
    /// The deleted Agents.
    pub(crate) deletions: Arc<Deletions>,
    /// The rate of requests.
    pub(crate) rate: Arc<RateLimit>,
    /// Reconciles Agents whose tasks have changed.
    pub(crate) wake: W,
}

/// How far the tasks of each Agent have been asked.
type AskedAgents = BTreeMap<NamespacedName, (Deleted, Passes)>;

impl<W: Fn(Vec<NamespacedName>)> Drainer<W> {
    /// Works until dropped.
    pub(crate) async fn run(self) {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(FIRST_PAUSE)
            .with_max_delay(LONGEST_PAUSE)
            .without_max_times();
        let mut pause = pauses.build();
        let mut known = AskedAgents::new();
        loop {
            let wanted = self.deletions.wanted();
            known.retain(|_, (deleted, passes)| self.deletions.is_wanted(deleted, passes.request()));
            match self.round(&wanted, &mut known).await {
                Ok(next) => {
                    pause = pauses.build();
                    self.wait_until(next).await;
                }
                Err(error) => {
                    self.record_unreachable(&wanted, &error);
                    tokio::time::sleep(pause.next().unwrap_or(LONGEST_PAUSE)).await;
                }
            }
        }
    }

    /// Gives each Agent its turn. Returns when the next turn of one is.
    async fn round(
        &self,
        wanted: &[(Deleted, Request)],
        known: &mut AskedAgents,
    ) -> Result<Option<Instant>, TemporalError> {
        let mut earliest: Option<Instant> = None;
        for (deleted, request) in wanted {
            let (_, passes) = known
                .entry(deleted.tasks.agent.clone())
                .or_insert_with(|| (deleted.clone(), Passes::new(*request)));
            let next = match passes.next(Instant::now()) {
                Next::Wait(at) => at,
                Next::Ask(token) => {
                    self.ask(deleted, passes, token).await?;
                    Instant::now()
                }
                Next::Count => {
                    self.count(deleted, passes).await?;
                    Instant::now()
                }
            };
            earliest = Some(earliest.map_or(next, |earliest| earliest.min(next)));
        }
        Ok(earliest)
    }

    async fn ask(&self, deleted: &Deleted, passes: &mut Passes, token: Vec<u8>) -> Result<(), TemporalError> {
        let request = passes.request();
        self.rate.permit().await;
        let page = self.client.list(&deleted.tasks, token).await?;
        for task in &page.tasks {
            self.rate.permit().await;
            if !self.deletions.is_wanted(deleted, request) {
                return Ok(());
            }
            let asked = match request {
                Request::Complete => self.client.complete(&task.id, &deleted.uid).await,
                Request::Cancel => self.client.cancel(&task.id, &deleted.uid).await,
            };
            match asked {
                Ok(()) => {}
                // A fault of this task, which must not hold up the others.
                Err(TemporalError::Refused(reason)) => {
                    tracing::warn!(task = task.id, agent = %deleted.tasks.agent, reason, "Temporal refuses to end the task");
                }
                Err(error) => return Err(error),
            }
        }
        self.record(deleted, passes.asked(page.tasks.len(), page.next_token, Instant::now()));
        Ok(())
    }

    async fn count(&self, deleted: &Deleted, passes: &mut Passes) -> Result<(), TemporalError> {
        self.rate.permit().await;
        let page = self.client.list(&deleted.tasks, Vec::new()).await?;
        let left = OpenTasks {
            counted: page.tasks.len(),
            more: !page.next_token.is_empty(),
        };
        self.record(deleted, passes.counted(left, Instant::now()));
        Ok(())
    }

    fn record(&self, deleted: &Deleted, progress: Progress) {
        if self.deletions.record(deleted, progress) {
            (self.wake)(vec![deleted.tasks.agent.clone()]);
        }
    }

    /// Records that Temporal cannot be reached: earlier counts are stale.
    fn record_unreachable(&self, wanted: &[(Deleted, Request)], error: &TemporalError) {
        let error: &dyn std::error::Error = error;
        tracing::warn!(error, "cannot ask the tasks of deleted Agents to end; trying again");
        for (deleted, _) in wanted {
            let progress = Progress {
                tasks: Tasks::Unreachable,
                asked: None,
            };
            self.record(deleted, progress);
        }
    }

    async fn wait_until(&self, next: Option<Instant>) {
        let changed = self.deletions.changed();
        match next {
            // A timeout and a change lead to the same thing: another round.
            Some(next) => drop(tokio::time::timeout_at(next, changed).await),
            None => changed.await,
        }
    }
}
