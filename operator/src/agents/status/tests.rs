use serde_json::{Value, json};
use steadfast_crds::Agent;

use super::*;

fn agent(generation: i64) -> AgentIdentity {
    let agent: Agent = serde_json::from_value(json!({
        "apiVersion": "steadfast.dev/v1alpha1",
        "kind": "Agent",
        "metadata": { "name": "weather", "namespace": "team", "uid": "u", "generation": generation },
        "spec": { "instructions": "Answer.", "model": { "name": "m" } },
    }))
    .unwrap();
    AgentIdentity::of(&agent)
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

fn reconciled(errors: Vec<ValidationError>, revision: Option<i64>, deployment: Option<Arc<Deployment>>) -> Reconciled {
    Reconciled {
        errors,
        tools: 1,
        applied: Applied {
            revision,
            deployment,
            ..Applied::default()
        },
        pool: None,
        schedules: None,
        versions: None,
    }
}

/// The status of generation `generation` at second `second`.
fn status(generation: i64, previous: Option<&AgentStatus>, reconciled: &Reconciled, second: i64) -> AgentStatus {
    let task_queue = agent(generation).task_queue("demo");
    build(&agent(generation), previous, reconciled, task_queue, &[], at(second))
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Type, status and reason of every condition.
fn conditions(status: &AgentStatus) -> Value {
    status
        .conditions
        .iter()
        .map(|c| json!([c.type_, c.status, c.reason]))
        .collect()
}

fn missing_secret() -> ValidationError {
    ValidationError::new(
        ConditionType::CredentialsResolved,
        Reason::SecretNotFound,
        "Secret \"openai\" does not exist",
    )
}

#[test]
fn an_agent_with_available_workers_is_ready() {
    let status = status(3, None, &reconciled(vec![], Some(2), Some(deployment(1, 1))), 9);
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
fn an_error_that_a_person_must_mend_is_stalled_and_a_rollout_is_reconciling() {
    let stalled = status(1, None, &reconciled(vec![missing_secret()], Some(1), None), 9);
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
    let rollout = status(1, None, &reconciled(vec![], Some(1), Some(deployment(1, 0))), 9);
    assert_eq!(
        conditions(&rollout).as_array().unwrap()[3..],
        [
            json!(["WorkersAvailable", "False", "WorkersUnavailable"]),
            json!(["Ready", "False", "WorkersUnavailable"]),
            json!(["Reconciling", "True", "WorkersUnavailable"]),
        ]
    );
}

#[test]
fn a_second_reconciliation_without_a_change_builds_the_same_status() {
    let reconciled = reconciled(vec![missing_secret()], Some(1), Some(deployment(2, 1)));
    let first = status(1, None, &reconciled, 9);
    let second = status(1, Some(&first), &reconciled, 99);
    assert_eq!(second, first);
}

#[test]
fn an_agent_with_zero_replicas_is_ready_with_the_reason_scaled_to_zero() {
    let status = status(1, None, &reconciled(vec![], Some(1), Some(deployment(0, 0))), 9);
    let ready = find(&status.conditions, ConditionType::Ready).unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("True", "ScaledToZero"));
}

#[test]
fn the_revision_never_decreases() {
    let before = AgentStatus {
        revision: Some(7),
        ..AgentStatus::default()
    };
    let status = status(1, Some(&before), &reconciled(vec![], None, None), 9);
    assert_eq!(status.revision, Some(7));
}

fn failure() -> Error {
    let source = kube::Error::Service("connection refused".into());
    Error::Apply(crate::agents::apply::Error::Apply {
        kind: "Deployment",
        name: "agent-weather".into(),
        source,
    })
}

#[test]
fn a_failed_request_leaves_a_ready_agent_ready_and_is_reported() {
    let ready = status(1, None, &reconciled(vec![], Some(1), Some(deployment(1, 1))), 9);
    let status = build_failed(&agent(1), Some(&ready), &failure(), at(99));
    let conditions = conditions(&status);
    assert_eq!(conditions[4], json!(["Ready", "True", "AllConditionsMet"]));
    assert_eq!(conditions[5], json!(["Reconciling", "True", "ApiError"]));
    let reconciling = find(&status.conditions, ConditionType::Reconciling).unwrap();
    assert_eq!(
        reconciling.message,
        "apply its objects: apply Deployment agent-weather: ServiceError: connection refused"
    );
}

#[test]
fn a_failed_request_makes_an_edited_agent_not_ready() {
    let ready = status(1, None, &reconciled(vec![], Some(1), Some(deployment(1, 1))), 9);
    let status = build_failed(&agent(2), Some(&ready), &failure(), at(99));
    let ready = find(&status.conditions, ConditionType::Ready).unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "ApiError"));
    assert_eq!(status.observed_generation, Some(1));
}

#[test]
fn a_status_with_long_messages_has_at_most_4_kib() {
    let long = "\"\u{1}".repeat(5000);
    let all = [
        ConditionType::Accepted,
        ConditionType::ReferencesResolved,
        ConditionType::CredentialsResolved,
        ConditionType::WorkersAvailable,
    ];
    let errors = all
        .into_iter()
        .map(|condition| ValidationError::new(condition, Reason::SecretNotFound, long.clone()))
        .collect();
    let status = status(1, None, &reconciled(errors, Some(1), Some(deployment(1, 1))), 9);
    let failed = build_failed(&agent(2), Some(&status), &failure(), at(99));
    for status in [status, failed] {
        let bytes = serde_json::to_vec(&status).unwrap().len();
        assert!(bytes <= MAXIMUM_STATUS_BYTES, "{bytes} bytes");
    }
}

#[test]
fn an_agent_whose_schedules_are_not_synced_stays_ready() {
    let mut reconciled = reconciled(vec![], Some(1), Some(deployment(1, 1)));
    reconciled.schedules = Some(ConditionUpdate::not_met(
        ConditionType::SchedulesSynced,
        Reason::TemporalUnavailable,
        "later",
    ));
    let status = status(1, None, &reconciled, 9);
    assert_eq!(
        conditions(&status).as_array().unwrap()[4..],
        [
            json!(["Ready", "True", "AllConditionsMet"]),
            json!(["SchedulesSynced", "False", "TemporalUnavailable"]),
        ]
    );
}

#[test]
fn a_status_knows_the_task_queues_of_the_homes_before() {
    let at_home = |previous: Option<&AgentStatus>, pool: &str| {
        let queue = format!("demo/team/pool/{pool}");
        build(
            &agent(1),
            previous,
            &reconciled(vec![], Some(1), None),
            queue,
            &[],
            at(0),
        )
    };
    let first = at_home(None, "a");
    assert_eq!(first.former_task_queues, [] as [&str; 0]);
    assert_eq!(at_home(Some(&first), "a").former_task_queues, [] as [&str; 0]);
    let second = at_home(Some(&first), "b");
    assert_eq!(second.former_task_queues, ["demo/team/pool/a"]);
    let back = at_home(Some(&second), "a");
    assert_eq!(back.former_task_queues, ["demo/team/pool/b"]);
    let many = ["c", "d", "e", "f"]
        .iter()
        .fold(back, |status, pool| at_home(Some(&status), pool));
    let expected = ["e", "d", "c", "a"].map(|pool| format!("demo/team/pool/{pool}"));
    assert_eq!(many.former_task_queues, expected);
}
