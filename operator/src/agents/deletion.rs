//! The deletion of an Agent, where its spec asks that the Agent stays for its tasks: the finalizer, what a reconciliation
//! of a deleted Agent does, and what it tells people. What is to be done is decided in [`crate::deletion::plan`].

use std::time::Duration;

use k8s_openapi::{
    api::apps::v1::Deployment,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
    jiff::Timestamp,
};
use kube::{
    Api, Client, Resource as _,
    api::{Patch, PatchParams},
};
use serde_json::json;
use steadfast_crds::{
    Agent,
    agent::DeletionSettings,
    conditions::{ConditionType, Reason},
    names::TASKS_FINALIZER,
};
use tokio::time::Instant;

use crate::{
    MANAGER,
    agents::{
        apply::deployment_of, context::Context, error::Error, events, identity::AgentIdentity, moving, next::Next,
        scaling, status,
    },
    conditions::{ConditionUpdate, find},
    deletion::{
        plan::{Decision, Observation, Request, Tasks, Workers, decide},
        state::{Deleted, Progress},
    },
    moves::state::Progress as Moving,
    schedules::desired::AgentSchedules,
    tasks::{OpenTasks, QueueKind, TaskSet},
};

/// Whether the Agent stays for its tasks.
pub(crate) fn is_held(metadata: &ObjectMeta) -> bool {
    metadata.finalizers.iter().flatten().any(|name| name == TASKS_FINALIZER)
}

/// Gives an Agent that is not being deleted the finalizer, or takes it away, as its spec says.
pub(crate) async fn keep_finalizer(context: &Context, agent: &Agent) -> Result<(), kube::Error> {
    let wanted = agent.spec.deletion.as_ref().is_some_and(DeletionSettings::holds);
    if wanted == is_held(&agent.metadata) {
        return Ok(());
    }
    if !wanted {
        return release(&context.client, &agent.metadata).await;
    }
    let mut finalizers = agent.metadata.finalizers.clone().unwrap_or_default();
    finalizers.push(TASKS_FINALIZER.to_owned());
    set_finalizers(&context.client, &agent.metadata, &finalizers).await
}

/// Takes the finalizer from an Agent, if it has it.
pub(crate) async fn release(client: &Client, metadata: &ObjectMeta) -> Result<(), kube::Error> {
    if !is_held(metadata) {
        return Ok(());
    }
    let mut finalizers = metadata.finalizers.clone().unwrap_or_default();
    finalizers.retain(|name| name != TASKS_FINALIZER);
    set_finalizers(client, metadata, &finalizers).await
}

