//! Tells Temporal which version of an owner's workers is current, moves tasks to it, and tells reconciliations which old
//! versions nobody needs. Never ends by itself.

use std::{collections::HashSet, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{Resource as _, runtime::events::EventType};
use steadfast_temporal::{TemporalError, TemporalSettings};
use tokio::time::Instant;

use crate::{
    agents::{
        context::Context,
        events::{event, publish_all},
        identity::OwnerKind,
        queue::Queues,
    },
    kube::owner::Owner,
    rate_limit::RateLimit,
    tasks::client::TaskClient,
    versions::{
        plan::{Desired, Plan, Seen, Stage, decide},
        state::{PassOutcome, Progress},
        temporal::VersionClient,
    },
};

/// Owners that are asked for at the same time.
const CONCURRENCY: usize = 8;
/// Before the next pass over a version that has just polled, or has just become current.
const SOON: Duration = Duration::from_secs(1);
/// Between two passes over the tasks of an old version.
const WHILE_TASKS_MOVE: Duration = Duration::from_secs(5);
/// Between two passes while nothing is expected but Temporal's word that a version is drained, or may be deleted.
const WHILE_DRAINED: Duration = Duration::from_secs(15);
/// After a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(10);
/// At rest: somebody else may have made another version current.
const AT_REST: Duration = Duration::from_mins(10);
/// A version of which pods are available is registered with its first poll. What has not happened by then does not.
const REGISTRATION: Duration = Duration::from_secs(15);

/// The syncer of the versions of one watch scope.
pub(crate) struct VersionSyncer {
    context: Arc<Context>,
    client: VersionClient,
    tasks: TaskClient,
    rate: Arc<RateLimit>,
    queues: Queues,
}

impl VersionSyncer {
    /// A syncer for the owners that the context knows. It reconciles those with news through `queues`.
    pub(crate) fn new(context: Arc<Context>, temporal: TemporalSettings, rate: Arc<RateLimit>, queues: Queues) -> Self {
        Self {
            context,
            client: VersionClient::new(temporal.clone(), rate.clone()),
            tasks: TaskClient::new(temporal),
            rate,
            queues,
        }
    }

    /// Works until dropped.
    pub(crate) async fn run(self) {
        let pass = |owner, desired, before| self.pass(owner, desired, before);
        self.context.versions.run(CONCURRENCY, pass).await;
    }

    async fn pass(&self, owner: Owner, desired: Desired, before: PassOutcome) {
        let examined = self.examine(&owner, &desired, &before).await;
        let (found, pause) = match examined {
            Ok(found) => found,
            Err(error) => {
                let told: &dyn std::error::Error = &error;
                tracing::warn!(owner = %owner.1, kind = owner.0.as_str(), error = told, "cannot bring the versions of workers in Temporal up to date; trying again");
                let progress = match error {
                    TemporalError::Unsupported(reason) => Progress::Unsupported(reason),
                    TemporalError::Refused(reason) => Progress::Refused(reason),
                    _ => Progress::Unavailable,
                };
                (PassOutcome { progress, ..before }, AFTER_FAILURE)
            }
        };
        if self
            .context
            .versions
            .record(&owner, &desired, found, pause, Instant::now())
        {
            self.queues.push(owner);
        }
    }

    async fn examine(
        &self,
        owner: &Owner,
        desired: &Desired,
        before: &PassOutcome,
    ) -> Result<(PassOutcome, Duration), TemporalError> {
        // A server may be upgraded at any time: what it could do is not believed for ever.
        let missing = self.client.what_is_missing().await?;
        let seen = self.client.describe(&desired.deployment).await?;
        let mut plan = decide(desired, &seen);
        if missing.is_some() {
            // They would begin anew where they are.
            plan.drain.clear();
        }
        let mut found = PassOutcome {
            unused: plan.unused.clone(),
            ..PassOutcome::default()
        };
        let pause = match plan.stage {
            Stage::RollingOut => {
                // One pod has to show that the image works.
                self.context.scaling.wake(owner);
                found.progress = Progress::RollingOut(seen.current.clone());
                AT_REST
            }
            Stage::Unregistered => {
                let since = before.unregistered_since.unwrap_or_else(Instant::now);
                found.unregistered_since = Some(since);
                if since.elapsed() < REGISTRATION {
                    found.progress = Progress::Unregistered;
                    SOON
                } else {
                    found.progress = Progress::LimitReached(seen.current.clone());
                    AFTER_FAILURE
                }
            }
            Stage::Promote => {
                self.promote(owner, desired, &seen).await?;
                found.progress = before.progress.clone();
                SOON
            }
            Stage::Current => self.clear(desired, before, &plan, &mut found).await?,
        };
        if let Some(missing) = missing {
            found.progress = Progress::Unsupported(missing);
        }
        self.publish_drained(owner, desired, before, &plan).await;
        Ok((found, pause))
    }

    async fn promote(&self, owner: &Owner, desired: &Desired, seen: &Seen) -> Result<(), TemporalError> {
        let build_id = desired.build_id.as_deref();
        self.client.set_current(&desired.deployment, build_id).await?;
        let (version, former) = (build_id.unwrap_or("none"), seen.current.as_deref().unwrap_or("none"));
        tracing::info!(owner = %owner.1, kind = owner.0.as_str(), version, former, "another version of workers is current");
        let note = format!("new tasks run on version {version}; before: {former}");
        self.publish(owner, "VersionCurrent", note).await;
        Ok(())
    }

    /// Moves tasks off the old versions, and deletes from Temporal those that have neither tasks nor pods.
    async fn clear(
        &self,
        desired: &Desired,
        before: &PassOutcome,
        plan: &Plan,
        found: &mut PassOutcome,
    ) -> Result<Duration, TemporalError> {
        let mut tasks = 0;
        for build_id in &plan.drain {
            tasks += self.move_tasks(desired, build_id, before, &mut found.asked).await?;
        }
        for build_id in &plan.delete {
            match self.client.delete(&desired.deployment, build_id).await {
                // While it is known to have had pollers some minutes ago.
                Ok(()) | Err(TemporalError::NotFound | TemporalError::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        found.progress = if plan.drain.is_empty() {
            Progress::RolledOut
        } else {
            Progress::Draining(plan.drain.clone(), tasks)
        };
        Ok(match (plan.drain.is_empty(), tasks) {
            (false, 0) => WHILE_DRAINED,
            (false, _) => WHILE_TASKS_MOVE,
            (true, _) if plan.unused.is_empty() => AT_REST,
            (true, _) => WHILE_DRAINED,
        })
    }

    /// Asks the tasks of a version to continue as new, each run once. Returns how many there are.
    async fn move_tasks(
        &self,
        desired: &Desired,
        build_id: &str,
        before: &PassOutcome,
        asked: &mut HashSet<String>,
    ) -> Result<usize, TemporalError> {
        let (mut tasks, mut token) = (0, Vec::new());
        loop {
            self.rate.permit().await;
            let page = self.tasks.list_on_version(&desired.deployment, build_id, token).await?;
            tasks += page.tasks.len();
            for task in page.tasks {
                if !before.asked.contains(&task.run_id) {
                    self.rate.permit().await;
                    self.tasks.checkpoint(&task).await?;
                }
                asked.insert(task.run_id);
            }
            if page.next_token.is_empty() {
                return Ok(tasks);
            }
            token = page.next_token;
        }
    }

    async fn publish_drained(&self, owner: &Owner, desired: &Desired, before: &PassOutcome, plan: &Plan) {
        for build_id in plan.unused.difference(&before.unused) {
            if desired.old.contains(build_id) {
                let note = format!("no task needs version {build_id}: its pods are removed");
                self.publish(owner, "VersionDrained", note).await;
            }
        }
    }

    async fn publish(&self, owner: &Owner, reason: &str, note: String) {
        if let Some(object) = self.object_reference(owner) {
            publish_all(&self.context, &object, [event(EventType::Normal, reason, note)]).await;
        }
    }

    fn object_reference(&self, (kind, key): &Owner) -> Option<ObjectReference> {
        let caches = &self.context.caches;
        match kind {
            OwnerKind::Agent => caches.agent(key)?.0.as_ref().ok().map(|agent| agent.object_ref(&())),
            OwnerKind::Pool => caches.pool(key)?.0.as_ref().ok().map(|pool| pool.object_ref(&())),
        }
    }
}
