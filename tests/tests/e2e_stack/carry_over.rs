//! More than fits into one payload crosses from run to run.

use serde_json::{Value, json};
use steadfast_log::TurnStatus;
use steadfast_platform::scripted_model::Reply;
use steadfast_platform::stack::{AgentSetup, Line, PATIENCE, Programs, Stack, Task};
use steadfast_platform::{TemporalOptions, wait};

use crate::people::{decide, until_asked};

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

async fn checkpoint(stack: &Stack, task: &Task, runs: usize) {
    let signal = ["workflow", "signal", "--workflow-id", task.id(), "--name", "checkpoint"];
    stack.temporal().cli(&signal).await.unwrap();
    wait::until("another run", PATIENCE, async || {
        let query = format!("WorkflowId = '{}'", task.id());
        let listed = stack
            .temporal()
            .cli(&["workflow", "list", "--output", "json", "--query", &query])
            .await?;
        let listed: Vec<Value> = serde_json::from_str(&listed)?;
        anyhow::ensure!(listed.len() == runs, "{} runs", listed.len());
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn three_megabytes_cross_twice_with_an_approval_that_waits() {
    let stack = Stack::start_with(TemporalOptions::default(), Programs::beside_this_test().unwrap())
        .await
        .unwrap();
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
    let last = agent.model().journal().last().unwrap().request.clone();
    let said = last.user_texts();
    assert_eq!(said[..5], texts[..]);
    assert_eq!((said.len(), said[5].as_str(), said[6].as_str()), (7, "Ask.", "Done?"));
    assert_eq!(task.lines().await.unwrap().last(), Some(&Line::agent("7 messages.")));
    assert_eq!(agent.model().violations(), Vec::<String>::new());
}