/// Writes the list as a whole, and only over the version that it was read from: somebody else's finalizer is not lost.
async fn set_finalizers(client: &Client, metadata: &ObjectMeta, finalizers: &[String]) -> Result<(), kube::Error> {
    let api: Api<Agent> = Api::namespaced(client.clone(), metadata.namespace.as_deref().unwrap_or_default());
    let patch = json!({
        "metadata": { "resourceVersion": metadata.resource_version, "finalizers": finalizers },
    });
    let parameters = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let name = metadata.name.as_deref().unwrap_or_default();
    match api.patch_metadata(name, &parameters, &Patch::Merge(&patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes one step of the deletion of an Agent.
pub(crate) async fn reconcile(agent: &Agent, context: &Context) -> Result<Next, Error> {
    if !is_held(&agent.metadata) {
        // Kubernetes deletes the objects that the Agent owns.
        return Ok(Next::Change);
    }
    let identity = AgentIdentity::of(agent);
    // No schedule starts another task.
    context.schedules.set(&identity.key, AgentSchedules::new());
    let install = &context.settings.install_id;
    let task_queue = agent.status.as_ref().and_then(|status| status.task_queue.clone());
    let task_queue = task_queue.unwrap_or_else(|| identity.task_queue(install));
    let deleted = Deleted {
        uid: identity.uid.clone().unwrap_or_default(),
        tasks: TaskSet::new(install, identity.key.clone(), task_queue),
    };
    let (observed, Progress { tasks, asked }) = context.deletions.observe(&deleted, Instant::now());
    // Tasks that run elsewhere still come here, and are asked here.
    moving::keep(context, &identity).await;
    let tasks = with_moving(tasks, context.moves.progress(&identity.key));
    // An operator that has just started does not know it.
    scaling::keep(agent, &identity, context);
    let now = Observation {
        elapsed: elapsed(&agent.metadata, Timestamp::now()).max(observed),
        observed,
        workers: workers(context, &identity, deleted.tasks.kind),
        tasks,
        asked,
    };
    match decide(agent.spec.deletion.as_ref(), &now) {
        Decision::Hold {
            ask,
            decide_again_after,
        } => {
            context.deletions.ask(&identity.key, ask);
            if matches!(tasks, Tasks::Running(left) if left != OpenTasks::default()) {
                // Tasks of workers that sleep cannot end.
                scaling::wake(&identity, context);
            }
            report_progress(context, agent, &identity, ask, tasks).await?;
            Ok(Next::After(decide_again_after))
        }
        Decision::Release(outcome) => {
            tracing::info!(agent = %identity.key, ?outcome, "the deleted Agent no longer stays for its tasks");
            events::publish_release(context, &identity, outcome, &deleted.tasks.task_queue).await;
            release(&context.client, &agent.metadata)
                .await
                .map_err(Error::Finalizer)?;
            context.deletions.forget(&identity.key);
            Ok(Next::Change)
        }
    }
}

/// The tasks that are left, where some may be on the workers that the Agent had before.
fn with_moving(tasks: Tasks, moving: Option<Moving>) -> Tasks {
    match (tasks, moving) {
        (Tasks::Running(OpenTasks { counted, .. }), Some(Moving::Unknown)) => {
            Tasks::Running(OpenTasks { counted, more: true })
        }
        (Tasks::Running(OpenTasks { counted, more }), Some(Moving::Left(elsewhere))) => Tasks::Running(OpenTasks {
            counted: counted + elsewhere.counted,
            more: more || elsewhere.counted == 0,
        }),
        (tasks, _) => tasks,
    }
}

/// The time since the deletion, by the API server's timestamp. Zero when that clock is ahead of this one; the caller then
/// uses the time for which this process has known of the deletion.
fn elapsed(metadata: &ObjectMeta, now: Timestamp) -> Duration {
    let deleted = metadata.deletion_timestamp.as_ref().map(|Time(at)| *at);
    let since = deleted.map(|deleted| now.duration_since(deleted));
    since.and_then(|since| since.try_into().ok()).unwrap_or_default()
}

fn workers(context: &Context, agent: &AgentIdentity, kind: QueueKind) -> Workers {
    if kind == QueueKind::Shared {
        return Workers::Present;
    }
    let is_scaled = context.scaling.has(&agent.as_owner().as_key());
    match deployment_of(context, &agent.as_owner()).filter(|deployment| stays(deployment, is_scaled)) {
        Some(_) => Workers::Present,
        None => Workers::Gone,
    }
}

/// Whether a Deployment has workers, or gets some when there is something to do.
fn stays(deployment: &Deployment, is_scaled: bool) -> bool {
    let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas);
    deployment.meta().deletion_timestamp.is_none() && (is_scaled || replicas != Some(0))
}

/// Writes the condition Ready when how the tasks are asked has changed, and their number now and then.
async fn report_progress(
    context: &Context,
    agent: &Agent,
    identity: &AgentIdentity,
    ask: Request,
    tasks: Tasks,
) -> Result<(), Error> {
    let previous = agent.status.clone().unwrap_or_default();
    let Some(ready) = progress(ask, tasks) else {
        return Ok(());
    };
    let before = find(&previous.conditions, ConditionType::Ready);
    let is_new = before.is_none_or(|before| before.reason != ready.reason.as_str());
    let is_same = before.is_some_and(|before| !is_new && before.message == ready.message);
    if is_same || !(context.deletions.may_write_number(&identity.key, Instant::now()) || is_new) {
        return Ok(());
    }
    let written = status::write_deleting(context, identity, previous.clone(), ready).await;
    if let Some(written) = written.map_err(Error::Status)? {
        let change = events::ready_change(&previous.conditions, &written.conditions);
        events::publish_all(context, &identity.object_reference, change).await;
    }
    Ok(())
}

/// The condition Ready of a deleted Agent; `None` while nothing is known.
fn progress(ask: Request, tasks: Tasks) -> Option<ConditionUpdate> {
    let (reason, how) = match ask {
        Request::Complete => (Reason::Draining, "each ends after its running turn"),
        Request::Cancel => (Reason::Canceling, "each was cancelled"),
    };
    let what = match tasks {
        Tasks::Unknown => return None,
        Tasks::Running(left) => format!("{left}; {how}"),
        Tasks::Unreachable => {
            "Temporal cannot be reached, so its tasks cannot be ended; the operator tries again until \
                               the deadline of spec.deletion"
                .to_owned()
        }
    };
    Some(ConditionUpdate::not_met(
        ConditionType::Ready,
        reason,
        format!("the Agent is being deleted: {what}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_since_a_deletion_is_never_negative() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let metadata = ObjectMeta {
            deletion_timestamp: Some(Time(at(100))),
            ..ObjectMeta::default()
        };
        assert_eq!(elapsed(&metadata, at(160)), Duration::from_mins(1));
        assert_eq!(elapsed(&metadata, at(40)), Duration::ZERO);
    }

    #[test]
    fn an_agent_does_not_go_while_tasks_are_on_the_workers_that_it_had_before() {
        let running = |counted, more| Tasks::Running(OpenTasks { counted, more });
        let left = |counted| Some(Moving::Left(OpenTasks { counted, more: false }));
        let none = running(0, false);
        assert_eq!(with_moving(none, None), none);
        assert_eq!(with_moving(none, Some(Moving::Moved)), none);
        assert_eq!(with_moving(none, Some(Moving::Unknown)), running(0, true));
        assert_eq!(with_moving(none, left(2)), running(2, false));
        assert_eq!(with_moving(running(1, false), left(2)), running(3, false));
        assert_eq!(
            with_moving(none, left(0)),
            running(0, true),
            "one empty pass is not enough"
        );
        assert_eq!(with_moving(Tasks::Unreachable, left(2)), Tasks::Unreachable);
    }

    #[test]
    fn progress_names_how_many_tasks_are_left_and_how_they_end() {
        let message = |ask, tasks| progress(ask, tasks).map(|ready| (ready.reason, ready.message));
        let running = |counted, more| Tasks::Running(OpenTasks { counted, more });
        assert_eq!(message(Request::Complete, Tasks::Unknown), None);
        let (reason, text) = message(Request::Complete, running(12, false)).unwrap();
        assert_eq!(reason, Reason::Draining);
        assert_eq!(
            text,
            "the Agent is being deleted: 12 tasks are left; each ends after its running turn"
        );
        let (reason, text) = message(Request::Cancel, running(100, true)).unwrap();
        assert_eq!(reason, Reason::Canceling);
        assert!(text.contains("more than 100 tasks are left"), "{text}");
        let (_, text) = message(Request::Cancel, running(1, false)).unwrap();
        assert!(text.contains("1 task is left"), "{text}");
        let (_, text) = message(Request::Cancel, Tasks::Unreachable).unwrap();
        assert!(text.contains("Temporal cannot be reached"), "{text}");
    }
}
