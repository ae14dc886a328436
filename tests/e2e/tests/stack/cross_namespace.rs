//! Agents of two namespaces in one conversation, as a grant permits it: each works with its own rights.

use serde_json::{Value, json};
use steadfast_crds::{
    agent::HandoffInput,
    agent_revision::{ForeignTool, RevisionAgent, RevisionHandoff},
    names::agent_task_queue,
};
use steadfast_e2e::{backend::stack::shared_stack, scripts::call_then_repeat};
use steadfast_testkit::{
    scripted_model::Reply,
    stack::{AgentSetup, INSTALL, Line, NAMESPACE},
};

/// The other namespace.
const SHOP: &str = "shop";

/// A tool that a person must approve, and that nobody runs.
fn refund(queue: &str) -> Value {
    json!({
        "description": "Pays back.", "parameters": {"type": "object", "properties": {}},
        "activity": {"name": "refund", "taskQueue": queue}, "approval": {"required": true},
    })
}

#[tokio::test]
async fn an_agent_of_another_namespace_answers_as_a_tool_with_its_own_key() {
    let stack = shared_stack().await;
    let desk = AgentSetup::new("xns-desk", |request| {
        Reply::text(format!("In stock: {}", request.last_user_text()))
    })
    .in_namespace(SHOP)
    .variable("OPENAI_API_KEY", "sk-of-the-shop");
    let desk = stack.agent(desk).await.unwrap();
    let asked = RevisionAgent {
        name: "ask_desk".to_owned(),
        agent: "xns-desk".to_owned(),
        namespace: Some(SHOP.to_owned()),
        description: "Knows the stock.".to_owned(),
        task_queue: agent_task_queue(INSTALL, SHOP, "xns-desk"),
        approval: None,
    };
    let buyer = AgentSetup::new("xns-buyer", |request| match request.last_tool_output() {
        None => Reply::call("ask_desk", &json!({"input": "umbrellas"})),
        Some(output) => Reply::text(format!("They say: {output}")),
    })
    .configure(|spec| spec.agents = vec![asked]);
    let buyer = stack.agent(buyer).await.unwrap();
    let task = buyer.task().await.unwrap();
    task.complete_turn(1, "Umbrellas?").await.unwrap();
    let lines = task.lines().await.unwrap();
    assert_eq!(
        lines.last(),
        Some(&Line::agent("They say: In stock: umbrellas")),
        "{lines:#?}"
    );
    let calls = desk.model().journal();
    assert_eq!(calls[0].request.header("authorization"), "Bearer sk-of-the-shop");
}

#[tokio::test]
async fn after_a_handoff_into_another_namespace_its_agents_its_queues_and_its_approvals_count() {
    let stack = shared_stack().await;
    let clerk = AgentSetup::new("xns-clerk", |_| Reply::text("Order 7.")).in_namespace(SHOP);
    let clerk = stack.agent(clerk).await.unwrap();
    // Without a namespace: the other agent's own.
    let asked = RevisionAgent {
        name: "ask_clerk".to_owned(),
        agent: "xns-clerk".to_owned(),
        namespace: None,
        description: "Knows the orders.".to_owned(),
        task_queue: agent_task_queue(INSTALL, SHOP, "xns-clerk"),
        approval: None,
    };
    let billing = AgentSetup::new("xns-billing", |request| match request.number {
        1 => Reply::call("ask_clerk", &json!({"input": "Which order?"})),
        2 => Reply::stream()
            .and_call("refund", &json!({}))
            .and_call("foreign", &json!({})),
        _ => Reply::text("Done."),
    })
    .in_namespace(SHOP)
    .tool("refund", refund(&format!("{INSTALL}/{SHOP}/refunds")))
    .tool(
        "foreign",
        json!({
            "description": "d", "parameters": {"type": "object", "properties": {}},
            "activity": {"name": "pay", "taskQueue": format!("{INSTALL}/{NAMESPACE}/agent/xns-triage")},
        }),
    )
    .configure(|spec| spec.agents = vec![asked]);
    let billing = stack.agent(billing).await.unwrap();
    let handoff = RevisionHandoff {
        name: "transfer_to_billing".to_owned(),
        agent: "xns-billing".to_owned(),
        namespace: Some(SHOP.to_owned()),
        description: "Takes care of bills.".to_owned(),
        task_queue: agent_task_queue(INSTALL, SHOP, "xns-billing"),
        input: HandoffInput::All,
    };
    let triage = AgentSetup::new("xns-triage", |_| Reply::call("transfer_to_billing", &json!({})))
        .configure(|spec| spec.handoffs = vec![handoff]);
    let triage = stack.agent(triage).await.unwrap();
    let task = triage.task().await.unwrap();
    task.send("My money, please.").await.unwrap();
    let approval = task.until_approval_pending().await.unwrap();
    // Whose approval it is decides who may give it.
    assert_eq!(approval["agent_name"], format!("{SHOP}.xns-billing"));
    approval.reject("Too late.").await.unwrap();
    task.turn_completed(1).await.unwrap();
    assert_eq!(task.lines().await.unwrap().last(), Some(&Line::agent("Done.")));
    assert_eq!(clerk.model().journal().len(), 1);
    let calls = billing.model().journal();
    let outputs = calls[2].request.tool_outputs();
    let foreign = outputs.last().unwrap();
    assert!(foreign.contains("belongs to this installation"), "{outputs:?}");
    assert!(!outputs[outputs.len() - 2].contains("belongs to"), "{outputs:?}");
}

