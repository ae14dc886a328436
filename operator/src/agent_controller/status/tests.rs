#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
use serde_json::{Value, json};

use super::*;
use crate::args::ImagePullPolicy;

fn agent(generation: i64, status: Option<AgentStatus>) -> Agent {
    let mut agent: Agent = serde_json::from_value(json!({
        "apiVersion": "steadfast.dev/v1alpha1",
        "kind": "Agent",
        "metadata": { "name": "weather", "namespace": "team", "uid": "u", "generation": generation },
        "spec": { "instructions": "Answer.", "model": { "name": "m" }, "tools": [{ "tool": "get-weather" }] },
    }))
    .unwrap();
    agent.status = status;
    agent
}

fn settings() -> Settings {
    Settings {
        install_id: "demo".to_owned(),
        worker_image: "worker:1".to_owned(),
        image_pull_policy: ImagePullPolicy::IfNotPresent,
        worker_env: vec![],
        worker_secret_env: vec![],
    }
}

fn deployment(replicas: i32, available: i32) -> Arc<Deployment> {
    let deployment = json!({
        "metadata": { "name": "agent-weather", "generation": 1 },
        "spec": {
            "replicas": replicas,
            "selector": {},
            "template": { "metadata": { "annotations": { CREDENTIALS_HASH_ANNOTATION: "abc" } } },
        },
        "status": {
            "observedGeneration": 1,
            "replicas": replicas,
            "updatedReplicas": replicas,
            "availableReplicas": available,
        },
    });
    Arc::new(serde_json::from_value(deployment).unwrap())
}

fn outcome(problems: Vec<Problem>, revision: Option<i64>, deployment: Option<Arc<Deployment>>) -> Outcome {
    Outcome {
        problems,
        applied: Applied {
            revision,
            deployment,
            ..Applied::default()
        },
        schedules: None,
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Type, value and reason of every condition.
fn conditions(status: &AgentStatus) -> Value {
    status
        .conditions
        .iter()
        .map(|c| json!([c.type_, c.status, c.reason]))
        .collect()
}

fn missing_secret() -> Problem {
    Problem::new(
        ConditionType::CredentialsResolved,
        Reason::SecretNotFound,
        "Secret \"openai\" does not exist",
    )
}

#[test]
fn an_agent_with_available_workers_is_ready() {
    let status = build(
        &agent(3, None),
        &outcome(vec![], Some(2), Some(deployment(1, 1))),
        &[],
        &settings(),
        at(9),
    );
    assert_eq!(
        conditions(&status),
        json!([
            ["Accepted", "True", "Valid"],
            ["ReferencesResolved", "True", "Resolved"],
            ["CredentialsResolved", "True", "Resolved"],
            ["WorkersAvailable", "True", "Available"],
            ["Ready", "True", "AllConditionsMet"],
        ])
    );
    let without_conditions = AgentStatus {
        conditions: vec![],
        ..status
    };
    assert_eq!(
        serde_json::to_value(without_conditions).unwrap(),
        json!({
            "observedGeneration": 3,
            "revision": 2,
            "taskQueue": "demo/team/agent/weather",
            "tools": 1,
            "workers": { "desired": 1, "updated": 1, "available": 1, "ready": "1/1" },
            "credentialsHash": "abc",
        })
    );
}

#[test]
fn what_a_person_must_mend_is_stalled_and_what_moves_is_reconciling() {
    let stalled = build(
        &agent(1, None),
        &outcome(vec![missing_secret()], Some(1), None),
        &[],
        &settings(),
        at(9),
    );
    assert_eq!(
        conditions(&stalled),
        json!([
            ["Accepted", "True", "Valid"],
            ["ReferencesResolved", "True", "Resolved"],
            ["CredentialsResolved", "False", "SecretNotFound"],
            ["WorkersAvailable", "False", "NotDeployed"],
            ["Ready", "False", "SecretNotFound"],
            ["Stalled", "True", "SecretNotFound"],
        ])
    );
    let moving = build(
        &agent(1, None),
        &outcome(vec![], Some(1), Some(deployment(1, 0))),
        &[],
        &settings(),
        at(9),
    );
    assert_eq!(
        conditions(&moving).as_array().unwrap()[3..],
        [
            json!(["WorkersAvailable", "False", "WorkersUnavailable"]),
            json!(["Ready", "False", "WorkersUnavailable"]),
            json!(["Reconciling", "True", "WorkersUnavailable"]),
        ]
    );
}

#[test]
fn a_second_look_at_the_same_things_gives_the_same_status() {
    let seen = outcome(vec![missing_secret()], Some(1), Some(deployment(2, 1)));
    let first = build(&agent(1, None), &seen, &[], &settings(), at(9));
    let second = build(&agent(1, Some(first.clone())), &seen, &[], &settings(), at(99));
    assert_eq!(second, first);
}

#[test]
fn zero_replicas_are_ready_and_say_so() {
    let status = build(
        &agent(1, None),
        &outcome(vec![], Some(1), Some(deployment(0, 0))),
        &[],
        &settings(),
        at(9),
    );
    let ready = find(&status.conditions, ConditionType::Ready).unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("True", "ScaledToZero"));
}

#[test]
fn the_revision_never_goes_back() {
    let before = AgentStatus {
        revision: Some(7),
        ..AgentStatus::default()
    };
    let status = build(
        &agent(1, Some(before)),
        &outcome(vec![], None, None),
        &[],
        &settings(),
        at(9),
    );
    assert_eq!(status.revision, Some(7));
}

fn failure() -> Error {
    let source = kube::Error::Service("connection refused".into());
    Error::Apply(crate::agent_controller::apply::Error::Apply {
        kind: "Deployment",
        name: "agent-weather".into(),
        source,
    })
}

#[test]
fn a_failed_request_leaves_a_ready_agent_ready_and_tells_of_it() {
    let ready = build(
        &agent(1, None),
        &outcome(vec![], Some(1), Some(deployment(1, 1))),
        &[],
        &settings(),
        at(9),
    );
    let status = build_failed(&agent(1, Some(ready)), &failure(), at(99));
    let conditions = conditions(&status);
    assert_eq!(conditions[4], json!(["Ready", "True", "AllConditionsMet"]));
    assert_eq!(conditions[5], json!(["Reconciling", "True", "ApiError"]));
    let reconciling = find(&status.conditions, ConditionType::Reconciling).unwrap();
    assert_eq!(
        reconciling.message,
        "apply what belongs to the Agent: apply Deployment agent-weather: ServiceError: connection refused: connection refused"
    );
}

#[test]
fn a_failed_request_makes_an_edited_agent_not_ready() {
    let ready = build(
        &agent(1, None),
        &outcome(vec![], Some(1), Some(deployment(1, 1))),
        &[],
        &settings(),
        at(9),
    );
    let status = build_failed(&agent(2, Some(ready)), &failure(), at(99));
    let ready = find(&status.conditions, ConditionType::Ready).unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "ApiError"));
    assert_eq!(status.observed_generation, Some(1));
}

