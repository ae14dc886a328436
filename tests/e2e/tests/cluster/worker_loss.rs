//! Worker processes that are killed in the middle of an answer.

use std::time::Duration;

use serde_json::json;
use steadfast_events::TurnStatus;
use steadfast_testkit::scripted_model::{Gate, ModelRequest, Outcome, Reply, Text};
use steadfast_testkit::stack::{Line, Seen};

use crate::namespace::{AGENT, Namespace};
use crate::pods;

const ANSWER: &str = "One two three four five six seven eight nine ten.";

/// The first call says the first seven words and then waits for ever; the next says all.
fn stuck_at_first(gate: &Gate) -> impl Fn(&ModelRequest) -> Reply + Send + Sync + 'static {
    let gate = gate.clone();
    move |request| {
        let text = Text::words(ANSWER).every(Duration::from_millis(60));
        Reply::text(if request.number == 1 {
            text.hold_after(7, &gate)
        } else {
            text
        })
    }
}

async fn a_killed_worker_loses_nothing(namespace: Namespace, replicas: usize) {
    let model = namespace.model(stuck_at_first(&Gate::closed())).unwrap();
    namespace
        .start_agent(&model, json!({"worker": {"replicas": replicas}}))
        .await
        .unwrap();
    assert_eq!(pods::of(&namespace).await.unwrap().len(), replicas);
    let client = namespace.talk().await.unwrap();
    let task = client.task(&namespace.public_name(AGENT)).await.unwrap();
    let stayed = task.watch().await.unwrap();
    task.send("Count.").await.unwrap();
    let left = task.watch().await.unwrap();
    let half = |seen: &Seen| seen.count("text_delta") >= 5;
    stayed.until("five deltas", half).await.unwrap();
    left.until("five deltas", half).await.unwrap();
    left.disconnect();

    let process = pods::streaming_process(&namespace, &model).await.unwrap();
    process.kill().await.unwrap();

    let ended = |seen: &Seen| seen.of_turn("turn_ended", 1).is_some();
    let seen = stayed.until("the end of the turn", ended).await.unwrap();
    let expected = [Line::user("Count."), Line::agent(ANSWER)];
    assert_eq!(seen.lines(), expected, "{}", seen.summary());
    seen.check_gapless().unwrap();
    for text in seen.texts() {
        assert!(ANSWER.starts_with(&text), "a viewer saw {text:?}");
    }
    assert_eq!(task.turn_ended(1).await.unwrap().status, TurnStatus::Completed);
    assert_eq!(task.lines().await.unwrap(), expected);
    let outcomes: Vec<Outcome> = model.journal().iter().map(|call| call.outcome).collect();
    assert_eq!(outcomes, [Outcome::Abandoned, Outcome::Answered]);

    // Whoever left at five deltas and comes back with the last id is told the
    // rest, and what to take back.
    left.resume().await.unwrap();
    let back = left.until("the end of the turn", ended).await.unwrap();
    assert_eq!(back.lines(), expected, "{}", back.summary());
    back.check_gapless().unwrap();
    assert_eq!(back.ids().first(), seen.ids().first());

    pods::until_restarted(&namespace, 1).await.unwrap();
    assert_eq!(task.turn(2, "Again.").await.unwrap().status, TurnStatus::Completed);
}

pub async fn the_only_worker_is_killed_in_the_middle_of_an_answer(namespace: Namespace) {
    a_killed_worker_loses_nothing(namespace, 1).await;
}

pub async fn one_of_two_workers_is_killed_in_the_middle_of_an_answer(namespace: Namespace) {
    a_killed_worker_loses_nothing(namespace, 2).await;
}
