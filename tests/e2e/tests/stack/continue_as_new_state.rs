//! Continue-as-new with more state than fits into one payload.

use serde_json::json;
use steadfast_e2e::backend::stack::continue_as_new;
use steadfast_testkit::{
    scripted_model::Reply,
    stack::{AgentSetup, Line, Stack},
};

use crate::noise::noise;

#[tokio::test]
async fn three_megabytes_of_state_and_a_pending_approval_survive_continue_as_new() {
    let stack = Stack::start().await.unwrap();
    let tool = json!({
        "description": "Asks.", "parameters": {"type": "object", "properties": {}},
        "human": {"prompt": "Go on?", "timeout": "1h"},
    });
    let setup = AgentSetup::new("heavy", |request| {
        let asked = request.last_user_text().starts_with("Ask");
        match request.last_tool_output() {
            None if asked => Reply::call("confirm", &json!({})),
            _ => Reply::text(format!("{} messages.", request.user_texts().len())),
        }
    })
    .tool("confirm", tool)
    .configure(|spec| spec.context.window_tokens = 100_000_000);
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let texts: Vec<String> = (1..=5).map(|seed| noise(seed, 620_000)).collect();
    for (turn, text) in (1..).zip(&texts) {
        let key = format!("message-{turn}");
        task.send_with_key(&key, text).await.unwrap();
        task.turn_completed(turn).await.unwrap();
    }
    continue_as_new(&stack, &task, 2).await;
    task.send("Ask.").await.unwrap();
    let approval = task.until_approval_pending().await.unwrap();
    // The waiting turn uses a revision that is deleted now.
    agent
        .edit(|spec| spec.instructions = "You are a test of the second revision.".to_owned())
        .unwrap();
    agent.delete_revision(1).unwrap();
    continue_as_new(&stack, &task, 3).await;

    // A duplicate starts no turn.
    task.send_with_key("message-1", &texts[0]).await.unwrap();
    approval.approve("").await.unwrap();
    task.turn_completed(6).await.unwrap();
    task.complete_turn(7, "Done?").await.unwrap();
    let instructions: Vec<String> = agent
        .model()
        .journal()
        .iter()
        .map(|call| call.request.instructions().to_owned())
        .collect();
    let (of_first, of_second) = instructions.split_at(7);
    assert!(
        of_first.iter().all(|text| text == "You are a test."),
        "{instructions:?}"
    );
    assert_eq!(of_second, ["You are a test of the second revision."]);
    let last = agent.model().journal().last().unwrap().request.clone();
    let messages = last.user_texts();
    assert_eq!(messages[..5], texts[..]);
    assert_eq!(
        (messages.len(), messages[5].as_str(), messages[6].as_str()),
        (7, "Ask.", "Done?")
    );
    assert_eq!(task.lines().await.unwrap().last(), Some(&Line::agent("7 messages.")));
    assert_eq!(agent.model().violations(), Vec::<String>::new());
}
