//! What the console asks to explain a task and the fleet: links, and figures of the turns that came through this gateway.

use axum::{body::Body, http::Request};
use serde_json::{Value, json};
use steadfast_events::{
    EventKind, TurnStatus, Usage,
    testing::{message_accepted, model_started, text_delta, text_started, turn_ended},
};
use steadfast_gateway::{Access, CacheAges, KubernetesAccess};
use steadfast_testkit::{Redis, wait};

use super::{
    fake_api_server::{AUDIENCE, FakeApiServer},
    support::{TIMEOUT, TestGateway, guarded, with_redis},
};

const CLIENT_TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn hello(task: &str) -> Value {
    json!({"task_id": task, "content": {"type": "text", "author": "user", "content": "Hello"}})
}

/// A turn as a worker tells it, of 7 input tokens.
fn turn(message: &str) -> [EventKind; 7] {
    [
        message_accepted(message),
        EventKind::TurnStarted {},
        model_started(),
        text_started("a"),
        text_delta("a", "Hi"),
        EventKind::ModelEnded {
            step: 0,
            usage: Usage {
                input_tokens: 7,
                model_calls: 1,
                ..Usage::default()
            },
        },
        turn_ended(TurnStatus::Completed),
    ]
}

/// The figures of an agent, as soon as they show so many turns.
async fn figures_with_turns(gateway: &TestGateway, turns: u64) -> Value {
    wait::until("the turns", TIMEOUT, async || {
        let fleet = gateway.get("/fleet?minutes=720&agent_name=haiku").await.body;
        let agents = fleet["agents"].as_array().unwrap();
        let of_haiku = agents.iter().find(|agent| agent["agent_name"] == "haiku").unwrap();
        anyhow::ensure!(of_haiku["completed"] == turns, "{fleet}");
        Ok(fleet)
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn a_task_is_linked_to_its_workflow_and_to_its_trace() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let task = gateway.create_task().await;
    let about = gateway.get(&format!("/tasks/{task}/observability")).await.body;
    let trace = task.replace('-', "");
    assert_eq!(
        about,
        json!({"links": {
            "temporal": format!("https://temporal.example.com/default/{task}"),
            "trace": format!("https://traces.example.com/{trace}"),
        }})
    );

    let body = json!({"method": "task/create", "params": {}}).to_string();
    let request = Request::post("/agents/name/haiku/rpc")
        .header("traceparent", format!("00-{CLIENT_TRACE}-00f067aa0ba902b7-01"))
        .body(Body::from(body))
        .unwrap();
    let created = gateway.send(request).await.body;
    let traced = created["result"]["id"].as_str().unwrap();
    let about = gateway.get(&format!("/tasks/{traced}/observability")).await.body;
    assert_eq!(
        about["links"]["trace"],
        json!(format!("https://traces.example.com/{CLIENT_TRACE}"))
    );
}

#[tokio::test]
async fn the_turns_of_messages_that_came_through_the_gateway_are_counted_once() {
    let redis = Redis::start().await.unwrap();
    let gateway = with_redis(&redis).await;
    let task = gateway.create_task().await;
    let sent = gateway.rpc("event/send", hello(&task)).await.body;
    let id = sent["result"]["id"].as_str().unwrap();
    let message = id.rsplit_once('.').unwrap().1;
    // Whoever watches too, and what another replica sent, counts nothing.
    let watched = gateway.stream(&format!("/tasks/{task}/stream"), None).await;
    gateway.append(&task, 1, turn(message)).await;
    let fleet = figures_with_turns(&gateway, 1).await;
    gateway.append(&task, 8, turn("of another")).await;
    let second = gateway.rpc("event/send", hello(&task)).await.body;
    let id = second["result"]["id"].as_str().unwrap();
    gateway.append(&task, 15, turn(id.rsplit_once('.').unwrap().1)).await;
    drop(watched);

    let interval = &fleet["intervals"][0];
    assert_eq!(
        (&interval["completed"], &interval["input_tokens"]),
        (&json!(1), &json!(7))
    );
    assert!(interval["turn_seconds"]["p95"].is_number(), "{fleet}");
    assert!(interval["first_token_seconds"]["p50"].is_number(), "{fleet}");
    let fleet = figures_with_turns(&gateway, 2).await;
    let namespaces = fleet["namespaces"].as_array().unwrap();
    let of = |name: &str| namespaces.iter().find(|each| each["namespace"] == name).unwrap();
    assert_eq!(
        (&of("default")["completed"], &of("poets")["completed"]),
        (&json!(2), &json!(0))
    );
    assert_eq!(fleet["uncounted_messages"], 0);
}

#[tokio::test]
async fn the_fleet_has_the_agents_that_the_caller_may_see_and_no_others() {
    steadfast_process::crypto::install();
    let server = FakeApiServer::default();
    server.grant("viewers", "poets", "agents", &["get", "list"]);
    server.add_token("victor", "victor", &["viewers"], AUDIENCE);
    let access = KubernetesAccess::with_ages(server.client(), vec![AUDIENCE.to_owned()], CacheAges::default());
    let redis = Redis::start().await.unwrap();
    let gateway = guarded(Access::Kubernetes(Box::new(access)), &redis).await;
    for path in ["/fleet", "/fleet?namespace=default", "/fleet?agent_name=haiku"] {
        let fleet = gateway.get_as("victor", path).await.body;
        let names: Vec<&str> = fleet["agents"]
            .as_array()
            .unwrap()
            .iter()
            .map(|agent| agent["agent_name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["poets.haiku"], "{path}");
        let namespaces = &fleet["namespaces"];
        assert_eq!(namespaces.as_array().unwrap().len(), 1, "{namespaces}");
        assert_eq!(fleet["intervals"], json!([]), "{path}");
    }
    for minutes in ["0", "4", "721", "many"] {
        let answer = gateway.get_as("victor", &format!("/fleet?minutes={minutes}")).await;
        assert!(answer.status.is_client_error(), "{minutes}: {answer:?}");
    }
}
