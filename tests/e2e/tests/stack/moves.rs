//! An agent moves between a pool and workers of its own while its tasks run. The test is the operator: it publishes the
//! revision for the new workers, tells the tasks, and ends the workers before.

use anyhow::ensure;
use serde_json::json;
use steadfast_contract::signals::{AgentMoved, SIGNAL_AGENT_MOVED};
use steadfast_crds::{
    agent::HandoffInput,
    names::{agent_task_queue, pool_task_queue},
};
use steadfast_e2e::{
    backend::stack::{guarded_nonce_tool, shared_stack},
    scripts::call_nonce_then_repeat,
};
use steadfast_testkit::{
    scripted_model::{Gate, Reply, Text},
    stack::{Agent, AgentSetup, INSTALL, Line, NAMESPACE, Stack, TIMEOUT, Task},
    wait,
};

use crate::agents::handoff_to;

fn own_queue(agent: &str) -> String {
    agent_task_queue(INSTALL, NAMESPACE, agent)
}

fn pool_queue(pool: &str) -> String {
    pool_task_queue(INSTALL, NAMESPACE, pool)
}

/// Publishes a revision for the workers on a queue, and tells the tasks.
async fn move_agent(stack: &Stack, agent: &Agent, task_queue: &str, tasks: &[&Task]) {
    agent
        .edit(|spec| {
            task_queue.clone_into(&mut spec.task_queue);
            "Since the move.".clone_into(&mut spec.instructions);
        })
        .unwrap();
    let moved = AgentMoved {
        namespace: NAMESPACE.to_owned(),
        agent: agent.name(),
        task_queue: task_queue.to_owned(),
    };
    let input = serde_json::to_string(&moved).unwrap();
    for task in tasks {
        stack
            .temporal()
            .signal(task.id(), SIGNAL_AGENT_MOVED, Some(&input))
            .await
            .unwrap();
    }
}

/// Waits until the newest run of a task is on this queue.
async fn is_on(stack: &Stack, task: &Task, task_queue: &str) {
    let describe = ["workflow", "describe", "--workflow-id", task.id(), "--output", "json"];
    wait::until(format!("the task to be on {task_queue}"), TIMEOUT, async || {
        let described: serde_json::Value = serde_json::from_str(&stack.temporal().cli(&describe).await?)?;
        let found = &described["workflowExecutionInfo"]["taskQueue"];
        ensure!(*found == task_queue, "it is on {found}");
        Ok(())
    })
    .await
    .unwrap();
}

/// The worker of a pool, with an agent that stays on it.
async fn neighbour(stack: &Stack, pool: &str) -> Agent {
    let name = format!("{pool}-neighbour");
    let setup = AgentSetup::new(&name, |_| Reply::text("I stay.")).on_pool(pool);
    stack.agent(setup).await.unwrap()
}

/// The instructions of each call of the model.
fn instructions(agent: &Agent) -> Vec<String> {
    let calls = agent.model().journal();
    calls
        .iter()
        .map(|call| call.request.instructions().to_owned())
        .collect()
}

fn answers(lines: &[Line]) -> Vec<&Line> {
    lines.iter().filter(|line| matches!(line, Line::Agent(_))).collect()
}

/// Holds the first answer in the middle.
fn held_at_first(name: &str) -> (AgentSetup, Gate) {
    let gate = Gate::closed();
    let held = gate.clone();
    let setup = AgentSetup::new(name, move |request| match request.number {
        1 => Reply::text(Text::words("This takes a while").hold_after(2, &held)),
        _ => Reply::text("Here."),
    });
    (setup, gate)
}