#[tokio::test]
async fn a_tool_of_another_namespace_may_name_the_queues_of_its_own_namespace_alone() {
    let of_shop = || {
        Some(ForeignTool {
            namespace: SHOP.to_owned(),
            name: "refund".to_owned(),
        })
    };
    let setup = AgentSetup::new("xns-user", |request| match request.number {
        1 => Reply::stream()
            .and_call("own_queue", &json!({}))
            .and_call("queue_of_the_user", &json!({})),
        _ => Reply::text("I see."),
    })
    .tool("own_queue", refund(&format!("{INSTALL}/{SHOP}/refunds")))
    .tool(
        "queue_of_the_user",
        refund(&format!("{INSTALL}/{NAMESPACE}/agent/xns-user")),
    )
    .configure(move |spec| {
        for tool in &mut spec.tools {
            tool.from = of_shop();
        }
    });
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.send("Try.").await.unwrap();
    // The call of the tool on its own queue waits for a person; the other one was refused at once.
    let approval = task.until_approval_pending().await.unwrap();
    assert_eq!(approval["tool"], "own_queue");
    approval.reject("No.").await.unwrap();
    task.turn_completed(1).await.unwrap();
    let calls = agent.model().journal();
    let outputs = calls[1].request.tool_outputs();
    assert!(outputs[1].contains("belongs to this installation"), "{outputs:?}");
}

#[tokio::test]
async fn agents_of_two_namespaces_that_call_each_other_stop_at_the_depth_limit() {
    let stack = shared_stack().await;
    let asking = |own: &str, other: &'static str, namespace: &'static str| {
        let script = call_then_repeat("ask", json!({"input": "And what do you say?"}));
        AgentSetup::new(own, script).configure(move |spec| {
            spec.agents = vec![RevisionAgent {
                name: "ask".to_owned(),
                agent: other.to_owned(),
                namespace: Some(namespace.to_owned()),
                description: String::new(),
                task_queue: agent_task_queue(INSTALL, namespace, other),
                approval: None,
            }];
        })
    };
    let first = stack.agent(asking("xns-ping", "xns-pong", SHOP)).await.unwrap();
    let second = asking("xns-pong", "xns-ping", NAMESPACE).in_namespace(SHOP);
    let second = stack.agent(second).await.unwrap();
    let task = first.task().await.unwrap();
    task.complete_turn(1, "Begin.").await.unwrap();
    let lines = task.lines().await.unwrap();
    assert!(
        matches!(lines.last(), Some(Line::Agent(text)) if text.contains("more than 8 deep")),
        "{lines:#?}"
    );
    assert_eq!(first.model().journal().len() + second.model().journal().len(), 18);
}
