//! Encryption: the database of the Temporal server holds no word of a conversation.

use axum::{Router, routing::post};
use serde_json::{Value, json};
use steadfast_e2e::backend::stack::{continue_as_new, shared_stack};
use steadfast_testkit::{
    RedisData,
    scripted_model::{ModelRequest, Reply},
    stack::{AgentSetup, EncryptionKeys, Line, Stack, TIMEOUT},
    wait,
};

use crate::http_server::serve;

/// One word for each place that a conversation puts text into.
const WORDS: [&str; 14] = [
    "word-of-the-instructions",
    "word-of-the-message",
    "word-of-the-arguments",
    "word-of-the-result",
    "word-of-the-prompt",
    "word-of-the-reason",
    "word-of-the-answer",
    "word-of-the-failure",
    "word-of-the-summary",
    "word-of-the-metadata",
    "word-of-the-params",
    "word-of-the-name",
    "word-of-the-interrupt",
    "word-of-the-cancellation",
];

fn script(request: &ModelRequest) -> Reply {
    let text = request.last_user_text();
    if text.starts_with("Sum up the conversation") {
        return Reply::text("word-of-the-summary");
    }
    if text.contains("fail") {
        return Reply::error(400, "invalid_request", "word-of-the-failure");
    }
    match request.tool_outputs_of_turn().len() {
        0 if text.contains("order") => Reply::call("order", &json!({"item": "word-of-the-arguments"})),
        1 => Reply::call("confirm", &json!({})),
        _ => Reply::text("word-of-the-answer"),
    }
}

fn confirm_tool() -> Value {
    json!({
        "description": "Asks.", "parameters": {"type": "object", "properties": {}},
        "human": {"prompt": "word-of-the-prompt", "timeout": "1h"},
    })
}

/// A conversation with tools, an approval, a failure and a cancellation, and one whose beginning is summed up.
async fn converse(stack: &Stack) {
    let answer = async || axum::Json(json!({"order": "word-of-the-result"}));
    let url = serve(Router::new().route("/orders", post(answer))).await;
    let order = json!({
        "description": "Orders something.", "parameters": {"type": "object", "properties": {"item": {"type": "string"}}},
        "http": {"method": "POST", "url": format!("{url}/orders")},
    });
    let setup = AgentSetup::new("confidant", script)
        .tool("order", order)
        .tool("confirm", confirm_tool())
        .configure(|spec| "Answer with the word-of-the-instructions.".clone_into(&mut spec.instructions));
    let agent = stack.agent(setup).await.unwrap();
    let task = agent
        .task_with(json!({
            "name": "word-of-the-name", "params": {"note": "word-of-the-params"},
            "task_metadata": {"note": "word-of-the-metadata"},
        }))
        .await
        .unwrap();
    task.send("order the word-of-the-message").await.unwrap();
    let approval = task.until_approval_pending().await.unwrap();
    assert_eq!(approval["prompt"], "word-of-the-prompt");
    approval.approve("word-of-the-reason").await.unwrap();
    task.turn_completed(1).await.unwrap();
    let error = task.fail_turn(2, "fail").await.unwrap();
    assert!(error.message.contains("word-of-the-failure"), "{error:?}");

    // The gateway and the worker read the history: their copies are gone.
    let lines = task.lines().await.unwrap();
    assert_eq!(lines.last(), Some(&Line::user("fail")), "{lines:#?}");
    stack.redis().restart(RedisData::Empty).await.unwrap();
    assert_eq!(task.lines().await.unwrap(), lines);
    agent.worker().restart().await.unwrap();
    task.complete_turn(3, "go on").await.unwrap();
    continue_as_new(stack, &task, 2).await;
    task.complete_turn(4, "go on").await.unwrap();

    let path = |action: &str| format!("/tasks/{}/{action}", task.id());
    let reason = |word: &str| json!({"reason": word}).to_string();
    let client = agent.client();
    let interrupted = client.post(&path("interrupt"), reason("word-of-the-interrupt")).await;
    interrupted.unwrap().success().unwrap();
    let canceled = client.post(&path("cancel"), reason("word-of-the-cancellation")).await;
    canceled.unwrap().success().unwrap();
    task.until_status("CANCELED").await.unwrap();

    // Each call reports 18 tokens: the window of 20 is full after every call.
    let setup = AgentSetup::new("summed-up", script).configure(|spec| spec.context.window_tokens = 20);
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    for turn in 1..=3 {
        task.complete_turn(turn, "go on").await.unwrap();
    }
    let seen = viewer.until_turn_ended(3).await.unwrap();
    assert!(seen.count("context_compacted") >= 1, "{}", seen.summary());
}

fn words_in(database: &[u8]) -> Vec<&'static str> {
    let found = |word: &&str| database.windows(word.len()).any(|bytes| bytes == word.as_bytes());
    WORDS.into_iter().filter(found).collect()
}

#[tokio::test]
async fn the_database_holds_no_word_of_an_encrypted_conversation() {
    let keys = EncryptionKeys::new(&["first"]).unwrap();
    let encrypted = Stack::start_encrypted(&keys, "first").await.unwrap();
    let plain = Stack::start_durable().await.unwrap();
    tokio::join!(converse(&encrypted), converse(&plain));
    // Without encryption the search finds every word.
    assert_eq!(words_in(&plain.temporal().database().unwrap()), WORDS);
    assert_eq!(words_in(&encrypted.temporal().database().unwrap()), [""; 0]);
}

#[tokio::test]
async fn a_task_waits_for_a_key_that_its_worker_does_not_have() {
    let keys = EncryptionKeys::new(&["first", "second"]).unwrap();
    let stack = Stack::start_encrypted(&keys, "first").await.unwrap();
    let of_worker = EncryptionKeys::new(&["second"]).unwrap();
    let setup = AgentSetup::new("waiting", |_| Reply::text("Here I am."))
        .variable(
            "STEADFAST_ENCRYPTION_KEYS_PATH",
            &of_worker.path().display().to_string(),
        )
        .variable("STEADFAST_ENCRYPTION_KEY_ID", "second");
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    // Nobody accepts the message yet.
    let sent = tokio::spawn({
        let task = task.clone();
        async move { task.send("Hello?").await }
    });
    wait::until("the workflow task to fail for the key", TIMEOUT, async || {
        let history = stack.temporal().history(task.id(), None).await?;
        let failed = history
            .iter()
            .find_map(|event| event["workflowTaskFailedEventAttributes"]["failure"]["message"].as_str());
        anyhow::ensure!(
            failed.is_some_and(|message| message.contains("the key \"first\", which this program does not have")),
            "{history:#?}"
        );
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(task.describe().await.unwrap()["status"], "RUNNING");
    of_worker.add("first").unwrap();
    sent.await.unwrap().unwrap();
    // Both keys are read by both programs from now on.
    task.turn_completed(1).await.unwrap();
    stack.redis().restart(RedisData::Empty).await.unwrap();
    assert_eq!(task.lines().await.unwrap().last(), Some(&Line::agent("Here I am.")));
}

#[tokio::test]
async fn tasks_that_were_plain_go_on_where_encryption_is_turned_on() {
    let keys = EncryptionKeys::new(&["first"]).unwrap();
    let setup = AgentSetup::new("plain-before", |request| Reply::text(request.last_user_text()))
        .variable("STEADFAST_ENCRYPTION_KEYS_PATH", &keys.path().display().to_string())
        .variable("STEADFAST_ENCRYPTION_KEY_ID", "first");
    // The gateway of this stack writes plain payloads, and cannot read the worker's.
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "still plain").await.unwrap();
    task.complete_turn(2, "still plain").await.unwrap();
}
