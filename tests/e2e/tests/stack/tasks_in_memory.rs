//! A worker keeps few of the tasks that wait for a message in memory: the others are replayed when they go on.

use steadfast_e2e::backend::stack::shared_stack;
use steadfast_testkit::{
    scripted_model::Reply,
    stack::{AgentSetup, Line, TIMEOUT},
    wait,
};

/// Far more than fit into 1 MiB of tasks.
const TASKS: usize = 24;

#[tokio::test]
async fn a_task_that_was_removed_from_memory_goes_on_with_its_whole_conversation() {
    let setup = AgentSetup::new("evicted", |request| Reply::text(request.user_texts().join(" ")))
        .variable("STEADFAST_CACHE_MIB", "1");
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let mut tasks = Vec::new();
    for _ in 0..TASKS {
        let task = agent.task().await.unwrap();
        task.complete_turn(1, "one").await.unwrap();
        tasks.push(task);
    }
    wait::until("most tasks to be removed from memory", TIMEOUT, async || {
        let page = agent.worker().admin("metrics").await?;
        let evicted = page
            .lines()
            .find_map(|line| line.strip_prefix("steadfast_workflows_evicted_total "))
            .and_then(|count| count.parse::<usize>().ok())
            .unwrap_or_default();
        anyhow::ensure!(evicted >= TASKS / 2, "{evicted} were");
        Ok(())
    })
    .await
    .unwrap();
    for task in &tasks {
        task.complete_turn(2, "two").await.unwrap();
        let expected = [
            Line::user("one"),
            Line::agent("one"),
            Line::user("two"),
            Line::agent("one two"),
        ];
        task.until_lines(&expected).await.unwrap();
    }
}
