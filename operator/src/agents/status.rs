//! Builds and writes the status of an Agent: built whole, compared once, written
//! once. A success, a wait and a failure all end here.

use std::sync::Arc;

use k8s_openapi::{
    api::{apps::v1::Deployment, core::v1::Pod},
    apimachinery::pkg::apis::meta::v1::Condition,
    jiff::Timestamp,
};
use steadfast_crds::{
    AgentStatus,
    conditions::{ConditionType, Reason},
    names::CREDENTIALS_HASH_ANNOTATION,
};
use steadfast_process::ErrorChain;

use crate::{
    agents::{
        apply::Applied,
        context::Context,
        error::Error,
        homes::homes,
        identity::{AgentIdentity, OwnerKind},
        pool_summary::PoolWorkers,
        rollout::{self, Progress, RolloutStatus},
    },
    conditions::{ConditionStatus, ConditionUpdate, STALLED_MESSAGE, find, merge, shorten},
    kube::status_patch::{self, Written},
    validation::ValidationError,
};

/// The largest status, as JSON.
const MAXIMUM_STATUS_BYTES: usize = 4096;
/// The most task queues that an Agent had before in its status.
const MAXIMUM_FORMER_TASK_QUEUES: usize = 4;
/// The longest message in a status that would otherwise be too large.
const SHORT_MESSAGE_BYTES: usize = 64;

/// What a reconciliation without an error reports.
#[derive(Clone, Debug)]
pub(crate) struct Reconciled {
    /// The errors of the Agent.
    pub(crate) errors: Vec<ValidationError>,
    /// The number of tools in the Agent's spec.
    pub(crate) tools: usize,
    /// The objects that exist now.
    pub(crate) applied: Applied,
    /// Whether anybody serves the WorkerPool of the Agent; `None` if it has pods of its own.
    pub(crate) pool: Option<PoolWorkers>,
    /// The condition SchedulesSynced; `None` without schedules.
    pub(crate) schedules: Option<ConditionUpdate>,
    /// The condition VersionRolledOut; `None` for workers without versions.
    pub(crate) versions: Option<ConditionUpdate>,
}

/// Writes the status if it differs from the previous one, and returns it if it was written.
pub(crate) async fn write(
    context: &Context,
    agent: &AgentIdentity,
    previous: Option<&AgentStatus>,
    result: &Result<Reconciled, Error>,
) -> Result<Option<AgentStatus>, kube::Error> {
    let now = Timestamp::now();
    let status = match result {
        Ok(reconciled) => {
            let pods = context.caches.pods.of_owner(OwnerKind::Agent, &agent.key);
            let task_queue = task_queue(context, agent);
            build(agent, previous, reconciled, task_queue, &pods, now)
        }
        Err(error) => build_failed(agent, previous, error, now),
    };
    if previous == Some(&status) {
        return Ok(None);
    }
    match status_patch::write(&context.client, &agent.status_target(), &status).await? {
        Written::Stored => Ok(Some(status)),
        Written::ObjectGone => Ok(None),
    }
}

/// The task queue of the workers for which the newest revision was made: an Agent whose spec names others and has errors
/// stays where it is.
fn task_queue(context: &Context, agent: &AgentIdentity) -> String {
    let install = &context.settings.install_id;
    let present = homes(context, agent).into_iter().next();
    present.map_or_else(
        || agent.home_task_queue(install),
        |home| home.tasks(install, &agent.key).task_queue,
    )
}

/// Whether the workers that the spec asks for can run the Agent's tasks now.
pub(crate) fn can_serve(context: &Context, agent: &AgentIdentity, reconciled: &Reconciled) -> bool {
    let pods = context.caches.pods.of_owner(OwnerKind::Agent, &agent.key);
    let is_right = reconciled.errors.is_empty() && reconciled.applied.refusal.is_none();
    is_right && rollout_of(agent, reconciled, &pods).condition.status == ConditionStatus::True
}

