//! Programs end with `steadfast dev`, however it ends.

use std::time::Duration;

use anyhow::anyhow;
use steadfast_testkit::wait;

use super::{desk::Desk, processes};

/// Longer than a supervisor gives its program to end.
const END_TIMEOUT: Duration = Duration::from_secs(20);

/// A program that starts another one, as `sh`, `npm` and `uv run` do.
const SLEEPER: &str = r#"workers:
- name: sleeper
  command: [sh, -c, 'sleep 1000000 & echo "sleeps as $!"; wait']
"#;

async fn until_ended(what: &str, ids: &[u32]) {
    let ended = wait::until(format!("the end of {what}"), END_TIMEOUT, || {
        let running: Vec<&u32> = ids.iter().filter(|id| processes::is_running(**id)).collect();
        let result = if running.is_empty() {
            Ok(())
        } else {
            Err(anyhow!("{running:?} run"))
        };
        async move { result }
    });
    ended.await.unwrap();
}

fn sleeper(line: &str) -> u32 {
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_killed_supervisor_takes_its_program_with_it_and_both_are_started_again() {
    let desk = Desk::with_example("haiku");
    desk.describe_workers(SLEEPER);
    let mut running = desk.start();
    let first = sleeper(&running.line_with("[sleeper] sleeps as ").await);

    let supervisor = desk.supervisor("temporal.log").expect("the supervisor of Temporal");
    let temporal = processes::children(supervisor);
    assert_eq!(temporal.len(), 1);
    processes::kill([supervisor]);
    running
        .line_with("Temporal ended (signal: 9 (SIGKILL)) and is started again")
        .await;
    until_ended("Temporal", &temporal).await;

    processes::kill(desk.supervisor("tool-sleeper.log"));
    running
        .line_with("sleeper ended (signal: 9 (SIGKILL)) and is started again")
        .await;
    until_ended("what the worker of a tool has started", &[first]).await;
    let second = sleeper(&running.line_with("[sleeper] sleeps as ").await);

    let programs = desk.programs();
    running.kill().await;
    until_ended("all programs", &programs).await;
    until_ended("what the worker of a tool has started", &[second]).await;
}

#[tokio::test]
async fn programs_end_when_all_that_supervise_them_are_killed_at_once() {
    let desk = Desk::with_example("haiku");
    let mut running = desk.start();
    running.line_with("Temporal UI").await;
    let programs = desk.programs();
    // Temporal, Valkey, the gateway and the worker.
    assert_eq!(programs.len(), 4);
    processes::kill([running.id()].into_iter().chain(desk.supervisors()));
    until_ended("all programs", &programs).await;
}
