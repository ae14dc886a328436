//! `steadfast dev`, `init`, `test` and `import`: Agents from files, without
//! Kubernetes, with the real Temporal and Redis.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod desk;
mod end;
mod imports;
mod picture;
mod processes;
mod recording;
mod scaffold;
mod session;
mod terminal;
mod tool_workers;

use std::time::Duration;

use anyhow::Context as _;
use desk::{Desk, task};
use steadfast_testkit::wait;

#[tokio::test]
async fn a_conversation_without_kubernetes_goes_on_with_the_next_start_and_the_edited_agent() {
    let desk = Desk::with_example("haiku");
    let (answer, first) = desk.send("A haiku about rain, please.").await;
    assert!(answer.starts_with("haiku: The pod disappears;\n"), "{answer}");
    assert!(
        first.contains("a stand-in answers in place of gpt-5-mini, because OPENAI_API_KEY is not set"),
        "{first}"
    );
    assert!(first.contains("haiku: revision 1\n"), "{first}");

    let agent = std::fs::read_to_string(desk.agent_file()).unwrap();
    std::fs::write(desk.agent_file(), agent.replace("gpt-5-mini", "gpt-5-nano")).unwrap();
    let (_, second) = desk.send("And one about snow.").await;
    assert!(second.contains("haiku: revision 2\n"), "{second}");
    assert_eq!(task(&second), task(&first));

    // An Agent with an error goes on as it was.
    std::fs::write(desk.agent_file(), format!("{agent}  modelName: x\n")).unwrap();
    let (_, third) = desk.send("And one about the sun.").await;
    assert!(
        third.contains("UnknownField: unknown field \"spec.modelName\""),
        "{third}"
    );
    assert!(!third.contains("revision 3"), "{third}");
}

#[tokio::test]
async fn a_pool_is_one_worker_process_for_all_its_agents() {
    let desk = Desk::with_example("worker-pool");
    let (answer, _) = desk.send("What is a worker pool?").await;
    assert!(
        answer.starts_with("limerick: A worker that lived in a pool\n"),
        "{answer}"
    );
    let answer = desk.send_to("proverb", "And why would I want one?").await;
    assert!(answer.starts_with("proverb: Many hands make light work."), "{answer}");

    let mut running = desk.start();
    running.line_with("Temporal UI").await;
    let workers = desk.workers();
    assert_eq!(workers.len(), 1);
    assert!(workers[0].has_variable("STEADFAST_WORKER_POOL", "writers"));
    let agents = desk.agents().join("agents.yaml");
    let text = std::fs::read_to_string(&agents).unwrap();
    let third = text
        .split("---")
        .nth(1)
        .unwrap()
        .replace("name: limerick", "name: third");
    std::fs::write(&agents, format!("{text}---{third}")).unwrap();
    running.line_with("third: revision 1").await;
    assert_eq!(
        desk.workers()[0].id,
        workers[0].id,
        "an Agent that comes restarts nothing"
    );
}

#[tokio::test]
async fn a_key_that_is_saved_in_the_env_file_is_used_at_once() {
    let desk = Desk::with_example("haiku");
    let mut running = desk.start();
    running.line_with("a stand-in answers in place of gpt-5-mini").await;
    running.line_with("Temporal UI").await;
    std::fs::write(desk.agents().with_file_name(".env"), "OPENAI_API_KEY=unused\n").unwrap();
    running
        .line_with("haiku: gpt-5-mini at https://api.openai.com/v1 answers")
        .await;
}

#[tokio::test]
async fn a_worker_that_is_killed_is_started_again_while_the_program_goes_on() {
    let desk = Desk::with_example("haiku");
    let mut running = desk.start();
    running.line_with("Temporal UI").await;
    let killed = desk.kill_worker("haiku");
    let line = running.line_with("the worker of haiku ended").await;
    assert!(line.contains("(exit status: 137) and is started again"), "{line}");
    let next = wait::until("the next worker", Duration::from_secs(20), || {
        let worker = desk.worker("haiku").filter(|worker| *worker != killed);
        async move { worker.context("no worker") }
    });
    next.await.unwrap();
}