#[test]
fn a_status_is_at_most_4_kib_whatever_there_is_to_tell() {
    let long = "\"\u{1}".repeat(5000);
    let all = [
        ConditionType::Accepted,
        ConditionType::ReferencesResolved,
        ConditionType::CredentialsResolved,
        ConditionType::WorkersAvailable,
    ];
    let problems = all
        .into_iter()
        .map(|c| Problem::new(c, Reason::SecretNotFound, long.clone()))
        .collect();
    let status = build(
        &agent(1, None),
        &outcome(problems, Some(1), Some(deployment(1, 1))),
        &[],
        &settings(),
        at(9),
    );
    let failed = build_failed(&agent(2, Some(status.clone())), &failure(), at(99));
    for status in [status, failed] {
        let bytes = serde_json::to_vec(&status).unwrap().len();
        assert!(bytes <= MAXIMUM_STATUS_BYTES, "{bytes} bytes");
    }
}

#[test]
fn an_agent_whose_schedules_are_not_synced_is_as_ready_as_it_was() {
    let mut seen = outcome(vec![], Some(1), Some(deployment(1, 1)));
    seen.schedules = Some(Finding::fails(
        ConditionType::SchedulesSynced,
        Reason::TemporalUnavailable,
        "later",
    ));
    let status = build(&agent(1, None), &seen, &[], &settings(), at(9));
    assert_eq!(
        conditions(&status).as_array().unwrap()[4..],
        [
            json!(["Ready", "True", "AllConditionsMet"]),
            json!(["SchedulesSynced", "False", "TemporalUnavailable"]),
        ]
    );
}
