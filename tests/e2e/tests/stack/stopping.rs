//! Interrupting a turn, cancelling and completing a task.

use serde_json::json;
use steadfast_crds::agent::HandoffInput;
use steadfast_events::TurnStatus;
use steadfast_testkit::scripted_model::{Gate, Outcome, Reply, Text};
use steadfast_testkit::stack::{Agent, AgentSetup, Line, PATIENCE, Stack};
use steadfast_testkit::{RedisData, wait};

use crate::agents::handoff_to;
use crate::shared::stack;

/// Holds the answer to the first message; answers all others.
async fn held_at_first(name: &str) -> (Agent, Gate) {
    let gate = Gate::closed();
    let held = gate.clone();
    let setup = AgentSetup::new(name, move |request| match request.number {
        1 => Reply::text(Text::words("This takes a while").hold_after(2, &held)),
        _ => Reply::text("Here."),
    });
    (stack().await.agent(setup).await.unwrap(), gate)
}

/// The call of the model was dropped: nobody pays for words that nobody reads.
pub async fn first_call_is_abandoned(agent: &Agent) {
    wait::until("the first model call to be given up", PATIENCE, async || {
        let outcome = agent.model().journal()[0].outcome;
        anyhow::ensure!(outcome == Outcome::Abandoned, "it is {outcome:?}");
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
    gate.reached(PATIENCE).await.unwrap();
    task.rpc("task/interrupt", json!({}), None)
        .await
        .unwrap()
        .result()
        .unwrap();
    assert_eq!(task.turn_ended(1).await.unwrap().status, TurnStatus::Interrupted);
    first_call_is_abandoned(&agent).await;
    // What was said stays, and the model knows of it.
    let said = task.lines().await.unwrap();
    let Some(Line::Agent(partial)) = said.last() else {
        panic!("{said:#?}")
    };
    assert!("This takes a while".starts_with(partial.as_str()), "{partial:?}");

    assert_eq!(task.turn(2, "two").await.unwrap().status, TurnStatus::Completed);
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
async fn an_interrupt_stops_the_model_by_heartbeats_when_redis_is_away() {
    let stack = Stack::start().await.unwrap();
    let gate = Gate::closed();
    let held = gate.clone();
    let second = AgentSetup::new("alone-second", move |_| {
        Reply::stream().and_text("Well").and_hold(&held)
    });
    let second = stack.agent(second).await.unwrap();
    // The workflow is in another process than the call: no word of its own reaches it.
    let first = AgentSetup::new("alone-first", |_| Reply::call("transfer_to_alone_second", &json!({})))
        .configure(|spec| spec.handoffs = vec![handoff_to("alone-second", HandoffInput::All)]);
    let first = stack.agent(first).await.unwrap();
    let task = first.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    task.send("one").await.unwrap();
    gate.reached(PATIENCE).await.unwrap();
    stack.redis().kill().await.unwrap();
    task.rpc("task/interrupt", json!({}), None)
        .await
        .unwrap()
        .result()
        .unwrap();
    first_call_is_abandoned(&second).await;
    stack.redis().restart(RedisData::Keep).await.unwrap();
    viewer.resume().await.unwrap();
    let status = viewer
        .find("the end of the turn", |seen| {
            seen.of_turn("turn_ended", 1).map(|frame| frame.data["status"].clone())
        })
        .await
        .unwrap();
    assert_eq!(status, "interrupted");
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
    gate.reached(PATIENCE).await.unwrap();
    task.rpc("task/cancel", json!({}), None)
        .await
        .unwrap()
        .result()
        .unwrap();
    task.until_status("CANCELED").await.unwrap();
    first_call_is_abandoned(&agent).await;
    let end = viewer
        .find("the end of the task", |seen| {
            let last = seen.frames.iter().rev().find(|frame| frame.kind == "task_updated")?;
            (last.data["status"] != "running").then(|| last.data["status"].clone())
        })
        .await
        .unwrap();
    assert_eq!(end, "canceled");
    let refused = task.send_with_key("late", "are you there?").await.unwrap();
    assert!((400..500).contains(&refused.status), "{refused:?}");
}

#[tokio::test]
async fn a_completed_task_takes_no_more_messages_and_keeps_those_it_has() {
    let agent = stack()
        .await
        .agent(AgentSetup::new("complete", |_| Reply::text("Yes.")))
        .await
        .unwrap();
    let task = agent.task().await.unwrap();
    task.turn(1, "one").await.unwrap();
    let path = format!("/tasks/{}/complete", task.id());
    agent.client().post(&path, "{}").await.unwrap().ok().unwrap();
    task.until_status("COMPLETED").await.unwrap();

    let refused = task.send_with_key("late", "are you there?").await.unwrap();
    assert!((400..500).contains(&refused.status), "{refused:?}");
    assert!(refused.body["error"]["message"].is_string(), "{refused:?}");
    assert_eq!(task.lines().await.unwrap(), [Line::user("one"), Line::agent("Yes.")]);
    assert_eq!(agent.model().journal().len(), 1);
}
