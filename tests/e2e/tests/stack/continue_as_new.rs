//! Continue-as-new: a task outlives its runs, as Temporal limits the history of each.

use serde_json::json;
use steadfast_e2e::backend::stack::{TOOLS, runs, tools_worker};
use steadfast_testkit::{
    TemporalOptions,
    scripted_model::Reply,
    stack::{AgentSetup, BinaryDir, Line, Stack, TIMEOUT, activity_tool},
    wait,
};

#[tokio::test]
async fn a_task_continues_as_new_with_its_whole_state() {
    let options = TemporalOptions {
        // The server suggests to continue as new after this many events.
        dynamic_config: vec!["limit.historyCount.suggestContinueAsNew=30".to_owned()],
        ..TemporalOptions::default()
    };
    let stack = Stack::start_with(options, BinaryDir::of_this_test().unwrap())
        .await
        .unwrap();
    let _tools = tools_worker(&stack);
    let setup = AgentSetup::new("long", |request| match request.tool_outputs_of_turn().len() {
        0..3 => Reply::call("context", &json!({})),
        _ => Reply::text(format!("{} messages so far.", request.user_texts().len())),
    })
    .tool("context", activity_tool("context", TOOLS, &json!({})));
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.send_with_key("the-first", "Say 1.").await.unwrap();
    task.turn_completed(1).await.unwrap();
    for turn in 2..=4 {
        task.complete_turn(turn, &format!("Say {turn}.")).await.unwrap();
    }

    wait::until("several runs", TIMEOUT, async || {
        let runs = runs(&stack, &task).await?;
        anyhow::ensure!(runs > 2, "there are {runs}");
        Ok(())
    })
    .await
    .unwrap();

    task.send_with_key("the-first", "Say 1.").await.unwrap();
    task.complete_turn(5, "And last?").await.unwrap();
    let lines = task.lines().await.unwrap();
    let answers: Vec<&Line> = lines.iter().filter(|line| matches!(line, Line::Agent(_))).collect();
    let expected: Vec<Line> = (1..=5)
        .map(|count| Line::agent(format!("{count} messages so far.")))
        .collect();
    assert_eq!(answers, expected.iter().collect::<Vec<_>>());
    // The activities of every run get the same task id and trace id.
    let contexts = lines.iter().filter_map(|line| match line {
        Line::ToolResponse { content, .. } => Some((&content["context-task-id"], &content["context-trace-id"])),
        _ => None,
    });
    let contexts: Vec<_> = contexts.collect();
    assert_eq!(contexts.len(), 15);
    assert!(
        contexts
            .iter()
            .all(|(id, trace)| **id == task.id() && *trace == contexts[0].1),
        "{contexts:?}"
    );
    assert_eq!(agent.model().violations(), Vec::<String>::new());

    // The history of the last run gives the same messages as the log.
    let live = task.lines().await.unwrap();
    stack
        .redis()
        .restart(steadfast_testkit::RedisData::Empty)
        .await
        .unwrap();
    task.until_lines(&live).await.unwrap();
}
