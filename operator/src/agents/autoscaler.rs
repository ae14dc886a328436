//! Scales the workers of owners: polls Temporal for one owner after the other, at a bounded rate, and wakes owners at once.
//! Never ends by itself.
//!
//! What cannot be asked changes nothing: while Temporal is away no worker comes or goes, but for those that a message
//! wakes, which needs the API server alone.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use futures::{FutureExt as _, StreamExt as _, future, stream};
use k8s_openapi::api::apps::v1::Deployment;
use kube::runtime::events::{Event, EventType};
use steadfast_temporal::TemporalError;
use tokio::time::Instant;

use crate::{
    agents::{
        apply::deployment_of,
        context::Context,
        events::publish_all,
        replicas::{self, replicas_of},
        scaling_state::{Next, Scaled},
    },
    metrics::Outcome,
    scaling::{
        plan::{Cause, Change, Memory, Observation, Rollout, Work, decide, may_sleep, wake},
        temporal::QueueClient,
        workers,
    },
    worker_admin::WorkerAdmin,
};

/// Owners that are polled for, and owners that are woken, at the same time.
const CONCURRENCY: usize = 8;

/// The autoscaler of one watch scope.
pub(crate) struct Autoscaler {
    context: Arc<Context>,
    /// Without Temporal, owners are only woken.
    queues: Option<QueueClient>,
    workers: WorkerAdmin,
    is_temporal_away: AtomicBool,
}

impl Autoscaler {
    /// An autoscaler for the owners that the context knows.
    pub(crate) const fn new(context: Arc<Context>, queues: Option<QueueClient>, workers: WorkerAdmin) -> Self {
        Self {
            context,
            queues,
            workers,
            is_temporal_away: AtomicBool::new(false),
        }
    }

    /// Works until dropped.
    pub(crate) async fn run(self) {
        let polls = match &self.queues {
            Some(queues) => self.poll_all(queues).left_future(),
            None => future::pending().right_future(),
        };
        future::join(self.wake_all(), polls).await;
    }

    /// Apart from the polls: one that waits for Temporal must not hold up a message.
    async fn wake_all(&self) {
        let scaling = &self.context.scaling;
        loop {
            stream::iter(scaling.take_woken())
                .for_each_concurrent(CONCURRENCY, |scaled| async move {
                    if let Some(deployment) = self.deployment(&scaled)
                        && let Some(replicas) = replicas_of(&deployment)
                        && let Some(change) = wake(&scaled.settings, replicas)
                    {
                        self.scale(&scaled, &deployment, replicas, change).await;
                    }
                })
                .await;
            scaling.somebody_woken().await;
        }
    }

    async fn poll_all(&self, queues: &QueueClient) {
        let poll = |scaled, memory| self.poll(queues, scaled, memory);
        self.context.scaling.poll_all(CONCURRENCY, poll).await;
    }

    async fn poll(&self, queues: &QueueClient, scaled: Scaled, mut memory: Memory) {
        let next = match self.examine(queues, &scaled, &mut memory).await {
            Ok(next) => {
                self.context.metrics.polled(Outcome::Success);
                if self.is_temporal_away.swap(false, Ordering::Relaxed) {
                    tracing::info!("Temporal says again what waits for workers");
                }
                next
            }
            Err(error) => {
                self.context.metrics.polled(Outcome::Error);
                if !self.is_temporal_away.swap(true, Ordering::Relaxed) {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(
                        error,
                        "cannot ask Temporal what waits for workers; their number stays as it is"
                    );
                }
                Next::Regular
            }
        };
        self.context.scaling.polled(&scaled, memory, next, Instant::now());
    }

    async fn examine(&self, queues: &QueueClient, scaled: &Scaled, memory: &mut Memory) -> Result<Next, TemporalError> {
        let task_queue = scaled.owner.task_queue(&self.context.settings.install_id);
        let backlog = queues.backlog(&task_queue).await?;
        let Some(deployment) = self.deployment(scaled) else {
            return Ok(Next::Regular);
        };
        let Some(replicas) = replicas_of(&deployment) else {
            return Ok(Next::Regular);
        };
        let owner = &scaled.owner;
        let work = if may_sleep(&scaled.settings, replicas, backlog) {
            let pods = self.context.caches.pods.of_owner(owner.kind, &owner.key);
            workers::ask(&self.workers, &pods).await
        } else {
            Work::Unknown
        };
        let seen = Observation {
            replicas,
            rollout: rollout(&deployment),
            backlog,
            work,
        };
        let Some(change) = decide(&scaled.settings, memory, &seen, Instant::now()) else {
            return Ok(Next::Regular);
        };
        if change.replicas == 0 && queues.has_long_turn(&task_queue).await? {
            return Ok(Next::Regular);
        }
        self.scale(scaled, &deployment, replicas, change).await;
        Ok(if change.replicas == 0 {
            Next::AfterSleep
        } else {
            Next::Regular
        })
    }

    fn deployment(&self, scaled: &Scaled) -> Option<Arc<Deployment>> {
        deployment_of(&self.context, &scaled.owner)
    }

    /// Sets the number of pods. A failure is repeated by the next poll.
    async fn scale(&self, scaled: &Scaled, deployment: &Deployment, before: i32, change: Change) {
        let Change { replicas, cause } = change;
        let owner = &scaled.owner;
        if let Err(error) = replicas::set(&self.context, owner, deployment, replicas).await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(owner = %owner.key, kind = owner.kind.as_str(), replicas, error, "cannot scale the workers");
            return;
        }
        let direction = if replicas > before { "up" } else { "down" };
        tracing::info!(owner = %owner.key, kind = owner.kind.as_str(), before, replicas, cause = cause.as_str(), "scaled the workers");
        self.context.metrics.scaled(direction, cause.as_str());
        let event = Event {
            type_: EventType::Normal,
            reason: if replicas > before { "ScaledUp" } else { "ScaledDown" }.to_owned(),
            note: Some(format!(
                "from {before} to {replicas} workers: {}",
                describe(cause, scaled)
            )),
            action: "Scale".to_owned(),
            secondary: None,
        };
        publish_all(&self.context, &scaled.object_reference, [event]).await;
    }
}

/// The Deployment controller has seen the template, and every pod is of it.
fn rollout(deployment: &Deployment) -> Rollout {
    let status = deployment.status.clone().unwrap_or_default();
    let is_observed = status.observed_generation >= deployment.metadata.generation;
    let total = status.replicas.unwrap_or(0);
    let is_whole = status.updated_replicas.unwrap_or(0) == total && status.available_replicas.unwrap_or(0) == total;
    if is_observed && is_whole {
        Rollout::Complete
    } else {
        Rollout::UnderWay
    }
}

/// The cause, for the Event.
fn describe(cause: Cause, scaled: &Scaled) -> String {
    let period = scaled.settings.cooldown_period;
    match cause {
        Cause::Woken => "a message came".to_owned(),
        Cause::Backlog(1) => "1 task waits".to_owned(),
        Cause::Backlog(tasks) => format!("{tasks} tasks wait"),
        Cause::Quiet => format!("so many were enough for {period}"),
        Cause::Idle => format!("they had nothing to do for {period}"),
        Cause::Bounds => "minReplicas and maxReplicas of the spec".to_owned(),
    }
}
