//! Events on an Agent, for people: one for each new revision and for each change
//! of the condition Ready. Nothing depends on them.

use kube::runtime::events::{Event, EventType};
use steadfast_crds::{
    AgentStatus,
    conditions::{ConditionType, Reason},
};

use crate::{
    agents::{apply::RevisionOrigin, context::Context, error::Error, identity::AgentIdentity, status::Reconciled},
    conditions::{find, shorten},
};

/// Reasons of an unfinished rollout, which get no Event; its end gets one.
const ROLLOUT_REASONS: [Reason; 3] = [Reason::NotDeployed, Reason::RollingOut, Reason::WorkersUnavailable];
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
    events.extend(written.and_then(|written| ready_change(previous, written)));
    for event in events {
        let published = context.recorder.publish(&event, &agent.object_reference).await;
        if let Err(error) = published {
            // The status says the same.
            tracing::debug!(
                agent = %agent.key,
                error = &error as &dyn std::error::Error,
                "cannot publish the Event"
            );
        }
    }
}

fn ready_change(previous: Option<&AgentStatus>, written: &AgentStatus) -> Option<Event> {
    let after = find(&written.conditions, ConditionType::Ready)?;
    let before = previous.and_then(|status| find(&status.conditions, ConditionType::Ready));
    let same = before.is_some_and(|before| before.status == after.status && before.reason == after.reason);
    let in_rollout = ROLLOUT_REASONS.iter().any(|reason| reason.as_str() == after.reason);
    if same || in_rollout {
        return None;
    }
    let type_ = if after.status == "True" {
        EventType::Normal
    } else {
        EventType::Warning
    };
    Some(event(type_, &after.reason, after.message.clone()))
}

fn event(type_: EventType, reason: &str, note: String) -> Event {
    Event {
        type_,
        reason: reason.to_owned(),
        note: Some(shorten(note, MAXIMUM_NOTE_BYTES)),
        action: "Reconcile".to_owned(),
        secondary: None,
    }
}
