//! The loss of a worker in the middle of an answer.

use steadfast_e2e::{
    backend::stack::{StackBackend, shared_stack},
    history::attributes,
    scenario::worker_loss::a_killed_worker_loses_nothing,
};
use steadfast_testkit::{
    scripted_model::{Gate, Reply, ResponseOutcome, Text},
    stack::{AgentSetup, Line, Stack, TIMEOUT},
    wait,
};

#[tokio::test]
async fn the_only_worker_is_killed_in_the_middle_of_an_answer_and_restarted() {
    a_killed_worker_loses_nothing(&StackBackend::new("kill-one"), 1).await;
}

#[tokio::test]
async fn one_of_two_workers_is_killed_in_the_middle_of_an_answer() {
    a_killed_worker_loses_nothing(&StackBackend::new("kill-of-two"), 2).await;
}

#[tokio::test]
async fn a_finished_model_call_is_not_paid_twice() {
    let stack = Stack::start_durable().await.unwrap();
    let gate = Gate::closed();
    let held = gate.clone();
    let setup = AgentSetup::new("paid-once", move |_| Reply::text("It costs a fortune.").and_hold(&held));
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.send("Think hard.").await.unwrap();
    gate.reached(TIMEOUT).await.unwrap();

    // Temporal is down when the answer is complete: the worker cannot report it before it is killed.
    stack.temporal().kill().await.unwrap();
    gate.open();
    let spill = format!("spill:{{{}}}", task.id());
    wait::until("the answer to be in Redis", TIMEOUT, async || {
        let keys = stack.redis().command("KEYS *spill:*").await?;
        anyhow::ensure!(keys.contains(&spill), "the spills are {keys:?}");
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(agent.model().journal()[0].outcome, ResponseOutcome::Completed);
    agent.worker().kill().await.unwrap();
    stack.temporal().restart().await.unwrap();
    agent.worker().launch().await.unwrap();

    task.turn_completed(1).await.unwrap();
    let expected = [Line::user("Think hard."), Line::agent("It costs a fortune.")];
    assert_eq!(task.lines().await.unwrap(), expected);
    assert_eq!(agent.model().journal().len(), 1);
}

#[tokio::test]
async fn a_turn_whose_end_is_in_the_log_ends_once_when_the_worker_dies_before_temporal_knows() {
    let stack = Stack::start_durable().await.unwrap();
    let gate = Gate::closed();
    let held = gate.clone();
    let setup = AgentSetup::new("ends-once", move |request| match request.user_texts().len() {
        1 => Reply::text("The end.").and_hold(&held),
        _ => Reply::text("Again."),
    });
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    task.send("Finish.").await.unwrap();
    gate.reached(TIMEOUT).await.unwrap();

    // The worker cannot tell Temporal of the answer, which ends the turn in the log.
    stack.temporal().kill().await.unwrap();
    gate.open();
    viewer
        .until("the end of the turn", |state| state.of_turn("turn_ended", 1).is_some())
        .await
        .unwrap();
    agent.worker().kill().await.unwrap();
    stack.temporal().restart().await.unwrap();
    agent.worker().launch().await.unwrap();

    task.complete_turn(2, "Once more.").await.unwrap();
    let expected = [
        Line::user("Finish."),
        Line::agent("The end."),
        Line::user("Once more."),
        Line::agent("Again."),
    ];
    assert_eq!(task.lines().await.unwrap(), expected);
    let seen = task.watch().await.unwrap().until_turn_ended(2).await.unwrap();
    assert_eq!(seen.count("turn_ended"), 2, "{}", seen.summary());
    seen.check_gapless().unwrap();
    assert_eq!(agent.model().journal().len(), 2);
    assert_eq!(agent.model().violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_restarted_worker_fails_the_attempts_of_the_one_before_it() {
    let gate = Gate::closed();
    let held = gate.clone();
    let setup = AgentSetup::new("restarted", move |request| match request.number {
        1 => Reply::stream().and_text("Well").and_hold(&held),
        _ => Reply::text("Here again."),
    })
    .variable("STEADFAST_PROCESS_NAME", "restarted-pod");
    let stack = shared_stack().await;
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.send("Go.").await.unwrap();
    gate.reached(TIMEOUT).await.unwrap();
    wait::until("the attempt to be known in Redis", TIMEOUT, async || {
        let keys = stack.redis().command("KEYS *@attempts:*restarted-pod").await?;
        anyhow::ensure!(!keys.trim().is_empty(), "there is none");
        Ok(())
    })
    .await
    .unwrap();
    agent.worker().kill().await.unwrap();
    agent.worker().launch().await.unwrap();
    task.turn_completed(1).await.unwrap();
    assert_eq!(task.lines().await.unwrap().last(), Some(&Line::agent("Here again.")));
    wait::until(
        "the failure of the first attempt to be in history",
        TIMEOUT,
        async || {
            let history = stack.temporal().history(task.id(), None).await?;
            let started = attributes(&history, "activityTaskStartedEventAttributes");
            let mut failures = started
                .iter()
                .map(|started| &started["lastFailure"]["applicationFailureInfo"]["type"]);
            anyhow::ensure!(failures.any(|kind| kind == "worker_restarted"), "{started:?}");
            Ok(())
        },
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn a_stopping_worker_finishes_its_model_call() {
    let gate = Gate::closed();
    let held = gate.clone();
    let setup = AgentSetup::new("drain", move |_| {
        Reply::text(Text::words("Almost done now.").hold_after(2, &held))
    });
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.send("Finish this.").await.unwrap();
    gate.reached(TIMEOUT).await.unwrap();
    let (stopped, ()) = tokio::join!(agent.worker().stop(), async {
        wait::until("the worker to log SIGTERM", TIMEOUT, async || {
            let log = std::fs::read_to_string(agent.worker().service().log())?;
            anyhow::ensure!(log.contains("SIGTERM"), "the log does not contain it");
            Ok(())
        })
        .await
        .unwrap();
        gate.open();
    });
    stopped.unwrap();
    agent.worker().launch().await.unwrap();
    task.turn_completed(1).await.unwrap();
    assert_eq!(
        task.lines().await.unwrap(),
        [Line::user("Finish this."), Line::agent("Almost done now.")]
    );
    assert_eq!(agent.model().journal().len(), 1);
}
