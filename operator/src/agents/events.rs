//! Events on an Agent or a WorkerPool, for people: one for each new revision, for each change of the condition Ready, and
//! for what a deleted Agent leaves. Nothing depends on them.

use k8s_openapi::{api::core::v1::ObjectReference, apimachinery::pkg::apis::meta::v1::Condition};
use kube::runtime::events::{Event, EventType};
use steadfast_crds::{
    AgentStatus,
    conditions::{ConditionType, Reason},
};

use crate::{
    agents::{apply::RevisionOrigin, context::Context, error::Error, identity::AgentIdentity, status::Reconciled},
    conditions::{find, shorten},
    deletion::plan::Outcome,
};

/// Reasons of an unfinished rollout, which get no Event; its end gets one.
const ROLLOUT_REASONS: [Reason; 3] = [Reason::NotDeployed, Reason::RollingOut, Reason::WorkersUnavailable];
/// Reasons why an Agent is not Ready that somebody has asked for.
const EXPECTED_REASONS: [Reason; 2] = [Reason::Draining, Reason::Canceling];
/// The API server refuses longer notes.
const MAXIMUM_NOTE_BYTES: usize = 1000;

/// Publishes the Events of one reconciliation. `written` is the status, if it changed.
pub(crate) async fn publish(
    context: &Context,
    agent: &AgentIdentity,
    previous: Option<&AgentStatus>,
    result: &Result<Reconciled, Error>,
    written: Option<&AgentStatus>,
) {
    let mut events = Vec::new();
    if let Ok(reconciled) = result
        && reconciled.applied.revision_origin == RevisionOrigin::New
    {
        let revision = reconciled.applied.revision.unwrap_or_default();
        events.push(event(
            EventType::Normal,
            "RevisionCreated",
            format!("revision {revision} is current"),
        ));
    }
    let before = previous.map(|status| status.conditions.as_slice()).unwrap_or_default();
    events.extend(written.and_then(|written| ready_change(before, &written.conditions)));
    publish_all(context, &agent.object_reference, events).await;
}

/// Publishes what became of the tasks of an Agent that goes.
pub(crate) async fn publish_release(context: &Context, agent: &AgentIdentity, outcome: Outcome, task_queue: &str) {
    let (reason, note) = describe_release(outcome, task_queue);
    let type_ = match outcome {
        Outcome::Kept | Outcome::Ended => EventType::Normal,
        Outcome::Left(_) | Outcome::Unknown => EventType::Warning,
    };
    publish_all(context, &agent.object_reference, [event(type_, reason, note)]).await;
}

/// Publishes that an Agent has begun to move to other workers.
pub(crate) async fn publish_moving(context: &Context, agent: &AgentIdentity, pool: Option<&str>) {
    let to = pool.map_or_else(
        || "workers of its own".to_owned(),
        |pool| format!("WorkerPool \"{pool}\""),
    );
    let note = format!("its tasks move to {to}; the workers before stay until none is left on them");
    let moving = event(EventType::Normal, "Moving", note);
    publish_all(context, &agent.object_reference, [moving]).await;
}

/// Publishes that no task of an Agent is left on the workers that it had before.
pub(crate) async fn publish_moved(context: &Context, agent: &AgentIdentity) {
    let note = "no task is left on the workers that it had before".to_owned();
    let moved = event(EventType::Normal, "Moved", note);
    publish_all(context, &agent.object_reference, [moved]).await;
}

/// Publishes Events on one object.
pub(crate) async fn publish_all(
    context: &Context,
    object: &ObjectReference,
    events: impl IntoIterator<Item = Event> + Send,
) {
    for event in events.into_iter().collect::<Vec<_>>() {
        crate::kube::events::publish(&context.client, &event, object).await;
    }
}

/// The Event of a change of the condition Ready.
pub(crate) fn ready_change(before: &[Condition], written: &[Condition]) -> Option<Event> {
    let after = find(written, ConditionType::Ready)?;
    let before = find(before, ConditionType::Ready);
    let same = before.is_some_and(|before| before.status == after.status && before.reason == after.reason);
    let in_rollout = ROLLOUT_REASONS.iter().any(|reason| reason.as_str() == after.reason);
    if same || in_rollout {
        return None;
    }
    let is_asked_for = EXPECTED_REASONS.iter().any(|reason| reason.as_str() == after.reason);
    let type_ = if after.status == "True" || is_asked_for {
        EventType::Normal
    } else {
        EventType::Warning
    };
    Some(event(type_, &after.reason, after.message.clone()))
}

/// One Event.
pub(crate) fn event(type_: EventType, reason: &str, note: String) -> Event {
    Event {
        type_,
        reason: reason.to_owned(),
        note: Some(shorten(note, MAXIMUM_NOTE_BYTES)),
        action: "Reconcile".to_owned(),
        secondary: None,
    }
}

/// What people are told of the tasks when the Agent goes.
fn describe_release(outcome: Outcome, task_queue: &str) -> (&'static str, String) {
    match outcome {
        Outcome::Kept => (
            "TasksKept",
            "its tasks are left as they are: they go on when an Agent of this name is created again".to_owned(),
        ),
        Outcome::Ended => ("TasksEnded", "all of its tasks have ended".to_owned()),
        Outcome::Left(left) => (
            "TasksLeft",
            format!(
                "{left} in Temporal, on the task queue {task_queue}: they were asked to end, and do so when an Agent of \
                 this name is created again; `temporal workflow terminate` ends them now"
            ),
        ),
        Outcome::Unknown => (
            "TasksUnknown",
            format!(
                "Temporal could not be reached until the deadline: what runs on the task queue {task_queue} is left as \
                 it is"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

    use super::*;

    fn ready(status: &str, reason: Reason, message: &str) -> Vec<Condition> {
        vec![Condition {
            type_: ConditionType::Ready.to_string(),
            status: status.to_owned(),
            reason: reason.to_string(),
            message: message.to_owned(),
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
            observed_generation: None,
        }]
    }

    /// Type and reason of the Event for a change from one condition to another.
    fn told(before: &[Condition], after: &[Condition]) -> Option<(EventType, String)> {
        ready_change(before, after).map(|event| (event.type_, event.reason))
    }

    #[test]
    fn a_change_of_ready_is_told_once_and_what_is_under_way_is_not() {
        let missing = ready("False", Reason::SecretNotFound, "a");
        let rolling = ready("False", Reason::RollingOut, "1 of 2");
        let met = ready("True", Reason::AllConditionsMet, "ready");
        let warning = |reason: Reason| Some((EventType::Warning, reason.to_string()));
        let normal = |reason: Reason| Some((EventType::Normal, reason.to_string()));
        assert_eq!(told(&[], &missing), warning(Reason::SecretNotFound));
        assert_eq!(told(&missing, &ready("False", Reason::SecretNotFound, "b")), None);
        let other = ready("False", Reason::ToolNotFound, "a");
        assert_eq!(told(&missing, &other), warning(Reason::ToolNotFound));
        assert_eq!(told(&missing, &rolling), None);
        assert_eq!(told(&rolling, &met), normal(Reason::AllConditionsMet));
        assert_eq!(told(&met, &met), None);
        // Somebody has asked for it.
        let draining = ready("False", Reason::Draining, "2 tasks");
        assert_eq!(told(&met, &draining), normal(Reason::Draining));
        assert_eq!(told(&draining, &ready("False", Reason::Draining, "1 task")), None);
    }
}
