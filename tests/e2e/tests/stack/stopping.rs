//! The interrupt of a turn, the cancellation and completion of a task.

use serde_json::json;
use steadfast_contract::signals::SIGNAL_CHECKPOINT;
use steadfast_crds::agent::HandoffInput;
use steadfast_e2e::{
    backend::stack::{guarded_nonce_tool, shared_stack},
    scripts::{call_nonce_then_repeat, hold},
};
use steadfast_events::TurnStatus;
use steadfast_testkit::{
    RedisData,
    scripted_model::{Gate, Reply, ResponseOutcome, Text},
    stack::{Agent, AgentSetup, Line, Stack, TIMEOUT, Task},
    wait,
};

use crate::agents::handoff_to;

/// An agent whose model holds its first response and completes all others.
async fn held_at_first(name: &str) -> (Agent, Gate) {
    let gate = Gate::closed();
    let held = gate.clone();
    let setup = AgentSetup::new(name, move |request| match request.number {
        1 => Reply::text(Text::words("This takes a while").hold_after(2, &held)),
        _ => Reply::text("Here."),
    });
    (shared_stack().await.agent(setup).await.unwrap(), gate)
}

/// Waits until the first model call is abandoned, so that its output costs no more.
pub(crate) async fn first_call_is_abandoned(agent: &Agent) {
    wait::until("the first model call to be abandoned", TIMEOUT, async || {
        let outcome = agent.model().journal()[0].outcome;
        anyhow::ensure!(outcome == ResponseOutcome::Abandoned, "it is {outcome:?}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn an_interrupt_stops_the_turn_and_keeps_the_task() {
    let (agent, gate) = held_at_first("interrupt").await;
    let task = agent.task().await.unwrap();
    task.send("one").await.unwrap();
    gate.reached(TIMEOUT).await.unwrap();
    task.interrupt().await.unwrap();
    assert_eq!(task.turn_ended(1).await.unwrap().status, TurnStatus::Interrupted);
    first_call_is_abandoned(&agent).await;
    // The partial answer stays, and the model gets it in the next turn.
    let lines = task.lines().await.unwrap();
    let Some(Line::Agent(partial)) = lines.last() else {
        panic!("{lines:#?}")
    };
    assert!("This takes a while".starts_with(partial.as_str()), "{partial:?}");

    task.complete_turn(2, "two").await.unwrap();
    let lines = task.lines().await.unwrap();
    assert_eq!(
        lines[lines.len() - 2..],
        [Line::user("two"), Line::agent("Here.")],
        "{lines:#?}"
    );
    assert!(
        !lines.iter().any(|line| matches!(line, Line::Open(_))),
        "a message stays open: {lines:#?}"
    );
    assert_eq!(agent.model().violations(), Vec::<String>::new());
}

#[tokio::test]
async fn an_interrupt_reaches_the_model_call_by_heartbeats_when_redis_is_down() {
    let stack = Stack::start().await.unwrap();
    let gate = Gate::closed();
    let second = AgentSetup::new("alone-second", hold("Well", &gate));
    let second = stack.agent(second).await.unwrap();
    // Workflow and model call run in different processes, so only Redis or heartbeats bring the interrupt.
    let first = AgentSetup::new("alone-first", |_| Reply::call("transfer_to_alone_second", &json!({})))
        .configure(|spec| spec.handoffs = vec![handoff_to("alone-second", HandoffInput::All)]);
    let first = stack.agent(first).await.unwrap();
    let task = first.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    task.send("one").await.unwrap();
    gate.reached(TIMEOUT).await.unwrap();
    stack.redis().kill().await.unwrap();
    task.interrupt().await.unwrap();
    first_call_is_abandoned(&second).await;
    stack.redis().restart(RedisData::Keep).await.unwrap();
    viewer.resume().await.unwrap();
    assert_eq!(viewer.turn_ended(1).await.unwrap().status, TurnStatus::Interrupted);
    let expected = [
        Line::user("one"),
        Line::agent("Handoff from alone-first to alone-second"),
        Line::agent("Well"),
    ];
    task.until_lines(&expected).await.unwrap();
}

#[tokio::test]
async fn a_cancel_stops_the_model_and_ends_the_task() {
    let (agent, gate) = held_at_first("cancel").await;
    let task = agent.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    task.send("one").await.unwrap();
    gate.reached(TIMEOUT).await.unwrap();
    task.cancel().await.unwrap();
    task.until_status("CANCELED").await.unwrap();
    first_call_is_abandoned(&agent).await;
    assert_eq!(viewer.until_task_ended().await.unwrap(), "canceled");
    let refused = task.try_send("late", "are you there?").await.unwrap();
    assert!((400..500).contains(&refused.status), "{refused:?}");
}

#[tokio::test]
async fn messages_that_wait_when_a_task_is_canceled_are_told_to_their_senders() {
    let (agent, gate) = held_at_first("cancel-queue").await;
    let task = agent.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    task.send("one").await.unwrap();
    gate.reached(TIMEOUT).await.unwrap();
    for id in ["second", "third"] {
        task.send_with_key(id, id).await.unwrap();
    }
    task.cancel().await.unwrap();
    assert_eq!(viewer.until_task_ended().await.unwrap(), "canceled");
    let seen = viewer.state();
    let told: Vec<&serde_json::Value> = seen
        .frames
        .iter()
        .filter(|frame| frame.kind == "message_rejected")
        .map(|frame| &frame.data["reason"])
        .collect();
    let reason = json!("the task was canceled before the agent came to this message");
    assert_eq!(told, [&reason, &reason], "{}", seen.summary());
}

/// The worker learns of the interrupt and of the end of the run together, in both orders.
#[tokio::test]
async fn an_interrupt_at_the_border_of_two_runs_stops_the_turn() {
    let stack = shared_stack().await;
    let setup = AgentSetup::new("border", call_nonce_then_repeat).tool("nonce", guarded_nonce_tool());
    let agent = stack.agent(setup).await.unwrap();
    let tasks = [agent.task().await.unwrap(), agent.task().await.unwrap()];
    for task in &tasks {
        task.send("tea").await.unwrap();
        task.until_approval_pending().await.unwrap();
    }
    agent.worker().kill().await.unwrap();
    let checkpoint = async |task: &Task| {
        stack
            .temporal()
            .signal(task.id(), SIGNAL_CHECKPOINT, None)
            .await
            .unwrap();
    };
    checkpoint(&tasks[0]).await;
    tasks[0].interrupt().await.unwrap();
    tasks[1].interrupt().await.unwrap();
    checkpoint(&tasks[1]).await;
    agent.worker().launch().await.unwrap();
    for task in &tasks {
        assert_eq!(task.turn_ended(1).await.unwrap().status, TurnStatus::Interrupted);
        assert!(task.pending_approvals().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn an_interrupt_that_finds_the_worker_away_stops_the_turn_that_has_not_begun() {
    let agent = shared_stack()
        .await
        .agent(AgentSetup::new("interrupt-early", |_| Reply::text("Here.")))
        .await
        .unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "one").await.unwrap();
    agent.worker().kill().await.unwrap();
    task.send("two").await.unwrap();
    task.interrupt().await.unwrap();
    agent.worker().launch().await.unwrap();
    assert_eq!(task.turn_ended(2).await.unwrap().status, TurnStatus::Interrupted);
    task.complete_turn(3, "three").await.unwrap();
    // Nothing was asked in the turn that was stopped.
    assert_eq!(agent.model().journal().len(), 2);
}

#[tokio::test]
async fn a_completed_task_refuses_new_messages_and_keeps_the_old_ones() {
    let agent = shared_stack()
        .await
        .agent(AgentSetup::new("complete", |_| Reply::text("Yes.")))
        .await
        .unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "one").await.unwrap();
    task.complete().await.unwrap();
    task.until_status("COMPLETED").await.unwrap();

    let refused = task.try_send("late", "are you there?").await.unwrap();
    assert!((400..500).contains(&refused.status), "{refused:?}");
    assert!(refused.body["error"]["message"].is_string(), "{refused:?}");
    assert_eq!(task.lines().await.unwrap(), [Line::user("one"), Line::agent("Yes.")]);
    assert_eq!(agent.model().journal().len(), 1);
}