fn rollout_of(agent: &AgentIdentity, reconciled: &Reconciled, pods: &[Arc<Pod>]) -> RolloutStatus {
    match reconciled.pool {
        Some(workers) => rollout::of_pool(agent.pool.as_deref().unwrap_or_default(), workers),
        None => rollout::assess(reconciled.applied.deployment.as_deref(), pods),
    }
}

/// The task queues that an Agent had before, the last one first.
fn former_task_queues(previous: Option<&AgentStatus>, present: &str) -> Vec<String> {
    let Some(previous) = previous else { return Vec::new() };
    let mut former: Vec<String> = Vec::new();
    for queue in previous.task_queue.iter().chain(&previous.former_task_queues) {
        if queue != present && !former.contains(queue) {
            former.push(queue.clone());
        }
    }
    former.truncate(MAXIMUM_FORMER_TASK_QUEUES);
    former
}

/// Writes the condition Ready of an Agent that is being deleted, and returns the status if it was written.
pub(crate) async fn write_deleting(
    context: &Context,
    agent: &AgentIdentity,
    mut status: AgentStatus,
    ready: ConditionUpdate,
) -> Result<Option<AgentStatus>, kube::Error> {
    let reconciling = ConditionUpdate::met(
        ConditionType::Reconciling,
        ready.reason,
        "in progress; see the condition Ready",
    );
    // A deletion is a generation too.
    status.observed_generation = agent.generation;
    let updates = vec![ready, reconciling];
    status.conditions = replace_conditions(status.conditions, updates, agent.generation, Timestamp::now());
    let status = bounded(status);
    match status_patch::write(&context.client, &agent.status_target(), &status).await? {
        Written::Stored => Ok(Some(status)),
        Written::ObjectGone => Ok(None),
    }
}

/// The status after a reconciliation without an error.
fn build(
    agent: &AgentIdentity,
    previous: Option<&AgentStatus>,
    reconciled: &Reconciled,
    task_queue: String,
    pods: &[Arc<Pod>],
    now: Timestamp,
) -> AgentStatus {
    let previous_conditions = previous.map(|status| status.conditions.as_slice()).unwrap_or_default();
    let Applied {
        revision,
        deployment,
        refusal,
        ..
    } = &reconciled.applied;
    let errors: Vec<ValidationError> = reconciled.errors.iter().chain(refusal).cloned().collect();
    let rollout = rollout_of(agent, reconciled, pods);
    // Workers of its own that an Agent on a pool still has belong to the move.
    let deployment = deployment.as_deref().filter(|_| reconciled.pool.is_none());
    let mut updates = condition_updates(&errors, &rollout);
    updates.extend(reconciled.schedules.clone());
    updates.extend(reconciled.versions.clone());
    bounded(AgentStatus {
        observed_generation: agent.generation,
        revision: (*revision).max(previous.and_then(|status| status.revision)),
        former_task_queues: former_task_queues(previous, &task_queue),
        task_queue: Some(task_queue),
        tools: i32::try_from(reconciled.tools).ok(),
        workers: rollout.counts,
        credentials_hash: deployment.and_then(credentials_hash),
        conditions: merge(previous_conditions, updates, agent.generation, now),
    })
}

/// The status after a failed reconciliation. Running workers keep running: an Agent that was Ready stays Ready.
fn build_failed(agent: &AgentIdentity, previous: Option<&AgentStatus>, error: &Error, now: Timestamp) -> AgentStatus {
    let mut status = previous.cloned().unwrap_or_default();
    let observed = status.observed_generation == agent.generation;
    status.conditions = failed_conditions(status.conditions, observed, agent.generation, error, now);
    bounded(status)
}

/// The conditions after a failed reconciliation; `observed` says whether they describe this generation. Running workers
/// keep running: what was Ready stays Ready.
pub(crate) fn failed_conditions(
    conditions: Vec<Condition>,
    observed: bool,
    generation: Option<i64>,
    error: &Error,
    now: Timestamp,
) -> Vec<Condition> {
    let message = ErrorChain(error).to_string();
    let was_ready = observed && find(&conditions, ConditionType::Ready).is_some_and(|ready| ready.status == "True");
    let mut updates = vec![ConditionUpdate::met(
        ConditionType::Reconciling,
        Reason::ApiError,
        message.clone(),
    )];
    if !was_ready {
        updates.push(ConditionUpdate::not_met(
            ConditionType::Ready,
            Reason::ApiError,
            message,
        ));
    }
    replace_conditions(conditions, updates, generation, now)
}

