//! The documented examples, applied as they are, each in a namespace of its own,
//! with the fake model that answers from the example's own fixtures.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use steadfast_crds::names::AGENT_LABEL;
use steadfast_events::TurnStatus;
use steadfast_testkit::install::{self, Example};
use steadfast_testkit::stack::{Client, Line, PATIENCE, Task};
use steadfast_testkit::{FakeModel, FakeModelOptions, wait};

use crate::namespace::{API_KEY, Namespace};

/// For the pods of several examples to start at once.
const PODS_PATIENCE: Duration = Duration::from_mins(3);
/// The keys of the specialists in `handoffs`, beside `API_KEY` of everybody else.
const BILLING_KEY: &str = "sk-of-billing-alone";
const SPANISH_KEY: &str = "sk-of-spanish-support-alone";

/// The token of the invoice service, which billing alone has.
const TOKEN: &str = "example-invoices-token-change-me";

/// An example that is applied, and whose agents are Ready.
struct Stage {
    namespace: Namespace,
    client: Client,
    /// Answers until it is dropped.
    _model: FakeModel,
}

impl Stage {
    async fn set(namespace: Namespace, name: &str) -> anyhow::Result<Self> {
        let example = Example::named(name)?;
        let platform = namespace.platform();
        let model = platform.fake_model(FakeModelOptions::new(example.fixtures())).await?;
        install::apply_example(platform, namespace.name(), name).await?;
        // The one thing that is not as in the example: where the model is. The keys come
        // last, so that no agent is Ready before.
        let elsewhere = json!({"model": {"baseUrl": model.base_url()}});
        for agent in example.agents {
            namespace.patch_agent(agent, &elsewhere).await?;
        }
        install::set_model_keys(platform, namespace.name(), API_KEY).await?;
        for (secret, key) in [("billing-openai", BILLING_KEY), ("spanish-support-openai", SPANISH_KEY)] {
            install::set_model_key_in(platform, namespace.name(), secret, key).await?;
        }
        example
            .wait_until_ready(platform, namespace.name(), PODS_PATIENCE)
            .await?;
        let first = example.agents.first().context("an example has an agent")?;
        let client = namespace.approver(first).await?;
        Ok(Self {
            namespace,
            client,
            _model: model,
        })
    }

    async fn task(&self, agent: &str) -> anyhow::Result<Task> {
        self.client.task(&self.namespace.public_name(agent)).await
    }

    /// One message in a conversation of its own; what is seen of it when its turn is completed.
    async fn ask(&self, agent: &str, message: &str) -> Vec<Line> {
        let task = self.task(agent).await.unwrap();
        let ended = task.turn(1, message).await.unwrap();
        assert_eq!(ended.status, TurnStatus::Completed, "{message}: {ended:?}");
        task.lines().await.unwrap()
    }

    /// Waits for the task to ask somebody, decides, and gives what was asked.
    async fn decide(&self, task: &Task, decision: &str, reason: &str) -> anyhow::Result<Value> {
        let path = format!("/approvals?task_id={}", task.id());
        let asked = wait::until("an approval", PATIENCE, async || {
            let waiting = self.client.get(&path).await?.ok()?;
            waiting.get(0).cloned().context("nothing waits for a person")
        })
        .await?;
        let id = asked["id"].as_str().context("an approval has an id")?;
        let body = json!({"reason": reason}).to_string();
        let answer = self.client.post(&format!("/approvals/{id}/{decision}"), body).await?;
        anyhow::ensure!(
            answer.status == 200 || answer.status == 202,
            "the decision was refused: {answer:?}"
        );
        Ok(asked)
    }
}

/// The content and the fate of the only answer of a tool among these.
fn answer_of<'a>(tool: &str, lines: &'a [Line]) -> (&'a Value, bool) {
    let mut answers = lines.iter().filter_map(|line| match line {
        Line::ToolResponse {
            name,
            content,
            is_error,
        } if name == tool => Some((content, *is_error)),
        _ => None,
    });
    let answer = answers.next().expect("the tool has answered");
    assert_eq!(answers.next(), None, "{tool} has answered twice");
    answer
}

fn failed(name: &str, content: &Value) -> Line {
    Line::ToolResponse {
        name: name.to_owned(),
        content: content.clone(),
        is_error: true,
    }
}

pub async fn haiku_answers(namespace: Namespace) {
    let stage = Stage::set(namespace, "haiku").await.unwrap();
    let poem = "A call meets itself,\nsmaller in the mirror's depth,\nthen the long way home.";
    assert_eq!(
        stage.ask("haiku", "Tell me about recursion.").await,
        [Line::user("Tell me about recursion."), Line::agent(poem)]
    );
}

