//! Explains the state of an Agent in one screen. Pure.

use std::fmt::Write as _;

use jiff::Timestamp;
use k8s_openapi::{api::core::v1::Event, apimachinery::pkg::apis::meta::v1::Condition};
use kube::ResourceExt as _;
use steadfast_crds::{Agent, AgentStatus, conditions::ConditionType};

use crate::columns::{self, one_line, span};

const HEADER: [&str; 5] = ["CONDITION", "STATUS", "SINCE", "REASON", "MESSAGE"];
/// The most Events, the newest ones.
const MAX_EVENTS: usize = 5;

/// A sentence, the conditions, and the newest Events.
pub(super) fn explain(agent: &Agent, events: &[Event], now: Timestamp) -> String {
    let status = agent.status.clone().unwrap_or_default();
    let mut text = String::new();
    let namespace = agent.namespace().unwrap_or_default();
    // Writing to a String does not fail.
    let _ = writeln!(
        text,
        "Agent {}: {}",
        one_line(&format!("{namespace}/{}", agent.name_any())),
        verdict(agent, &status)
    );
    if !status.conditions.is_empty() {
        let rows = status.conditions.iter().map(|condition| {
            [
                one_line(&condition.type_),
                one_line(&condition.status),
                span(condition.last_transition_time.0, now),
                one_line(&condition.reason),
                one_line(&condition.message),
            ]
        });
        let _ = write!(text, "\n{}", columns::render(HEADER, rows));
    }
    if let (Some(workers), Some(revision)) = (&status.workers, status.revision) {
        let _ = writeln!(
            text,
            "\nRevision {revision}; {} of {} workers are ready.",
            workers.available, workers.desired
        );
    }
    let newest = newest(events);
    if !newest.is_empty() {
        text.push_str("\nEvents:\n");
        for (time, event) in newest {
            let age = time.map_or_else(|| "?".to_owned(), |time| span(time, now));
            let reason = event.reason.as_deref().unwrap_or_default();
            let message = event.message.as_deref().unwrap_or_default();
            let _ = writeln!(text, "  {age} ago  {}", one_line(&format!("{reason}: {message}")));
        }
    }
    text
}

/// Whether the Agent is ready, and otherwise what to look at first.
fn verdict(agent: &Agent, status: &AgentStatus) -> String {
    if status.conditions.is_empty() {
        return "the operator has not looked at it yet; is the operator running, and does it watch this namespace?"
            .to_owned();
    }
    if status.observed_generation != agent.metadata.generation {
        return "the operator has not looked at the newest edit yet".to_owned();
    }
    let of = |kind: ConditionType| {
        status
            .conditions
            .iter()
            .find(|condition| condition.type_ == kind.as_str())
    };
    let is_true = |condition: &&Condition| condition.status == "True";
    if of(ConditionType::Ready).is_some_and(|ready| is_true(&ready)) {
        return "ready".to_owned();
    }
    // In the order of the stages: a later condition often follows from an earlier one.
    let first = [
        ConditionType::Accepted,
        ConditionType::ReferencesResolved,
        ConditionType::CredentialsResolved,
        ConditionType::WorkersAvailable,
        ConditionType::Ready,
    ]
    .into_iter()
    .find_map(|kind| of(kind).filter(|condition| condition.status == "False"));
    match first {
        Some(condition) => format!("not ready: {}", one_line(&condition.message)),
        None => "not ready yet".to_owned(),
    }
}

fn newest(events: &[Event]) -> Vec<(Option<Timestamp>, &Event)> {
    let mut events: Vec<(Option<Timestamp>, &Event)> = events.iter().map(|event| (time_of(event), event)).collect();
    events.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
    events.truncate(MAX_EVENTS);
    events
}

fn time_of(event: &Event) -> Option<Timestamp> {
    let series = event
        .series
        .as_ref()
        .and_then(|series| series.last_observed_time.as_ref());
    series
        .or(event.event_time.as_ref())
        .map(|time| time.0)
        .or_else(|| event.last_timestamp.as_ref().map(|time| time.0))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastTransitionTime": "2026-11-23T10:00:00Z",
        })
    }

    fn agent(status: &Value) -> Agent {
        serde_json::from_value(json!({
            "apiVersion": "steadfast.dev/v1alpha1", "kind": "Agent",
            "metadata": {"name": "weather", "namespace": "team", "generation": 2},
            "spec": {"instructions": "Answer.", "model": {"name": "m"}},
            "status": status,
        }))
        .unwrap()
    }

    fn explained(status: &Value, events: &[Event]) -> String {
        explain(&agent(status), events, "2026-11-23T10:05:00Z".parse().unwrap())
    }

    #[test]
    fn the_first_condition_that_is_false_is_the_answer() {
        let status = json!({
            "observedGeneration": 2,
            "conditions": [
                condition("Ready", "False", "ActionRequired", "see the other conditions"),
                condition("WorkersAvailable", "False", "NotDeployed", "there are no workers"),
                condition("CredentialsResolved", "False", "SecretNotFound", "Secret \"key\" does not exist"),
                condition("Accepted", "True", "Valid", ""),
            ],
        });
        let text = explained(&status, &[]);
        assert!(
            text.starts_with("Agent team/weather: not ready: Secret \"key\" does not exist\n\nCONDITION"),
            "{text}"
        );
        assert!(
            text.contains("\nWorkersAvailable     False   5m     NotDeployed"),
            "{text}"
        );
    }

    #[test]
    fn an_agent_that_nobody_has_looked_at_says_so() {
        assert!(explained(&json!({}), &[]).starts_with("Agent team/weather: the operator has not looked at it yet"));
        let old = json!({"observedGeneration": 1, "conditions": [condition("Ready", "True", "AllConditionsMet", "")]});
        assert!(explained(&old, &[]).contains("has not looked at the newest edit yet"));
    }

    #[test]
    fn a_ready_agent_shows_its_workers_and_the_newest_events() {
        let status = json!({
            "observedGeneration": 2, "revision": 7,
            "workers": {"desired": 2, "updated": 2, "available": 2, "ready": "2/2"},
            "conditions": [condition("Ready", "True", "AllConditionsMet", "")],
        });
        let event = |minute: u32, message: &str| -> Event {
            serde_json::from_value(json!({
                "metadata": {"name": format!("e{minute}")}, "involvedObject": {}, "reason": "RevisionCreated",
                "message": message, "eventTime": format!("2026-11-23T10:0{minute}:00.000000Z"),
            }))
            .unwrap()
        };
        let text = explained(&status, &[event(1, "first"), event(3, "second")]);
        assert!(text.starts_with("Agent team/weather: ready\n"), "{text}");
        assert!(
            text.ends_with(
                "Revision 7; 2 of 2 workers are ready.\n\nEvents:\n  2m ago  RevisionCreated: second\n  4m ago  \
                 RevisionCreated: first\n"
            ),
            "{text}"
        );
    }
}