/// Replaces these conditions and leaves the others. What is at work is not stalled.
fn replace_conditions(
    mut conditions: Vec<Condition>,
    updates: Vec<ConditionUpdate>,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let fresh = merge(&conditions, updates, generation, now);
    let replaced = |old: &Condition| {
        old.type_ == ConditionType::Stalled.as_str() || fresh.iter().any(|new| new.type_ == old.type_)
    };
    conditions.retain(|old| !replaced(old));
    conditions.extend(fresh);
    conditions
}

fn condition_updates(errors: &[ValidationError], rollout: &RolloutStatus) -> Vec<ConditionUpdate> {
    let updates = vec![
        ConditionUpdate::from_errors(ConditionType::Accepted, errors, (Reason::Valid, "the spec is valid")),
        ConditionUpdate::from_errors(
            ConditionType::ReferencesResolved,
            errors,
            (Reason::Resolved, "every object that the spec refers to was found"),
        ),
        ConditionUpdate::from_errors(
            ConditionType::CredentialsResolved,
            errors,
            (Reason::Resolved, "every credential was found"),
        ),
        workers_available(errors, rollout),
    ];
    let stalled = !errors.is_empty() || rollout.progress == Progress::Stuck;
    summarized(updates, stalled, "the agent is ready to receive messages")
}

/// The conditions with those that sum them up: Ready, and Reconciling or Stalled.
pub(crate) fn summarized(
    mut updates: Vec<ConditionUpdate>,
    stalled: bool,
    ready_message: &str,
) -> Vec<ConditionUpdate> {
    let ready = ready(&updates, ready_message);
    let not_ready = ready.status == ConditionStatus::False;
    updates.push(ready.clone());
    if not_ready && stalled {
        updates.push(ConditionUpdate::met(
            ConditionType::Stalled,
            ready.reason,
            STALLED_MESSAGE,
        ));
    } else if not_ready {
        updates.push(ConditionUpdate::met(
            ConditionType::Reconciling,
            ready.reason,
            "in progress; see the condition Ready",
        ));
    }
    updates
}

/// The condition WorkersAvailable.
pub(crate) fn workers_available(errors: &[ValidationError], rollout: &RolloutStatus) -> ConditionUpdate {
    let condition = ConditionType::WorkersAvailable;
    if errors.iter().any(|error| error.condition == condition) {
        ConditionUpdate::from_errors(condition, errors, (Reason::Available, ""))
    } else {
        rollout.condition.clone()
    }
}

/// The summary: its reason is that of the first condition that is not met.
fn ready(updates: &[ConditionUpdate], message: &str) -> ConditionUpdate {
    let condition = ConditionType::Ready;
    if let Some(first) = updates.iter().find(|update| update.status == ConditionStatus::False) {
        return ConditionUpdate::not_met(condition, first.reason, first.message.clone());
    }
    if updates.iter().any(|update| update.reason == Reason::ScaledToZero) {
        return ConditionUpdate::met(condition, Reason::ScaledToZero, "no worker runs: replicas is 0");
    }
    ConditionUpdate::met(condition, Reason::AllConditionsMet, message)
}

/// The credentials hash in the newest pods.
pub(crate) fn credentials_hash(deployment: &Deployment) -> Option<String> {
    let template = deployment.spec.as_ref()?.template.metadata.as_ref()?;
    template.annotations.as_ref()?.get(CREDENTIALS_HASH_ANNOTATION).cloned()
}

fn bounded(mut status: AgentStatus) -> AgentStatus {
    let bytes = serde_json::to_vec(&status).map_or(0, |json| json.len());
    if bytes > MAXIMUM_STATUS_BYTES {
        for condition in &mut status.conditions {
            condition.message = shorten(std::mem::take(&mut condition.message), SHORT_MESSAGE_BYTES);
        }
    }
    status
}

#[cfg(test)]
mod tests;
