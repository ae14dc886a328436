//! A2A's public client, unmodified, against the gateway and a worker.

use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use steadfast_e2e::backend::stack::{guarded_nonce_tool, python, shared_stack};
use steadfast_testkit::{
    scripted_model::{ModelRequest, Reply, Text},
    stack::{AgentSetup, run_script},
};

fn reply(request: &ModelRequest) -> Reply {
    let said = request.user_texts().pop().unwrap_or_default();
    let words = |text: String, pause| Reply::text(Text::words(text).every(Duration::from_millis(pause)));
    if let Some(output) = request.last_tool_output() {
        return Reply::text(format!("The tool said: {output}"));
    }
    match said.as_str() {
        "a long silence" => words("Before after".to_owned(), 20_000),
        "wait for it" => words("One two".to_owned(), 7_000),
        "pay for tea" => Reply::call("nonce", &json!({"of": "tea"})),
        "endlessly" => words("and so on ".repeat(2_000), 20),
        "See:" => {
            let content = request.input().iter().rev().find_map(|item| item["content"].as_array());
            let kinds: Vec<_> = content
                .into_iter()
                .flatten()
                .map(|part| part["type"].to_string())
                .collect();
            words(format!("You sent: {}", kinds.join(" ")), 5)
        }
        "slowly, please" => words("One two three four five six seven eight nine ten".to_owned(), 50),
        _ => words(format!("You said: {said}"), 5),
    }
}

#[tokio::test]
async fn the_public_client_finds_streams_approves_cancels_and_lists_in_both_bindings() {
    let setup = AgentSetup::new("a2a", reply).tool("nonce", guarded_nonce_tool());
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let url = shared_stack().await.url();
    let output: Value = run_script(&python("a2a_client.py"), &[&url, "default", &agent.name()])
        .await
        .unwrap();
    assert_eq!(
        output["card"],
        json!({"name": agent.name(), "bindings": ["JSONRPC", "HTTP+JSON"], "streaming": true, "push": false})
    );
    let ten = "One two three four five six seven eight nine ten";
    for binding in ["rpc", "http"] {
        let output = &output[binding];
        assert_eq!(
            output["silence"],
            json!({"text": "Before after", "states": ["SUBMITTED", "WORKING", "COMPLETED"], "chunks": 2}),
            "{binding}"
        );
        assert_eq!(
            output["whole"],
            json!({
                "states": ["COMPLETED", "COMPLETED"], "texts": ["One two", "You said: Two"], "same_context": true,
                "same_later": true, "history": ["Two"],
            }),
            "{binding}"
        );
        assert_eq!(
            output["resumed"],
            json!({"streamed": ten, "whole": ten, "state": "COMPLETED"}),
            "{binding}"
        );
        for (decided, word) in [("approved", "tea"), ("rejected", "not today")] {
            let decided = &output[decided];
            assert_eq!(
                (&decided["asked"], &decided["same_task"], &decided["state"]),
                (
                    &json!(["INPUT_REQUIRED", "nonce", {"of": "tea"}]),
                    &json!(true),
                    &json!("COMPLETED")
                ),
                "{binding}"
            );
            assert!(decided["text"].as_str().unwrap().contains(word), "{binding}: {decided}");
        }
        assert_eq!(output["canceled"], json!(["CANCELED", "CANCELED"]), "{binding}");
        assert_eq!(
            output["listed"],
            json!({
                "pages": [["You said: Number 2", "You said: Number 1"], ["You said: Number 0"]], "total": 3, "working": 0,
            }),
            "{binding}"
        );
        let sha256 = format!("{:x}", Sha256::digest(b"tea"));
        assert_eq!(
            output["files"],
            json!({
                "text": r#"You sent: "input_text" "input_file" "input_image""#,
                "parts": [
                    {"text": "See:"},
                    {"data": {"file": {"fileId": sha256, "filename": "a.txt", "mediaType": "text/plain", "sizeBytes": 3.0}}},
                    {"url": "https://example.com/a.png", "mediaType": "image/*"},
                ],
            }),
            "{binding}"
        );
        assert_eq!(
            output["errors"],
            json!({
                "unknown": "TaskNotFoundError", "ended": "UnsupportedOperationError",
                "cancel": "TaskNotCancelableError", "push": "PushNotificationNotSupportedError",
                "pushed": "PushNotificationNotSupportedError", "file": "ContentTypeNotSupportedError",
            }),
            "{binding}"
        );
    }
    assert_eq!(agent.model().violations(), Vec::<String>::new());
}
