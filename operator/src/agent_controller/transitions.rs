//! Tells people, by Events on the Agent, what just changed. One Event per
//! change; none while nothing does.

use kube::{
    Resource as _,
    runtime::events::{Event, EventType},
};
use steadfast_crds::{
    Agent, AgentStatus,
    conditions::{ConditionType, Reason},
};

use crate::{
    agent_controller::{Error, apply::RevisionMade, context::Context, status::Outcome},
    conditions::{find, shorten},
};

/// Being under way is no news; how it ends is.
const UNDER_WAY: [Reason; 3] = [Reason::NotDeployed, Reason::RollingOut, Reason::WorkersUnavailable];
/// The API server refuses longer notes.
const MAXIMUM_NOTE_BYTES: usize = 1000;

/// Publishes what changed; `status` is the one just written, if any was.
pub async fn announce(context: &Context, agent: &Agent, result: &Result<Outcome, Error>, status: Option<AgentStatus>) {
    let mut events = Vec::new();
    if let Ok(outcome) = result
        && outcome.applied.revision_made == RevisionMade::JustNow
    {
        let revision = outcome.applied.revision.unwrap_or_default();
        events.push(event(
            EventType::Normal,
            "RevisionCreated",
            format!("revision {revision} is current"),
        ));
    }
    events.extend(status.and_then(|status| ready_change(agent, &status)));
    for event in events {
        let published = context.recorder.publish(&event, &agent.object_ref(&())).await;
        if let Err(error) = published {
            // The status tells the same; nothing depends on the Event.
            tracing::debug!(error = &error as &dyn std::error::Error, "an Event was not published");
        }
    }
}

fn ready_change(agent: &Agent, status: &AgentStatus) -> Option<Event> {
    let after = find(&status.conditions, ConditionType::Ready)?;
    let before = agent
        .status
        .as_ref()
        .and_then(|status| find(&status.conditions, ConditionType::Ready));
    let same = before.is_some_and(|before| before.status == after.status && before.reason == after.reason);
    let under_way = UNDER_WAY.iter().any(|reason| reason.as_str() == after.reason);
    if same || under_way {
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
