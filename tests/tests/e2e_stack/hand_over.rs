//! A task outlives its runs: Temporal bounds the history of each.

use serde_json::{Value, json};
use steadfast_log::TurnStatus;
use steadfast_platform::TemporalOptions;
use steadfast_platform::scripted_model::Reply;
use steadfast_platform::stack::{AgentSetup, Line, Programs, Stack, activity_tool};

use crate::shared::{TOOLS, tools};

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

    let arguments = ["workflow", "list", "--output", "json", "--query"];
    let query = format!("WorkflowId = '{}'", task.id());
    let runs: Vec<Value> =
        steadfast_platform::wait::until("several runs", steadfast_platform::stack::PATIENCE, async || {
            let listed = stack
                .temporal()
                .cli(&[&arguments[..], &[query.as_str()]].concat())
                .await?;
            let runs: Vec<Value> = serde_json::from_str(&listed)?;
            anyhow::ensure!(runs.len() > 2, "there are {}", runs.len());
            Ok(runs)
        })
        .await
        .unwrap();
    assert!(runs.len() > 2);

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
    assert_eq!(agent.model().violations(), Vec::<String>::new());

    // What the log shows is what the history of the last run says.
    let live = task.lines().await.unwrap();
    stack
        .redis()
        .restart(steadfast_platform::RedisData::Empty)
        .await
        .unwrap();
    task.until_lines(&live).await.unwrap();
}
