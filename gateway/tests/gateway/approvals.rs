//! Approvals against a real Temporal: a workflow that nobody runs asks, as the
//! task's memo says, and what is decided reaches it as a signal.

use axum::http::StatusCode;
use serde_json::{Value, json};
use steadfast_contract::{
    signals::{Decide, SIGNAL_DECIDE},
    start::{StartTask, WORKFLOW_TYPE},
    visibility::{MEMO_AGENT, MEMO_APPROVALS, MEMO_CREATOR, SEARCH_PENDING_APPROVALS},
};
use steadfast_events::{Approval, Decision, EventKind, Verdict};
use steadfast_gateway::{Access, KubernetesAccess, SelfApproval, StartRequest, Started};
use steadfast_payload::{pack, unpack};
use steadfast_testkit::{ControlPlane, ControlPlaneOptions, NewUser, Redis, Temporal, TemporalOptions, wait};
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;

use super::support::{TIMEOUT, TestGateway, beside, with_redis};

const TASK_QUEUE: &str = "test/default/agent/haiku";

fn asked(task_id: &str, index: u32, requested_at: &str) -> Approval {
    serde_json::from_value(json!({
        "id": format!("{task_id}.1.0.{index}"), "kind": "tool_call", "agent": "haiku", "turn": 1, "tool": "publish",
        "tool_call_id": "c", "arguments": {"lines": 3}, "requested_at": requested_at,
    }))
    .unwrap()
}

/// A task that waits for people; no worker has it.
async fn start_asking(gateway: &TestGateway, task_id: &str, creator: &str, approvals: &[Approval]) {
    let request = StartRequest {
        workflow_id: task_id.to_owned(),
        workflow_type: WORKFLOW_TYPE,
        task_queue: TASK_QUEUE.to_owned(),
        input: pack(&StartTask::new(task_id, "default", "haiku")).unwrap(),
        memo: vec![
            (MEMO_AGENT, pack(&"default/haiku").unwrap()),
            (MEMO_CREATOR, pack(&creator).unwrap()),
            (MEMO_APPROVALS, pack(&approvals).unwrap()),
        ],
    };
    assert_eq!(gateway.temporal.start(request).await.unwrap(), Started::New);
}

/// The decisions that have reached a task.
async fn decisions(gateway: &TestGateway, task_id: &str) -> Vec<Decide> {
    let history = gateway.temporal.history(task_id, "").await.unwrap();
    history
        .into_iter()
        .filter_map(|event| match event.attributes {
            Some(Attributes::WorkflowExecutionSignaledEventAttributes(signaled)) => Some(signaled),
            _ => None,
        })
        .filter(|signaled| signaled.signal_name == SIGNAL_DECIDE)
        .map(|signaled| unpack(&signaled.input.unwrap().payloads[0]).unwrap())
        .collect()
}

fn decided(id: &str, verdict: Verdict, by: &str) -> EventKind {
    EventKind::ApprovalDecided {
        approval_id: id.to_owned(),
        decision: Decision {
            by: by.to_owned(),
            ..Decision::new(verdict)
        },
    }
}

fn ids(answer: &Value) -> Vec<&str> {
    let listed = answer.as_array().unwrap();
    listed.iter().map(|approval| approval["id"].as_str().unwrap()).collect()
}

