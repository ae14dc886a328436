//! One worker process that serves many agents.

use serde_json::json;
use steadfast_contract::start::StartTask;
use steadfast_crds::{agent::HandoffInput, agent_revision::RevisionHandoff, names::pool_task_queue};
use steadfast_e2e::{backend::stack::shared_stack, scripts::hold};
use steadfast_testkit::{
    scripted_model::{Gate, Reply},
    stack::{AgentSetup, INSTALL, Line, NAMESPACE},
};

use crate::whose_queue::refused_start;

/// An agent without a worker of its own.
fn beside(setup: AgentSetup, pool: &str) -> AgentSetup {
    setup.on_pool(pool).workers(0)
}

#[tokio::test]
async fn two_agents_on_one_worker_answer_each_with_its_own_model_and_instructions() {
    let stack = shared_stack().await;
    let first = AgentSetup::new("pool-haiku", |_| Reply::text("Old pond."))
        .on_pool("two")
        .configure(|spec| spec.instructions = "Write haiku.".to_owned());
    let first = stack.agent(first).await.unwrap();
    let one = first.task().await.unwrap();
    one.complete_turn(1, "A pond?").await.unwrap();

    // It comes while the worker runs, which nobody restarts.
    let second = AgentSetup::new("pool-prose", |_| Reply::text("It was a dark pond."))
        .configure(|spec| spec.instructions = "Write prose.".to_owned());
    let second = stack.agent(beside(second, "two")).await.unwrap();
    let two = second.task().await.unwrap();
    two.complete_turn(1, "A pond?").await.unwrap();
    one.complete_turn(2, "Again?").await.unwrap();

    assert_eq!(one.lines().await.unwrap().last(), Some(&Line::agent("Old pond.")));
    assert_eq!(
        two.lines().await.unwrap().last(),
        Some(&Line::agent("It was a dark pond."))
    );
    let instructions = |agent: &steadfast_testkit::stack::Agent| {
        let calls = agent.model().journal();
        calls
            .iter()
            .map(|call| call.request.instructions().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(instructions(&first), ["Write haiku.", "Write haiku."]);
    assert_eq!(instructions(&second), ["Write prose."]);
    let page = first.worker().admin("metrics").await.unwrap();
    for agent in ["pool-haiku", "pool-prose"] {
        assert!(page.contains(&format!("agent=\"{agent}\"")), "{agent}: {page}");
    }
    // An edit of one of them, with the same worker.
    second
        .edit(|spec| spec.instructions = "Write verse.".to_owned())
        .unwrap();
    two.complete_turn(2, "Again?").await.unwrap();
    assert_eq!(instructions(&second).last().map(String::as_str), Some("Write verse."));
}

#[tokio::test]
async fn an_agent_whose_model_hangs_or_which_is_deleted_stops_no_other_on_its_pool() {
    let stack = shared_stack().await;
    let good = AgentSetup::new("pool-good", |_| Reply::text("Here I am.")).on_pool("bad-neighbours");
    let good = stack.agent(good).await.unwrap();
    let gate = Gate::closed();
    let hanging = AgentSetup::new("pool-hanging", hold("Wait", &gate));
    let hanging = stack.agent(beside(hanging, "bad-neighbours")).await.unwrap();
    let gone = AgentSetup::new("pool-gone", |_| Reply::text("Bye."));
    let gone = stack.agent(beside(gone, "bad-neighbours")).await.unwrap();
    let waiting = hanging.task().await.unwrap();
    let orphan = gone.task().await.unwrap();
    waiting.send("Anybody?").await.unwrap();
    orphan.complete_turn(1, "Hello.").await.unwrap();
    gone.delete().await.unwrap();

    let task = good.task().await.unwrap();
    for turn in 1..=3 {
        task.complete_turn(turn, "Hello?").await.unwrap();
    }
    gate.open();
    waiting.turn_completed(1).await.unwrap();
}

#[tokio::test]
async fn a_conversation_is_handed_off_within_a_pool() {
    let stack = shared_stack().await;
    let queue = pool_task_queue(INSTALL, NAMESPACE, "handoff");
    let handoff = RevisionHandoff {
        name: "transfer_to_pool_billing".to_owned(),
        agent: "pool-billing".to_owned(),
        namespace: None,
        description: "Hands over.".to_owned(),
        task_queue: queue,
        input: HandoffInput::All,
    };
    let triage = AgentSetup::new("pool-triage", |_| Reply::call("transfer_to_pool_billing", &json!({})))
        .on_pool("handoff")
        .configure(|spec| spec.handoffs = vec![handoff]);
    let triage = stack.agent(triage).await.unwrap();
    let billing = AgentSetup::new("pool-billing", |_| Reply::text("You owe nothing."));
    let billing = stack.agent(beside(billing, "handoff")).await.unwrap();
    let task = triage.task().await.unwrap();
    task.complete_turn(1, "My bill?").await.unwrap();
    assert_eq!(
        task.lines().await.unwrap().last(),
        Some(&Line::agent("You owe nothing."))
    );
    assert_eq!(billing.model().journal().len(), 1);
}

/// Whoever reaches the task queue can start a workflow on it.
#[tokio::test]
async fn the_worker_of_a_pool_refuses_tasks_of_other_namespaces() {
    let stack = shared_stack().await;
    let agent = AgentSetup::new("pool-guarded", |_| Reply::text("Yes.")).on_pool("guarded");
    let agent = stack.agent(agent).await.unwrap();
    let start = StartTask::new("pool-foreign", "payments", "pool-guarded");
    let queue = pool_task_queue(INSTALL, NAMESPACE, "guarded");
    let end = refused_start(stack, &queue, &start).await;
    assert!(end.contains("does not serve"), "{end}");
    agent.task().await.unwrap().complete_turn(1, "And mine?").await.unwrap();
}
