//! More than fits into one payload crosses from run to run.

use serde_json::json;
use steadfast_events::TurnStatus;
use steadfast_testkit::scripted_model::Reply;
use steadfast_testkit::stack::{AgentSetup, Line, Stack};

use crate::people::{decide, until_asked};
use crate::shared::checkpoint;

/// Text that nothing compresses: hex of a xorshift sequence would; base64 of it hardly does.
fn noise(seed: u64, bytes: usize) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut letter = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(LETTERS[usize::try_from(state >> 58).unwrap()])
    };
    (0..bytes).map(|_| letter()).collect()
}

#[tokio::test]
async fn three_megabytes_cross_twice_with_an_approval_that_waits() {
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
        task.send_with_key(&key, text).await.unwrap().result().unwrap();
        assert_eq!(task.turn_ended(turn).await.unwrap().status, TurnStatus::Completed);
    }
    checkpoint(&stack, &task, 2).await;
    task.send("Ask.").await.unwrap();
    let approval = until_asked(agent.client(), &task).await;
    // The turn that waits runs on a revision that is no longer there.
    agent
        .edit(|spec| spec.instructions = "You are a test of the second revision.".to_owned())
        .unwrap();
    agent.collect(1).unwrap();
    checkpoint(&stack, &task, 3).await;

    // Sent again it starts nothing.
    task.send_with_key("message-1", &texts[0])
        .await
        .unwrap()
        .result()
        .unwrap();
    decide(agent.client(), &approval, "approve", json!({})).await;
    assert_eq!(task.turn_ended(6).await.unwrap().status, TurnStatus::Completed);
    assert_eq!(task.turn(7, "Done?").await.unwrap().status, TurnStatus::Completed);
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
    let said = last.user_texts();
    assert_eq!(said[..5], texts[..]);
    assert_eq!((said.len(), said[5].as_str(), said[6].as_str()), (7, "Ask.", "Done?"));
    assert_eq!(task.lines().await.unwrap().last(), Some(&Line::agent("7 messages.")));
    assert_eq!(agent.model().violations(), Vec::<String>::new());
}