pub async fn http_tool_refunds_once(namespace: Namespace) {
    const REFUND: &str = "Two cups arrived broken, please refund order 1003.";
    let stage = Stage::set(namespace, "http-tool").await.unwrap();
    let order = json!({"order_id": "1002", "item": "kettle", "price_eur": 55, "status": "in transit"});
    assert_eq!(
        stage.ask("order-desk", "Where is my order 1002?").await,
        [
            Line::user("Where is my order 1002?"),
            Line::request("find_order", json!({"order_id": "1002"})),
            Line::response("find_order", order),
            Line::agent("Order 1002 is a kettle for 55 €, and it is in transit."),
        ]
    );
    // The service's first answer is lost; the second attempt carries the same key.
    let lines = stage.ask("order-desk", REFUND).await;
    let (refund, is_error) = answer_of("refund_order", &lines);
    assert_eq!((&refund["refund_id"], is_error), (&json!("R-1"), false));
    let log = stage.namespace.kubectl(&["logs", "deployment/orders"]).await.unwrap();
    let refunds: Vec<&str> = log.lines().filter(|line| line.starts_with("refund R-1 ")).collect();
    assert!(refunds.len() == 2 && refunds[1].ends_with(" repeated"), "{log}");
}

pub async fn money_is_moved_or_the_withdrawal_is_undone_and_the_ledger_has_each_effect_once(namespace: Namespace) {
    const MOVE: &str = "Move 50 from checking to savings.";
    const MOVE_TO_CLOSED: &str = "Move 20 from checking to the account closed.";
    let stage = Stage::set(namespace, "move-money").await.unwrap();

    let lines = stage.ask("bank", MOVE).await;
    let (content, is_error) = answer_of("move_money", &lines);
    assert!(!is_error && content["completed"] == true, "{content}");
    assert_eq!(content["steps"]["deposit"]["account"], "savings");
    let asked = |to: &str, amount: u32| json!({"from_account": "checking", "to_account": to, "amount": amount});
    assert_eq!(
        lines,
        [
            Line::user(MOVE),
            Line::request("move_money", asked("savings", 50)),
            Line::response("move_money", content.clone()),
            Line::agent("Done: 50 € went from checking to savings."),
        ]
    );

    let lines = stage.ask("bank", MOVE_TO_CLOSED).await;
    let (content, _) = answer_of("move_money", &lines);
    assert_eq!(
        (
            &content["completed"],
            &content["failed_step"],
            &content["undone"],
            &content["not_undone"]
        ),
        (&json!(false), &json!("deposit"), &json!(["withdraw"]), &json!([]))
    );
    assert_eq!(
        lines,
        [
            Line::user(MOVE_TO_CLOSED),
            Line::request("move_money", asked("closed", 20)),
            failed("move_money", content),
            Line::agent("That did not work: the account is closed. The 20 € are back in your checking account."),
        ]
    );

    // What happened is what the ledger says, not what anyone tells of it.
    let log = stage.namespace.kubectl(&["logs", "deployment/ledger"]).await.unwrap();
    let effects: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let moved: Vec<Value> = effects
        .iter()
        .map(|effect| json!([effect["kind"], effect["account"], effect["amount"]]))
        .collect();
    assert_eq!(
        moved,
        [
            json!(["withdraw", "checking", 50]),
            json!(["deposit", "savings", 50]),
            json!(["withdraw", "checking", 20]),
            json!(["deposit", "checking", 20]),
        ]
    );
    let keys: BTreeSet<&str> = effects.iter().filter_map(|effect| effect["key"].as_str()).collect();
    assert!(keys.len() == 4 && !keys.contains(""), "{effects:?}");
}

