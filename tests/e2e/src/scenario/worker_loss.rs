//! The loss of a worker in the middle of an answer.

use steadfast_testkit::{
    scripted_model::{Gate, ResponseOutcome},
    stack::{Line, ViewerState},
};

use crate::{
    backend::{AgentOptions, Backend, BackendAgent as _, streaming_worker},
    scripts::hold_first,
};

const ANSWER: &str = "One two three four five six seven eight nine ten.";

/// A killed worker loses nothing: neither for a viewer that stays connected, nor for one that
/// leaves and comes back. A single worker is replaced before the turn can end; of several
/// workers, another one takes over.
pub async fn a_killed_worker_loses_nothing<B: Backend>(backend: &B, workers: usize) -> B::Agent {
    let options = AgentOptions {
        workers,
        ..AgentOptions::new(hold_first(ANSWER, 7, &Gate::closed()))
    };
    let agent = backend.start_agent(options).await.unwrap();
    assert_eq!(agent.worker_processes().await.unwrap().len(), workers);
    let task = agent.task().await.unwrap();
    let stayed = task.watch().await.unwrap();
    let left = task.watch().await.unwrap();
    task.send("Count.").await.unwrap();
    // A text and not a number of deltas: a busy worker merges them.
    let half = |state: &ViewerState| state.last_text().contains("five");
    stayed.until("half of the answer", half).await.unwrap();
    left.until("half of the answer", half).await.unwrap();
    left.disconnect();
    let last_id = left.state().last_id().unwrap();

    let killed = streaming_worker(&agent).await.unwrap();
    killed.kill().await.unwrap();
    if workers == 1 {
        agent.replace_killed_worker(killed).await.unwrap();
    }

    let stayed = stayed.until_turn_ended(1).await.unwrap();
    let expected = [Line::user("Count."), Line::agent(ANSWER)];
    assert_eq!(stayed.lines(), expected, "{}", stayed.summary());
    stayed.check_gapless().unwrap();
    for text in stayed.texts() {
        assert!(ANSWER.starts_with(&text), "a viewer showed {text:?}");
    }
    task.turn_completed(1).await.unwrap();
    assert_eq!(task.lines().await.unwrap(), expected);
    let outcomes: Vec<ResponseOutcome> = agent.model().journal().iter().map(|call| call.outcome).collect();
    assert_eq!(outcomes, [ResponseOutcome::Abandoned, ResponseOutcome::Completed]);

    // A viewer that resumes gets the rest, and the retraction of the first attempt.
    left.resume().await.unwrap();
    let resumed = left.until_turn_ended(1).await.unwrap();
    assert_eq!(resumed.lines(), expected, "{}", resumed.summary());
    resumed.check_gapless().unwrap();
    assert_eq!(resumed.ids(), stayed.ids());

    // A new viewer after the same entry gets only the rest; one from the start gets everything.
    let rest = task.watch_after(&last_id.to_string()).await.unwrap();
    let rest = rest.until_turn_ended(1).await.unwrap();
    let later: Vec<_> = stayed.ids().into_iter().filter(|id| *id > last_id).collect();
    assert_eq!(rest.ids(), later);
    let late = task.watch().await.unwrap().until_turn_ended(1).await.unwrap();
    assert_eq!(late.lines(), expected);

    if workers > 1 {
        agent.replace_killed_worker(killed).await.unwrap();
    }
    task.complete_turn(2, "Again.").await.unwrap();
    agent
}