/// Lists lag behind a little.
async fn listed(gateway: &TestGateway, path: &str, expected: &[&str]) -> Value {
    wait::until(format!("{path} lists {expected:?}"), TIMEOUT, async || {
        let answer = gateway.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        anyhow::ensure!(ids(&answer.body) == expected, "{}", answer.body);
        Ok(answer.body)
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn what_waits_is_listed_oldest_first_with_and_without_the_search_attribute() {
    let redis = Redis::start().await.unwrap();
    let temporal = Temporal::start(TemporalOptions::default()).await.unwrap();
    let gateway = beside(&temporal, &redis, Access::Anonymous, SelfApproval::Allowed);
    let (first, second, third) = (
        asked("t1", 0, "2026-11-23T10:00:00Z"),
        asked("t2", 0, "2026-11-23T11:00:00Z"),
        asked("t1", 1, "2026-11-23T12:00:00Z"),
    );
    start_asking(&gateway, "t1", "", &[third.clone(), first.clone()]).await;
    start_asking(&gateway, "t2", "", std::slice::from_ref(&second)).await;
    start_asking(&gateway, "t3", "", &[]).await;

    let all = [first.id.as_str(), &second.id, &third.id];
    let answer = listed(&gateway, "/approvals", &all).await;
    assert_eq!(
        answer[0],
        json!({
            "id": "t1.1.0.0", "kind": "tool_call", "agent": "haiku", "agent_name": "haiku", "task_id": "t1", "turn": 1,
            "tool": "publish", "tool_call_id": "c", "arguments": {"lines": 3}, "requested_at": "2026-11-23T10:00:00Z",
            "decision": "pending",
        })
    );
    listed(&gateway, "/approvals?task_id=t1", &[&first.id, &third.id]).await;
    listed(&gateway, "/approvals?task_id=nope", &[]).await;
    listed(&gateway, "/approvals?agent_name=haiku", &all).await;
    listed(&gateway, "/approvals?agent_name=poets.haiku", &[]).await;
    listed(&gateway, "/approvals?limit=2&page_number=2", &[&third.id]).await;
    listed(&gateway, "/approvals?older_than=1s", &all).await;
    listed(&gateway, "/approvals?older_than=99999d", &[]).await;
    for bad in ["older_than=soon", "limit=0"] {
        let answer = gateway.get(&format!("/approvals?{bad}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
    }
    assert_eq!(
        gateway.get("/approvals?agent_name=nobody").await.status,
        StatusCode::NOT_FOUND
    );

    // Once the attribute is there, those that have it are found by it.
    let attribute = ["operator", "search-attribute", "create", "--type", "Int", "--name"];
    temporal
        .cli(&[&attribute[..], &[SEARCH_PENDING_APPROVALS]].concat())
        .await
        .unwrap();
    let memo = format!("{MEMO_APPROVALS}={}", json!([asked("t4", 0, "2026-11-23T13:00:00Z")]));
    let arguments = [
        "workflow",
        "start",
        "--type",
        WORKFLOW_TYPE,
        "--task-queue",
        TASK_QUEUE,
        "--workflow-id",
        "t4",
        "--memo",
        "steadfast_agent=\"default/haiku\"",
        "--memo",
        &memo,
        "--search-attribute",
        "SteadfastPendingApprovals=1",
    ];
    // The server takes a moment to know a new attribute.
    wait::until("the attribute can be used", TIMEOUT, || temporal.cli(&arguments))
        .await
        .unwrap();
    listed(&gateway, "/approvals", &["t4.1.0.0"]).await;
}

#[tokio::test]
async fn a_decision_reaches_the_task_once_and_is_answered_with_what_became_of_it() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let (one, other) = (
        asked("decide-1", 0, "2026-11-23T10:00:00Z"),
        asked("decide-1", 1, "2026-11-23T10:00:00Z"),
    );
    start_asking(&gateway, "decide-1", "", &[one.clone(), other.clone()]).await;

    // With no worker up the decision is durable all the same.
    let path = format!("/approvals/{}/approve", one.id);
    let body = json!({"reason": "fine"}).to_string();
    let answer = gateway.post(&path, body.clone()).await;
    assert_eq!(
        (answer.status, answer.body),
        (StatusCode::ACCEPTED, json!({"id": one.id, "decision": "pending"}))
    );
    assert_eq!(gateway.post(&path, body).await.status, StatusCode::ACCEPTED);
    let sent = Decide {
        approval_id: one.id.clone(),
        decision: Decision {
            reason: "fine".to_owned(),
            ..Decision::new(Verdict::Approved)
        },
    };
    assert_eq!(decisions(&gateway, "decide-1").await, [sent]);

    // What the task says of it is the answer.
    let path = format!("/approvals/{}/reject", other.id);
    let says = gateway.append("decide-1", 1, [decided(&other.id, Verdict::Rejected, "")]);
    let (answer, _) = tokio::join!(gateway.post(&path, "{}"), says);
    assert_eq!(
        (answer.status, answer.body),
        (StatusCode::OK, json!({"id": other.id, "decision": "rejected"}))
    );
    let says = gateway.append("decide-1", 2, [decided(&one.id, Verdict::Approved, "alice")]);
    let path = format!("/approvals/{}/reject", one.id);
    let (answer, _) = tokio::join!(gateway.post(&path, "{}"), says);
    assert_eq!(
        (answer.status, answer.body["data"].clone()),
        (
            StatusCode::CONFLICT,
            json!({"id": one.id, "decision": "approved", "by": "alice"})
        )
    );
}

#[tokio::test]
async fn what_waits_no_longer_is_told_as_long_as_the_log_knows_it() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    start_asking(&gateway, "late-1", "", &[]).await;
    let approval = asked("late-1", 0, "2026-11-23T10:00:00Z");
    let requested = EventKind::ApprovalRequested {
        approval: approval.clone(),
    };
    gateway
        .append("late-1", 1, [requested, decided(&approval.id, Verdict::Expired, "")])
        .await;
    let late = gateway.post(&format!("/approvals/{}/approve", approval.id), "{}").await;
    assert_eq!(
        (late.status, &late.body["data"]["decision"]),
        (StatusCode::CONFLICT, &json!("expired"))
    );
    let shown = gateway.get(&format!("/approvals/{}", approval.id)).await;
    assert_eq!(
        (shown.status, &shown.body["decision"], &shown.body["arguments"]),
        (StatusCode::OK, &json!("expired"), &json!({"lines": 3}))
    );
    for unknown in ["late-1.1.0.7", "nobody.1.0.0", "late-1", "x.y"] {
        for path in [
            format!("/approvals/{unknown}/approve"),
            format!("/approvals/{unknown}/reject"),
        ] {
            assert_eq!(gateway.post(&path, "{}").await.status, StatusCode::NOT_FOUND, "{path}");
        }
        let path = format!("/approvals/{unknown}");
        assert_eq!(gateway.get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn an_answer_that_does_not_fit_the_form_reaches_nobody() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let mut approval = asked("form-1", 0, "2026-11-23T10:00:00Z");
    approval.form = json!({"type": "object", "properties": {"size": {"type": "integer"}}, "required": ["size"]});
    start_asking(&gateway, "form-1", "", std::slice::from_ref(&approval)).await;
    let path = format!("/approvals/{}/approve", approval.id);
    for mismatch in [json!({}), json!({"answer": {"size": "three"}})] {
        let answer = gateway.post(&path, mismatch.to_string()).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{answer:?}");
    }
    assert_eq!(decisions(&gateway, "form-1").await, []);
    let answer = gateway.post(&path, json!({"answer": {"size": 3}}).to_string()).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(
        decisions(&gateway, "form-1").await[0].decision.answer,
        json!({"size": 3})
    );
}

#[tokio::test]
async fn deciding_needs_its_own_permission_and_another_person_where_that_is_the_rule() {
    steadfast_process::crypto::install();
    let users = vec![
        NewUser::new("alice", &["approvers"]),
        NewUser::new("bob", &["approvers"]),
        NewUser::new("carol", &["strangers"]),
    ];
    let cluster = ControlPlane::start_with(ControlPlaneOptions { users }).await.unwrap();
    super::access::grant(&cluster, "approvers", &["agents/approvals"]).await;
    let redis = Redis::start().await.unwrap();
    let temporal = Temporal::start(TemporalOptions::default()).await.unwrap();
    let access = Access::Kubernetes(Box::new(KubernetesAccess::new(cluster.client(), Vec::new())));
    let gateway = beside(&temporal, &redis, access, SelfApproval::Forbidden);
    let token = async |name: &str| cluster.user(name).await.unwrap().token;
    let (alice, bob, carol) = (token("alice").await, token("bob").await, token("carol").await);
    let approval = asked("mine", 0, "2026-11-23T10:00:00Z");
    start_asking(&gateway, "mine", "alice", std::slice::from_ref(&approval)).await;

    let path = format!("/approvals/{}", approval.id);
    let approve = format!("{path}/approve");
    assert_eq!(gateway.get_as(&carol, &path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(
        gateway.post_as(&carol, &approve, &json!({})).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        ids(&gateway.get_as(&carol, "/approvals?task_id=mine").await.body),
        [""; 0]
    );
    assert_eq!(
        ids(&gateway.get_as(&bob, "/approvals?task_id=mine").await.body),
        [&approval.id]
    );
    assert_eq!(
        gateway.post_as(&alice, &approve, &json!({})).await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(decisions(&gateway, "mine").await, []);
    // Bob may not see the task, and decides what it asks.
    assert_eq!(gateway.get_as(&bob, "/tasks/mine").await.status, StatusCode::NOT_FOUND);
    assert_eq!(
        gateway.post_as(&bob, &approve, &json!({})).await.status,
        StatusCode::ACCEPTED
    );
    assert_eq!(decisions(&gateway, "mine").await[0].decision.by, "bob");
}
