//! A task outlives its runs: Temporal bounds the history of each.

use serde_json::json;
use steadfast_events::TurnStatus;
use steadfast_testkit::scripted_model::Reply;
use steadfast_testkit::stack::{AgentSetup, Line, PATIENCE, Programs, Stack, activity_tool};
use steadfast_testkit::{TemporalOptions, wait};

use crate::shared::{TOOLS, runs, tools};

#[tokio::test]
async fn a_task_goes_on_in_a_new_run_with_all_it_knows() {
    let options = TemporalOptions {
        // The server suggests a new run after this many events.
        dynamic_config: vec!["limit.historyCount.suggestContinueAsNew=30".to_owned()],
        ..TemporalOptions::default()
    };
    let stack = Stack::start_with(options, Programs::beside_this_test().unwrap())
        .await
        .unwrap();
    let _tools = tools(&stack);
    let setup = AgentSetup::new("long", |request| match request.tool_outputs_of_turn().len() {
        0..3 => Reply::call("context", &json!({})),
        _ => Reply::text(format!("{} messages so far.", request.user_texts().len())),
    })
    .tool("context", activity_tool("context", TOOLS, &json!({})));
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.send_with_key("the-first", "Say 1.")
        .await
        .unwrap()
        .result()
        .unwrap();
    assert_eq!(task.turn_ended(1).await.unwrap().status, TurnStatus::Completed);
    for turn in 2..=4 {
        let end = task.turn(turn, &format!("Say {turn}.")).await.unwrap();
        assert_eq!(end.status, TurnStatus::Completed);
    }

    wait::until("several runs", PATIENCE, async || {
        let runs = runs(&stack, &task).await?;
        anyhow::ensure!(runs > 2, "there are {runs}");
        Ok(())
    })
    .await
    .unwrap();

    task.send_with_key("the-first", "Say 1.")
        .await
        .unwrap()
        .result()
        .unwrap();
    assert_eq!(task.turn(5, "And last?").await.unwrap().status, TurnStatus::Completed);
    let lines = task.lines().await.unwrap();
    let answers: Vec<&Line> = lines.iter().filter(|line| matches!(line, Line::Agent(_))).collect();
    let expected: Vec<Line> = (1..=5)
        .map(|count| Line::agent(format!("{count} messages so far.")))
        .collect();
    assert_eq!(answers, expected.iter().collect::<Vec<_>>());
    // Every run tells its activities of the same task and trace.
    let told = lines.iter().filter_map(|line| match line {
        Line::ToolResponse { content, .. } => Some((&content["context-task-id"], &content["context-trace-id"])),
        _ => None,
    });
    let told: Vec<_> = told.collect();
    assert_eq!(told.len(), 15);
    assert!(
        told.iter().all(|(id, trace)| **id == task.id() && *trace == told[0].1),
        "{told:?}"
    );
    assert_eq!(agent.model().violations(), Vec::<String>::new());

    // What the log shows is what the history of the last run says.
    let live = task.lines().await.unwrap();
    stack
        .redis()
        .restart(steadfast_testkit::RedisData::Empty)
        .await
        .unwrap();
    task.until_lines(&live).await.unwrap();
}
