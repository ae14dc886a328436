//! Approvals against a real Temporal: a workflow that nobody runs asks, as the
//! task's memo says, and what is decided reaches it as a signal.

use axum::http::StatusCode;
use serde_json::{Value, json};
use steadfast_contract::{
    approvals::Approvals,
    signals::{Decide, SIGNAL_DECIDE},
    start::{StartTask, WORKFLOW_TYPE},
    state::DurableState,
    visibility::{MEMO_AGENT, MEMO_APPROVALS, MEMO_CREATOR, SEARCH_PENDING_APPROVALS},
};
use steadfast_crds::agent_tool::OnTimeout;
use steadfast_events::{Approval, Decision, EventKind, Verdict};
use steadfast_gateway::{Access, KubernetesAccess, SelfApproval, StartRequest, Started};
use steadfast_payload::{pack, unpack};
use steadfast_testkit::{ControlPlane, ControlPlaneOptions, NewUser, Redis, Temporal, TemporalOptions, wait};
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;

use super::support::{TIMEOUT, TestGateway, beside, with_redis};

const TASK_QUEUE: &str = "test/default/agent/haiku";

fn asked(task_id: &str, index: u32, requested_at: &str) -> Approval {
    serde_json::from_value(json!({
        "id": format!("{task_id}.run.1.0.{index}"), "kind": "tool_call", "agent": "haiku", "turn": 1, "tool": "publish",
        "tool_call_id": "c", "arguments": {"lines": 3}, "requested_at": requested_at,
    }))
    .unwrap()
}

/// A task that waits for people; no worker has it.
async fn start_asking(gateway: &TestGateway, task_id: &str, creator: &str, approvals: &[Approval]) {
    let start = StartTask::new(task_id, "default", "haiku");
    start_with_memo(gateway, start, creator, approvals).await;
}

async fn start_with_memo(gateway: &TestGateway, start: StartTask, creator: &str, approvals: &[Approval]) {
    let request = StartRequest {
        workflow_id: start.task_id.clone(),
        workflow_type: WORKFLOW_TYPE,
        task_queue: TASK_QUEUE.to_owned(),
        input: pack(&start).unwrap(),
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
            "id": "t1.run.1.0.0", "kind": "tool_call", "agent": "haiku", "agent_name": "haiku", "task_id": "t1", "turn": 1,
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
    listed(&gateway, "/approvals", &["t4.run.1.0.0"]).await;
    let before = calls_to_temporal(&gateway);
    listed(&gateway, "/approvals", &["t4.run.1.0.0"]).await;
    assert_eq!(calls_to_temporal(&gateway) - before, 1, "a list is one call");
}

fn calls_to_temporal(gateway: &TestGateway) -> u64 {
    let metrics = gateway.metrics();
    let counts = metrics
        .lines()
        .filter(|line| line.starts_with("steadfast_gateway_temporal_call_seconds_count"));
    counts
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum()
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
    let sent = &decisions(&gateway, "decide-1").await[..];
    let [
        Decide {
            approval_id,
            decision,
            decided_at: Some(_),
        },
    ] = sent
    else {
        panic!("{sent:#?}")
    };
    let expected = Decision {
        reason: "fine".to_owned(),
        ..Decision::new(Verdict::Approved)
    };
    assert_eq!((approval_id, decision), (&one.id, &expected));

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
    for unknown in ["late-1.run.1.0.7", "nobody.run.1.0.0", "late-1", "x.y"] {
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
async fn a_decision_after_the_expiry_is_refused_although_no_worker_has_noticed_the_expiry() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let mut approval = asked("expired-1", 0, "2026-11-23T10:00:00Z");
    approval.expires_at = Some(jiff::Timestamp::now());
    start_asking(&gateway, "expired-1", "", std::slice::from_ref(&approval)).await;
    for action in ["approve", "reject"] {
        let late = gateway
            .post(&format!("/approvals/{}/{action}", approval.id), "{}")
            .await;
        assert_eq!(
            (late.status, &late.body["data"]["decision"]),
            (StatusCode::CONFLICT, &json!("expired"))
        );
    }
    assert_eq!(decisions(&gateway, "expired-1").await, []);
    listed(&gateway, "/approvals?task_id=expired-1", &[]).await;
    let shown = gateway.get(&format!("/approvals/{}", approval.id)).await;
    assert_eq!(shown.body["decision"], "expired");
}

#[tokio::test]
async fn cut_arguments_are_read_whole_from_the_history_or_nobody_can_approve_them() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let mut whole = asked("long-1", 0, "2026-11-23T10:00:00Z");
    whole.arguments = json!({"note": "x".repeat(2_000), "amount": 120});
    let mut approvals = Approvals::default();
    approvals.open(whole.clone(), OnTimeout::Reject);
    let cut = approvals.memo();
    let state = DurableState {
        approvals,
        ..DurableState::default()
    };
    let mut start = StartTask::new("long-1", "default", "haiku");
    start.state = Some(Box::new(state));
    start_with_memo(&gateway, start, "", &cut).await;

    // The log has expired.
    let list = listed(&gateway, "/approvals?task_id=long-1", &[&whole.id]).await;
    assert_eq!(list[0]["arguments_truncated"], true);
    let path = format!("/approvals/{}", whole.id);
    let shown = gateway.get(&path).await.body;
    assert_eq!(
        (&shown["arguments"], &shown["arguments_truncated"]),
        (&whole.arguments, &Value::Null)
    );
    let answer = gateway.post(&format!("{path}/approve"), "{}").await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");

    // Nothing has them whole.
    let incomplete = Approval {
        id: "long-2.run.1.0.0".to_owned(),
        ..cut[0].clone()
    };
    start_asking(&gateway, "long-2", "", std::slice::from_ref(&incomplete)).await;
    let path = format!("/approvals/{}", incomplete.id);
    assert_eq!(gateway.get(&path).await.body["arguments_truncated"], true);
    let refused = gateway.post(&format!("{path}/approve"), "{}").await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{refused:?}");
    let message = refused.body["message"].as_str().unwrap_or_default();
    assert!(message.contains("are cut"), "{refused:?}");
    assert_eq!(decisions(&gateway, "long-2").await, []);
    let rejected = gateway.post(&format!("{path}/reject"), "{}").await;
    assert_eq!(rejected.status, StatusCode::ACCEPTED, "{rejected:?}");
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

    // In a task of somebody else, alice's message led to the call.
    let mut approval = asked("shared", 0, "2026-11-23T10:00:00Z");
    approval.requester = "alice".to_owned();
    start_asking(&gateway, "shared", "dave", std::slice::from_ref(&approval)).await;
    let approve = format!("/approvals/{}/approve", approval.id);
    let refused = gateway.post_as(&alice, &approve, &json!({})).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{refused:?}");
    assert_eq!(
        gateway.post_as(&bob, &approve, &json!({})).await.status,
        StatusCode::ACCEPTED
    );
}
