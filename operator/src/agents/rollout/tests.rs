#![allow(clippy::needless_pass_by_value, reason = "tests")]
use serde_json::{Value, json};

use super::*;

/// A Deployment of `desired` pods at generation 2; counts are total, updated, available.
fn deployment(desired: i32, observed: i64, counts: [i32; 3], conditions: Value) -> Deployment {
    serde_json::from_value(json!({
        "metadata": { "name": "agent-weather", "generation": 2 },
        "spec": { "replicas": desired, "selector": {}, "template": {} },
        "status": {
            "observedGeneration": observed,
            "replicas": counts[0],
            "updatedReplicas": counts[1],
            "availableReplicas": counts[2],
            "conditions": conditions,
        },
    }))
    .unwrap()
}

fn pod(container: Value) -> Arc<Pod> {
    let mut status = json!({ "name": "worker", "image": "worker:2", "imageID": "", "ready": false, "restartCount": 0 });
    status
        .as_object_mut()
        .unwrap()
        .extend(container.as_object().unwrap().clone());
    let pod = json!({ "metadata": { "name": "p" }, "status": { "containerStatuses": [status] } });
    Arc::new(serde_json::from_value(pod).unwrap())
}

fn assessed(deployment: Option<&Deployment>, pods: &[Arc<Pod>]) -> (&'static str, Reason, Progress, String) {
    let RolloutStatus {
        condition, progress, ..
    } = assess(deployment, pods);
    (condition.status.as_str(), condition.reason, progress, condition.message)
}

fn stuck() -> Value {
    json!([{ "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded" }])
}

#[test]
fn workers_are_available_only_when_the_newest_template_is_fully_rolled_out() {
    let done = deployment(2, 2, [2, 2, 2], json!([]));
    assert_eq!(
        assessed(Some(&done), &[]),
        (
            "True",
            Reason::Available,
            Progress::Complete,
            "2 workers are available".to_owned()
        )
    );
    for (observed, counts) in [(1, [2, 2, 2]), (2, [3, 2, 2]), (2, [3, 1, 2])] {
        let rolling = deployment(2, observed, counts, json!([]));
        let (status, reason, progress, _) = assessed(Some(&rolling), &[]);
        assert_eq!(
            (status, reason, progress),
            ("False", Reason::RollingOut, Progress::Progressing),
            "{counts:?}"
        );
    }
    let one_died = deployment(2, 2, [2, 2, 1], json!([]));
    assert_eq!(
        assessed(Some(&one_died), &[]),
        (
            "False",
            Reason::WorkersUnavailable,
            Progress::Progressing,
            "1 of 2 workers are available".to_owned()
        )
    );
}

#[test]
fn the_counts_are_those_of_the_deployment() {
    let counts = assess(Some(&deployment(3, 2, [4, 1, 3], json!([]))), &[]).counts;
    let expected = WorkersStatus {
        desired: 3,
        updated: 1,
        available: 3,
        ready: "3/3".to_owned(),
    };
    assert_eq!(counts, Some(expected));
}

#[test]
fn a_missing_deployment_and_zero_replicas_have_reasons_of_their_own() {
    let (status, reason, ..) = assessed(None, &[]);
    assert_eq!((status, reason), ("False", Reason::NotDeployed));
    let (status, reason, progress, _) = assessed(Some(&deployment(0, 2, [0, 0, 0], json!([]))), &[]);
    assert_eq!(
        (status, reason, progress),
        ("True", Reason::ScaledToZero, Progress::Complete)
    );
}

#[test]
fn the_message_about_an_image_that_cannot_be_pulled_never_changes() {
    let rolling = deployment(1, 2, [2, 1, 1], json!([]));
    let waiting = |reason: &str| pod(json!({ "state": { "waiting": { "reason": reason, "message": "changes" } } }));
    let expected = (
        "False",
        Reason::ImagePullFailed,
        Progress::Progressing,
        "image \"worker:2\" cannot be pulled (ImagePullBackOff)".to_owned(),
    );
    assert_eq!(assessed(Some(&rolling), &[waiting("ErrImagePull")]), expected);
    assert_eq!(assessed(Some(&rolling), &[waiting("ImagePullBackOff")]), expected);
    let (_, reason, _, message) = assessed(Some(&rolling), &[waiting("ErrImageNeverPull")]);
    assert_eq!(reason, Reason::ImagePullFailed);
    assert_eq!(
        message,
        "image \"worker:2\" is not on the node and may not be pulled (ErrImageNeverPull)"
    );
}

#[test]
fn a_crash_loop_is_reported_between_two_crashes_too() {
    let rolling = deployment(1, 2, [1, 1, 0], json!([]));
    let last = json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled" } });
    let expected = "the worker exits soon after its start: exit code 137 (OOMKilled); see its log";
    let waits = pod(json!({
        "restartCount": 3, "lastState": last, "state": { "waiting": { "reason": "CrashLoopBackOff" } },
    }));
    let runs = pod(json!({ "restartCount": 4, "lastState": last, "state": { "running": {} } }));
    for crashed in [waits, runs] {
        let (_, reason, _, message) = assessed(Some(&rolling), &[crashed]);
        assert_eq!((reason, message.as_str()), (Reason::CrashLoop, expected));
    }
}

#[test]
fn a_pod_that_is_being_deleted_is_ignored() {
    let mut leaving = Arc::unwrap_or_clone(pod(json!({
        "state": { "waiting": { "reason": "ImagePullBackOff" } },
    })));
    leaving.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
    let (_, reason, ..) = assessed(Some(&deployment(1, 2, [2, 1, 1], json!([]))), &[Arc::new(leaving)]);
    assert_eq!(reason, Reason::RollingOut);
}

#[test]
fn a_pod_that_is_refused_or_cannot_be_scheduled_is_reported_with_the_cause() {
    let refused = json!([{ "type": "ReplicaFailure", "status": "True", "message": "exceeded quota" }]);
    let (_, reason, _, message) = assessed(Some(&deployment(1, 2, [0, 0, 0], refused)), &[]);
    assert_eq!(
        (reason, message.as_str()),
        (Reason::PodsNotCreated, "pods are refused: exceeded quota")
    );

    let unscheduled: Pod = serde_json::from_value(json!({
        "metadata": { "name": "p" },
        "status": { "conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no memory",
        }] },
    }))
    .unwrap();
    let (_, reason, _, message) = assessed(Some(&deployment(1, 2, [1, 1, 0], json!([]))), &[Arc::new(unscheduled)]);
    assert_eq!(
        (reason, message.as_str()),
        (Reason::Unschedulable, "no node can run a worker: no memory")
    );
}

#[test]
fn a_rollout_past_its_deadline_is_stuck() {
    let (_, reason, progress, _) = assessed(Some(&deployment(1, 2, [2, 1, 1], stuck())), &[]);
    assert_eq!((reason, progress), (Reason::RolloutStuck, Progress::Stuck));
}