pub async fn what_needs_a_person_waits_for_one(namespace: Namespace) {
    const ORDER: &str = "Order two kettles.";
    const CLOSE: &str = "Close the account at the stationery supplier.";
    let stage = Stage::set(namespace, "human-in-the-loop").await.unwrap();
    let arguments = json!({"item": "kettle", "quantity": 2});

    // Both wait at once.
    let approved = stage.task("purchasing").await.unwrap();
    let rejected = stage.task("purchasing").await.unwrap();
    approved.send(ORDER).await.unwrap();
    rejected.send(ORDER).await.unwrap();
    let asked = stage.decide(&approved, "approve", "").await.unwrap();
    assert_eq!(
        (&asked["tool"], &asked["arguments"]),
        (&json!("place_order"), &arguments)
    );
    stage.decide(&rejected, "reject", "we have enough").await.unwrap();

    assert_eq!(approved.turn_ended(1).await.unwrap().status, TurnStatus::Completed);
    let lines = approved.lines().await.unwrap();
    let (order, _) = answer_of("place_order", &lines);
    assert!(
        order["order_id"].as_str().is_some_and(|id| id.starts_with("O-")),
        "{order}"
    );
    assert_eq!(
        lines,
        [
            Line::user(ORDER),
            Line::request("place_order", arguments.clone()),
            Line::response("place_order", order.clone()),
            Line::agent("Two kettles are ordered."),
        ]
    );

    assert_eq!(rejected.turn_ended(1).await.unwrap().status, TurnStatus::Completed);
    let lines = rejected.lines().await.unwrap();
    let (refusal, is_error) = answer_of("place_order", &lines);
    assert!(is_error && refusal.to_string().contains("we have enough"), "{refusal}");
    assert_eq!(
        lines.last(),
        Some(&Line::agent("I did not order them: it was refused."))
    );

    let task = stage.task("purchasing").await.unwrap();
    task.send(CLOSE).await.unwrap();
    let asked = stage.decide(&task, "reject", "not now").await.unwrap();
    assert_eq!(asked["prompt"], "The purchasing desk asks whether to go ahead.");
    assert_eq!(task.turn_ended(1).await.unwrap().status, TurnStatus::Completed);
    let lines = task.lines().await.unwrap();
    let (said, _) = answer_of("wait_for_confirmation", &lines);
    assert_eq!(
        (&said["decision"], &said["reason"]),
        (&json!("rejected"), &json!("not now"))
    );
    assert_eq!(lines.last(), Some(&Line::agent("Then the account stays open.")));
    // One of three calls has run.
    let log = stage
        .namespace
        .kubectl(&["logs", "deployment/purchasing-tools"])
        .await
        .unwrap();
    assert_eq!(log.matches("ordered").count(), 1, "{log}");
}