#[tokio::test]
async fn a_turn_in_flight_ends_where_it_began_and_the_task_goes_on_on_the_pool() {
    let stack = shared_stack().await;
    let neighbour = neighbour(stack, "move-in").await;
    let (setup, gate) = held_at_first("moves-in");
    let agent = stack.agent(setup).await.unwrap();
    let (task, idle) = (agent.task().await.unwrap(), agent.task().await.unwrap());
    let before = neighbour.worker().service().process();
    task.send("one").await.unwrap();
    gate.reached(TIMEOUT).await.unwrap();

    move_agent(stack, &agent, &pool_queue("move-in"), &[&task, &idle]).await;
    is_on(stack, &idle, &pool_queue("move-in")).await;
    is_on(stack, &task, &own_queue("moves-in")).await;
    // One message more waits for the running turn.
    task.send("two").await.unwrap();
    gate.open();
    task.turn_completed(1).await.unwrap();
    task.turn_completed(2).await.unwrap();
    is_on(stack, &task, &pool_queue("move-in")).await;
    agent.worker().stop().await.unwrap();
    task.complete_turn(3, "three").await.unwrap();
    idle.complete_turn(1, "Hello?").await.unwrap();

    let expected = [
        Line::user("one"),
        Line::agent("This takes a while"),
        Line::user("two"),
        Line::agent("Here."),
        Line::user("three"),
        Line::agent("Here."),
    ];
    let lines = task.lines().await.unwrap();
    // The second message is shown when it comes, in the middle of the first answer.
    assert_eq!(answers(&lines), answers(&expected), "{lines:#?}");
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    let calls = instructions(&agent);
    assert_eq!(calls.len(), 4, "no call of the model was made twice: {calls:?}");
    assert!(calls[0].starts_with("You are a test."), "{calls:?}");
    assert!(calls[1..].iter().all(|it| it == "Since the move."), "{calls:?}");
    // Nobody else on the pool has noticed.
    assert_eq!(neighbour.worker().service().process(), before);
    let theirs = neighbour.task().await.unwrap();
    theirs.complete_turn(1, "And you?").await.unwrap();
}

#[tokio::test]
async fn a_turn_in_flight_ends_on_the_pool_and_the_task_goes_on_on_workers_of_its_own() {
    let stack = shared_stack().await;
    let neighbour = neighbour(stack, "move-out").await;
    let (setup, gate) = held_at_first("moves-out");
    let agent = stack.agent(setup.on_pool("move-out").workers(0)).await.unwrap();
    let task = agent.task().await.unwrap();
    task.send("one").await.unwrap();
    gate.reached(TIMEOUT).await.unwrap();

    // Told before there are workers: what waits is lost as little.
    move_agent(stack, &agent, &own_queue("moves-out"), &[&task]).await;
    let own = agent.another_worker(stack).unwrap();
    gate.open();
    task.turn_completed(1).await.unwrap();
    is_on(stack, &task, &own_queue("moves-out")).await;
    task.send("two").await.unwrap();
    own.launch().await.unwrap();
    task.turn_completed(2).await.unwrap();
    // The pool is not needed any more.
    neighbour.worker().stop().await.unwrap();
    task.complete_turn(3, "three").await.unwrap();
    let calls = instructions(&agent);
    assert_eq!(calls.len(), 3, "{calls:?}");
    assert_eq!(calls[1..], ["Since the move.", "Since the move."]);
}

#[tokio::test]
async fn a_turn_that_waits_for_a_person_moves_and_goes_on_with_the_revision_of_the_new_workers() {
    let stack = shared_stack().await;
    let _neighbour = neighbour(stack, "move-waiting").await;
    let setup = AgentSetup::new("moves-waiting", call_nonce_then_repeat).tool("nonce", guarded_nonce_tool());
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.send("tea").await.unwrap();
    let pending = task.until_approval_pending().await.unwrap();

    move_agent(stack, &agent, &pool_queue("move-waiting"), &[&task]).await;
    is_on(stack, &task, &pool_queue("move-waiting")).await;
    agent.worker().stop().await.unwrap();
    pending.approve("fine").await.unwrap();
    task.turn_completed(1).await.unwrap();
    let calls = instructions(&agent);
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert_eq!(
        calls[1], "Since the move.",
        "the rest of the turn runs on what was made for the pool"
    );
}

#[tokio::test]
async fn a_conversation_that_was_handed_off_finds_the_agent_where_it_moved() {
    let stack = shared_stack().await;
    let _neighbour = neighbour(stack, "move-billing").await;
    let billing = AgentSetup::new("moves-billing", |_| Reply::text("You owe nothing."));
    let billing = stack.agent(billing).await.unwrap();
    let triage = AgentSetup::new("moves-triage", |_| Reply::call("transfer_to_moves_billing", &json!({})))
        .configure(|spec| spec.handoffs = vec![handoff_to("moves-billing", HandoffInput::All)]);
    let triage = stack.agent(triage).await.unwrap();
    let (task, fresh) = (triage.task().await.unwrap(), triage.task().await.unwrap());
    task.complete_turn(1, "My bill?").await.unwrap();

    move_agent(stack, &billing, &pool_queue("move-billing"), &[&task, &fresh]).await;
    billing.worker().stop().await.unwrap();
    task.complete_turn(2, "And now?").await.unwrap();
    is_on(stack, &task, &own_queue("moves-triage")).await;
    assert_eq!(billing.model().journal().len(), 2);
    assert_eq!(triage.model().journal().len(), 1);
}
