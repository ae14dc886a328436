//! Examples with several agents: handoffs, and an agent as a tool.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde_json::json;
use steadfast_contract::activity_kind::ActivityKind;
use steadfast_e2e::backend::cluster::{namespace::Namespace, pods};
use steadfast_testkit::stack::{API_KEY, Line, Task};

use super::{BILLING_KEY, RunningExample, SPANISH_KEY};

/// The token of the invoice service. Only billing has it.
const TOKEN: &str = "example-invoices-token-change-me";

pub(crate) async fn handoffs_reach_specialists_whose_keys_are_only_in_their_own_pods(namespace: Namespace) {
    let example = RunningExample::start(namespace, "handoffs").await.unwrap();
    let invoice = json!({"invoice_id": "2001", "amount_eur": 120, "status": "open", "due": "2026-12-01"});
    let task = example.task("triage").await.unwrap();
    task.complete_turn(1, "When is invoice 2001 due?").await.unwrap();
    assert_eq!(
        task.lines().await.unwrap(),
        [
            Line::user("When is invoice 2001 due?"),
            Line::agent("Handoff from triage to billing"),
            Line::request("find_invoice", json!({"invoice_id": "2001"})),
            Line::response("find_invoice", invoice),
            Line::agent("Invoice 2001 is over 120 € and due on 1 December."),
        ]
    );
    assert_eq!(
        example.ask("triage", "Hola").await,
        [
            Line::user("Hola"),
            Line::agent("Handoff from triage to spanish-support"),
            Line::agent("¡Hola! ¿En qué puedo ayudarle?"),
        ]
    );

    let secrets = [API_KEY, BILLING_KEY, SPANISH_KEY, TOKEN];
    let mut known = BTreeMap::new();
    for agent in ["triage", "billing", "spanish-support"] {
        let mut here = BTreeSet::new();
        for pod in pods::list(&example.namespace, agent).await.unwrap() {
            let environment = environment_of(&example.namespace, &pod).await.unwrap();
            here.extend(secrets.into_iter().filter(|secret| environment.contains(secret)));
        }
        known.insert(agent, here);
    }
    assert_eq!(
        known,
        BTreeMap::from([
            ("triage", BTreeSet::from([API_KEY])),
            ("billing", BTreeSet::from([BILLING_KEY, TOKEN])),
            ("spanish-support", BTreeSet::from([SPANISH_KEY])),
        ])
    );
    // The invoice service got one request, with its token.
    let log = example.log("invoices").await;
    assert_eq!(log.trim(), "GET /invoices/2001 200");

    let billing = workers_of(&example.namespace, "billing").await.unwrap();
    let triage = workers_of(&example.namespace, "triage").await.unwrap();
    let models = who_ran(&example.namespace, &task, ActivityKind::InvokeModel)
        .await
        .unwrap();
    assert_eq!(models.len(), 3, "{models:?}");
    assert!(triage.contains(&models[0]), "{models:?} by {triage:?}");
    assert!(
        models[1..].iter().all(|worker| billing.contains(worker)),
        "{models:?} by {billing:?}"
    );
    let tools = who_ran(&example.namespace, &task, ActivityKind::CallHttpTool)
        .await
        .unwrap();
    assert_eq!(tools.len(), 1, "{tools:?}");
    assert!(billing.contains(&tools[0]), "{tools:?} by {billing:?}");
}

/// The Temporal identities of an agent's workers: the agent's name and the last part of the pod's name.
async fn workers_of(namespace: &Namespace, agent: &str) -> anyhow::Result<BTreeSet<String>> {
    let pods = pods::list(namespace, agent).await?;
    pods.iter()
        .map(|pod| {
            let name = pod.name_any();
            let (_, end) = name.rsplit_once('-').context("find the last part of a pod's name")?;
            Ok(format!("{agent}-{end}"))
        })
        .collect()
}

/// The identities of the workers that have started activities of this type, from the task's history.
async fn who_ran(namespace: &Namespace, task: &Task, activity: ActivityKind) -> anyhow::Result<Vec<String>> {
    let events = namespace.platform().temporal().history(task.id(), None).await?;
    let scheduled: BTreeSet<&str> = events
        .iter()
        .filter(|event| event["activityTaskScheduledEventAttributes"]["activityType"]["name"] == activity.type_name())
        .filter_map(|event| event["eventId"].as_str())
        .collect();
    let started = events.iter().map(|event| &event["activityTaskStartedEventAttributes"]);
    Ok(started
        .filter(|started| {
            started["scheduledEventId"]
                .as_str()
                .is_some_and(|id| scheduled.contains(id))
        })
        .filter_map(|started| started["identity"].as_str().map(str::to_owned))
        .collect())
}

/// The environment that a worker was started with.
async fn environment_of(namespace: &Namespace, pod: &Pod) -> anyhow::Result<String> {
    let process = pods::worker_process(namespace, pod).await?;
    let path = format!("/proc/{}/environ", process.id());
    let environment = std::fs::read(&path).with_context(|| format!("read {path}"))?;
    Ok(String::from_utf8_lossy(&environment).into_owned())
}

pub(crate) async fn research_calls_an_agent_that_calls_an_mcp_server(namespace: Namespace) {
    const QUESTION: &str = "Write a note about Chicago today.";
    let example = RunningExample::start(namespace, "research").await.unwrap();
    let task = example.task("writer").await.unwrap();
    let viewer = task.watch().await.unwrap();
    task.complete_turn(1, QUESTION).await.unwrap();
    assert_eq!(
        task.lines().await.unwrap(),
        [
            Line::user(QUESTION),
            Line::request(
                "ask_researcher",
                json!({"input": "What is the weather like in Chicago?"})
            ),
            Line::response(
                "ask_researcher",
                json!("In Chicago it is 36 degrees with light rain or drizzle, at 82 % humidity.")
            ),
            Line::agent("Chicago greets you with 36 degrees and a light drizzle: a raincoat will do."),
        ]
    );
    // The researcher's events are nested in the log of the writer's task.
    let called = viewer
        .find("the nested call", |seen| {
            let ended = seen.frames.iter().find(|frame| {
                frame.kind == "tool_ended" && frame.data["name"] == "look_up_weather" && frame.data["path"].is_string()
            });
            ended.map(|frame| frame.data.clone())
        })
        .await
        .unwrap();
    assert_ne!(called["path"], "");
    assert_ne!(called["is_error"], true, "{called}");
}