pub async fn handoffs_reach_specialists_whose_keys_are_in_their_own_pods_only(namespace: Namespace) {
    let stage = Stage::set(namespace, "handoffs").await.unwrap();
    let invoice = json!({"invoice_id": "2001", "amount_eur": 120, "status": "open", "due": "2026-12-01"});
    let task = stage.task("triage").await.unwrap();
    let ended = task.turn(1, "When is invoice 2001 due?").await.unwrap();
    assert_eq!(ended.status, TurnStatus::Completed, "{ended:?}");
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
        stage.ask("triage", "Hola").await,
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
        for pod in pods_of(&stage.namespace, agent).await.unwrap() {
            let environment = environment_of(&stage.namespace, &pod).await.unwrap();
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
    // It answers nobody but who has its token, and was asked once.
    let log = stage.namespace.kubectl(&["logs", "deployment/invoices"]).await.unwrap();
    assert_eq!(log.trim(), "GET /invoices/2001 200");

    let billing = workers_of(&stage.namespace, "billing").await.unwrap();
    let triage = workers_of(&stage.namespace, "triage").await.unwrap();
    let models = who_ran(&stage.namespace, &task, "invoke_model_activity").await.unwrap();
    assert_eq!(models.len(), 3, "{models:?}");
    assert!(triage.contains(&models[0]), "{models:?} by {triage:?}");
    assert!(
        models[1..].iter().all(|worker| billing.contains(worker)),
        "{models:?} by {billing:?}"
    );
    let tools = who_ran(&stage.namespace, &task, "call_http_tool").await.unwrap();
    assert_eq!(tools.len(), 1, "{tools:?}");
    assert!(billing.contains(&tools[0]), "{tools:?} by {billing:?}");
}

/// The identities in Temporal of an agent's workers: the agent, and how the pod's name ends.
async fn workers_of(namespace: &Namespace, agent: &str) -> anyhow::Result<BTreeSet<String>> {
    let pods = pods_of(namespace, agent).await?;
    pods.iter()
        .map(|pod| {
            let name = pod.name_any();
            let (_, end) = name
                .rsplit_once('-')
                .context("a pod of a Deployment has a name of parts")?;
            Ok(format!("{agent}-{end}"))
        })
        .collect()
}

/// The identity of the worker of each activity of a type that has ended, by the history of the task.
async fn who_ran(namespace: &Namespace, task: &Task, activity: &str) -> anyhow::Result<Vec<String>> {
    let events = namespace.platform().temporal().history(task.id(), None).await?;
    let scheduled: BTreeSet<&str> = events
        .iter()
        .filter(|event| event["activityTaskScheduledEventAttributes"]["activityType"]["name"] == activity)
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

async fn pods_of(namespace: &Namespace, agent: &str) -> anyhow::Result<Vec<Pod>> {
    let pods: Api<Pod> = Api::namespaced(namespace.platform().client(), namespace.name());
    let selected = ListParams::default().labels(&format!("{AGENT_LABEL}={agent}"));
    let pods = pods.list(&selected).await?.items;
    anyhow::ensure!(!pods.is_empty(), "the agent {agent} has no pods");
    Ok(pods)
}

/// The environment that a worker was started with.
async fn environment_of(namespace: &Namespace, pod: &Pod) -> anyhow::Result<String> {
    let process = namespace
        .platform()
        .container_process(namespace.name(), &pod.name_any(), "worker")
        .await?;
    let path = format!("/proc/{}/environ", process.id());
    let environment = std::fs::read(&path).with_context(|| format!("read {path}"))?;
    Ok(String::from_utf8_lossy(&environment).into_owned())
}

pub async fn research_asks_an_agent_that_asks_an_mcp_server(namespace: Namespace) {
    const QUESTION: &str = "Write a note about Chicago today.";
    let stage = Stage::set(namespace, "research").await.unwrap();
    let task = stage.task("writer").await.unwrap();
    let viewer = task.watch().await.unwrap();
    let ended = task.turn(1, QUESTION).await.unwrap();
    assert_eq!(ended.status, TurnStatus::Completed, "{ended:?}");
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
    // What the researcher did is nested in the log of the task that asked.
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

pub async fn structured_output_is_json_of_the_schema(namespace: Namespace) {
    const TEXT: &str = "Teapots Ltd: two teapots at 39 euros, 78 euros in all.";
    let stage = Stage::set(namespace, "structured-output").await.unwrap();
    let lines = stage.ask("invoice-reader", TEXT).await;
    let [Line::User(_), Line::Agent(answer)] = lines.as_slice() else {
        panic!("there is more than a question and an answer: {lines:#?}");
    };
    assert_eq!(
        serde_json::from_str::<Value>(answer).unwrap(),
        json!({
            "supplier": "Teapots Ltd", "total": 78.0, "currency": "EUR", "due": null,
            "lines": [{"item": "teapot", "quantity": 2, "price": 39.0}],
        })
    );
}

pub async fn guardrails_stop_a_turn_and_say_why(namespace: Namespace) {
    let stage = Stage::set(namespace, "guardrails").await.unwrap();
    let task = stage.task("concierge").await.unwrap();
    let tripped = async |turn: u32, text: &str| {
        let ended = task.turn(turn, text).await.unwrap();
        assert_eq!(ended.status, TurnStatus::Failed, "{text}");
        let error = ended.error.unwrap();
        assert_eq!(error.category, "guardrail_tripped", "{}", error.message);
        error.message
    };
    let ended = task.turn(1, "When is breakfast?").await.unwrap();
    assert_eq!(ended.status, TurnStatus::Completed, "{ended:?}");
    let judged = tripped(2, "Will you do my tax return?").await;
    assert!(
        judged.contains("topic") && judged.contains("Taxes are no matter for a hotel's concierge."),
        "{judged}"
    );
    assert!(tripped(3, "Whom can I write to?").await.contains("no-addresses"));
    let long = "Breakfast?".repeat(60);
    assert!(tripped(4, &long).await.contains("length"));
    // The answer that was stopped is nowhere, and the conversation goes on.
    let ended = task.turn(5, "And when is breakfast?").await.unwrap();
    assert_eq!(ended.status, TurnStatus::Completed, "{ended:?}");
    assert_eq!(
        task.lines().await.unwrap(),
        [
            Line::user("When is breakfast?"),
            Line::agent("Breakfast is from 7 to 10."),
            Line::user("Will you do my tax return?"),
            Line::user("Whom can I write to?"),
            Line::user(long),
            Line::user("And when is breakfast?"),
            Line::agent("Breakfast is from 7 to 10."),
        ]
    );
}

pub async fn reasoning_is_seen_before_the_answer(namespace: Namespace) {
    const PUZZLE: &str = "A bat and a ball cost 1.10. The bat costs 1 more than the ball. What does the ball cost?";
    let stage = Stage::set(namespace, "reasoning").await.unwrap();
    let lines = stage.ask("puzzler", PUZZLE).await;
    assert_eq!(
        lines,
        [
            Line::user(PUZZLE),
            Line::Reasoning(vec![
                "Let the ball cost x. The bat costs x + 1, so 2x + 1 = 1.10 and x = 0.05.".to_owned()
            ]),
            Line::agent("The ball costs 5 cents."),
        ]
    );
}

pub async fn a_tool_in_rust_runs_in_the_agents_own_worker(namespace: Namespace) {
    let stage = Stage::set(namespace, "rust-tool").await.unwrap();
    let lines = stage.ask("dice", "Roll two dice.").await;
    let (roll, is_error) = answer_of("roll_dice", &lines);
    let shown: Vec<u64> = serde_json::from_value(roll["dice"].clone()).unwrap();
    assert!(!is_error && shown.len() == 2, "{roll}");
    assert_eq!(roll["sum"], shown.iter().sum::<u64>());
    assert_eq!(lines[1], Line::request("roll_dice", json!({"count": 2, "sides": 6})));
}
