//! OpenAI's public clients, unmodified, against the gateway and a worker.

use std::time::Duration;

use serde_json::{Value, json};
use steadfast_e2e::backend::stack::{guarded_nonce_tool, node, python, shared_stack};
use steadfast_testkit::{
    scripted_model::{ModelRequest, Reply, Text},
    stack::{AgentSetup, run_node_script, run_script},
};

/// Longer than a stream is silent.
const SILENCE: Duration = Duration::from_secs(17);
/// What comes word by word.
const TEN: &str = "One two three four five six seven eight nine ten";

fn reply(request: &ModelRequest) -> Reply {
    let said = request.user_texts().pop().unwrap_or_default();
    let words = |text: String, pause| Reply::text(Text::words(text).every(Duration::from_millis(pause)));
    if let Some(output) = request.last_tool_output() {
        return Reply::text(format!("The tool said: {output}"));
    }
    match said.as_str() {
        "look it up" => Reply::call("nonce", &json!({"of": "tea"})),
        "ask a person" => Reply::call("ask", &json!({"of": "tea"})),
        "be silent" => Reply::text(Text::words("Before after").every(SILENCE)),
        "fail" => Reply::error(400, "invalid_request_error", "No."),
        "as JSON" => Reply::text(r#"{"city":"Oslo","degrees":7}"#),
        "endlessly" => words("and so on ".repeat(2_000), 20),
        "slowly, please" => words(TEN.to_owned(), 50),
        _ => words(format!("You said: {said}"), 5),
    }
}

fn question() -> Value {
    json!({
        "description": "Asks a person.", "human": {"prompt": "Is it so?"},
        "parameters": {"type": "object", "properties": {"of": {"type": "string"}}},
    })
}

#[tokio::test]
async fn the_public_python_client_uses_agents_as_models() {
    let setup = AgentSetup::new("openai", reply).tool("ask", question());
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let url = shared_stack().await.url();
    let output: Value = run_script(&python("openai_api.py"), &[&url, &agent.name()])
        .await
        .unwrap();
    let models = output["models"].as_array().unwrap();
    assert!(models.contains(&json!(agent.name())), "{models:?}");
    assert_eq!(output["model"], json!(agent.name()));

    let whole = &output["whole"];
    assert_eq!(
        (&whole["first"], &whole["second"], &whole["same_later"], &whole["input"]),
        (
            &json!("You said: One"),
            &json!("You said: Two"),
            &json!(true),
            &json!(["Two"])
        )
    );
    assert!(whole["usage"].as_u64().unwrap() > 0);
    let streamed = &output["streamed"];
    assert_eq!(
        (&streamed["text"], &streamed["deltas"]),
        (&json!("You said: A stream"), &json!("You said: A stream"))
    );
    assert!(streamed["pieces"].as_u64().unwrap() > 1, "{streamed}");
    assert_eq!(
        output["resumed"],
        json!({"gapless": true, "deltas": TEN, "text": TEN, "helper": TEN})
    );
    let weather = json!({"city": "Oslo", "degrees": 7});
    assert_eq!(output["parsed"], json!({"response": weather, "completion": weather}));
    assert_eq!(output["canceled"], "cancelled");

    for decided in ["approved", "denied"] {
        let decided = &output[decided];
        assert_eq!(
            decided["asked"],
            json!(["mcp_approval_request", "ask", r#"{"of":"tea"}"#])
        );
        assert_eq!(decided["items"], json!(["mcp_call", "message"]));
    }
    let text = |decided: &str| output[decided]["text"].as_str().unwrap().to_owned();
    assert!(text("denied").contains("because"), "{}", text("denied"));
    assert_ne!(text("approved"), text("denied"));

    assert_eq!(
        output["conversation"],
        json!({
            "same_id": true, "deleted": true,
            "texts": ["One", "You said: One", "Two", "You said: Two"],
            "item": "You said: One", "updated": {"k": "v"},
        })
    );
    let chat = &output["chat"];
    assert_eq!(
        (&chat["first"], &chat["second"], &chat["reason"]),
        (&json!("You said: One"), &json!("You said: Two"), &json!("stop"))
    );
    assert!(chat["usage"].as_u64().unwrap() > 0);
    assert_eq!(
        output["errors"],
        json!({
            "unknown_model": ["NotFoundError", "model_not_found", "model"],
            "audio": ["BadRequestError", "invalid_request_error", "input"],
            "unknown_response": ["NotFoundError", "not_found_error", null],
            "delete": ["BadRequestError", "not_supported", null],
        })
    );
    assert_eq!(agent.model().violations(), Vec::<String>::new());
}

#[tokio::test]
async fn the_public_python_client_drives_agents_of_the_agents_api() {
    let setup = AgentSetup::new("openai-agents", reply)
        .tool("ask", question())
        .tool("nonce", guarded_nonce_tool());
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let url = shared_stack().await.url();
    let output: Value = run_script(&python("openai_agents.py"), &[&url, &agent.name()])
        .await
        .unwrap();
    let agents = &output["agents"];
    assert!(
        agents["listed"].as_array().unwrap().contains(&json!(agent.name())),
        "{agents}"
    );
    assert_eq!((&agents["name"], &agents["same"]), (&json!(agent.name()), &json!(true)));
    assert_eq!(
        output["created"],
        json!({"first": "agent.session.created", "last": "agent.session.idle", "deltas": "You said: One"})
    );
    assert_eq!(
        output["polled"],
        json!({
            "first": "in_progress", "last": "idle", "texts": ["One", "You said: One"], "turns": ["completed"],
            "items_of_turn": 2,
        })
    );
    let numbers: Vec<String> = (0..5).map(|number| format!("You said: Number {number}")).collect();
    assert_eq!(output["helper"], json!(numbers));
    let asked = &output["asked"];
    assert_eq!(asked["prompt"], "Is it so?");
    assert!(asked["answered"].as_str().unwrap().contains("certainly"), "{asked}");
    let decided: Vec<&str> = asked["decided"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(decided[0].contains("tea") && !decided[1].contains("tea"), "{decided:?}");
    assert_eq!(
        output["undecided"],
        json!(["requires_action", "requires_action", ["mcp_approval_request"]])
    );
    let rejected = &output["rejected"];
    assert_ne!(rejected["text"], asked["answered"]);
    assert_eq!(
        rejected["again"],
        json!(["BadRequestError", "invalid_request_error", "events"])
    );
    assert_eq!(output["repeated"], json!(["completed"]));
    assert_eq!(
        output["failed"],
        json!(["failed", "failed", "invalid_request", "You said: Two"])
    );
    assert_eq!(
        output["canceled"],
        json!(["cancel", "agent.session.turn.cancelled", "agent.session.idle"])
    );
    assert_eq!(
        output["busy"],
        json!({"refused": true, "conflict": "ConflictError", "said": ["endlessly"], "deleted": true})
    );
    assert_eq!(
        output["resumed"],
        json!({"went_on": true, "no_event_twice": true, "text": TEN})
    );
    assert_eq!(
        output["lists"],
        json!({"found": true, "updated": {"list": "changed"}, "empty": [[], []], "deleted": true})
    );
    assert_eq!(output["silence"], "Before after");
    assert_eq!(
        output["errors"],
        json!({
            "unknown": ["NotFoundError", "not_found_error", null],
            "create": ["BadRequestError", "not_supported", null],
            "environment": ["BadRequestError", "not_supported", "environment"],
            "vault": ["BadRequestError", "not_supported", "vaults"],
            "session": ["NotFoundError", "not_found_error", null],
        })
    );
    assert_eq!(agent.model().violations(), Vec::<String>::new());
}

#[tokio::test]
async fn the_public_client_of_npm_uses_all_of_it() {
    let setup = AgentSetup::new("openai-node", reply).tool("ask", question());
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let url = shared_stack().await.url();
    let mut output: Value = run_node_script(&node("openai_api.mjs"), &[&url, &agent.name()])
        .await
        .unwrap();
    let mut text = |decided: &str| output[decided]["text"].take().as_str().unwrap().to_owned();
    let (approved, denied) = (text("approved"), text("denied"));
    assert!(denied.contains("because") && approved != denied, "{approved} {denied}");
    let weather = json!({"city": "Oslo", "degrees": 7});
    let decided = json!({"asked": ["mcp_approval_request", "ask"], "items": ["mcp_call", "message"], "text": null});
    assert_eq!(
        output,
        json!({
            "responses": {"first": "You said: One", "deltas": "You said: Two", "final": "You said: Two"},
            "resumed": {"gapless": true, "text": TEN, "helper": TEN},
            "parsed": {"response": weather, "completion": weather},
            "canceled": "cancelled",
            "approved": decided,
            "denied": decided,
            "conversation": {"texts": ["One", "You said: One"], "same_id": true, "deleted": true},
            "chat": "You said: One",
            "errors": {
                "model": ["NotFoundError", 404, "model_not_found", "model"],
                "create": ["BadRequestError", 400, "not_supported", null],
            },
            "silence": "Before after",
        })
    );
    assert_eq!(agent.model().violations(), Vec::<String>::new());
}

#[tokio::test]
async fn the_public_client_of_npm_drives_agents_of_the_agents_api() {
    let setup = AgentSetup::new("openai-agents-node", reply)
        .tool("ask", question())
        .tool("nonce", guarded_nonce_tool());
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let url = shared_stack().await.url();
    let mut output: Value = run_node_script(&node("openai_agents.mjs"), &[&url, &agent.name()])
        .await
        .unwrap();
    let mut text = |path: &str| output.pointer_mut(path).unwrap().take().as_str().unwrap().to_owned();
    let (answered, approved, denied) = (text("/answered/text"), text("/approved"), text("/denied"));
    assert!(answered.contains("certainly"), "{answered}");
    assert!(
        approved.contains("tea") && !denied.contains("tea"),
        "{approved} {denied}"
    );
    assert_eq!(
        output,
        json!({
            "created": {"first": "agent.session.created", "last": "agent.session.idle"},
            "helper": {"text": "You said: Two", "turns": ["completed"], "texts": ["Two", "You said: Two"]},
            "answered": {"prompt": "Is it so?", "text": null},
            "approved": null,
            "denied": null,
            "canceled": ["cancel", "agent.session.turn.cancelled", "agent.session.idle"],
            "resumed": {"went_on": true, "no_event_twice": true, "text": TEN},
            "lists": {"found": true, "agent": true, "deleted": true},
        })
    );
    assert_eq!(agent.model().violations(), Vec::<String>::new());
}

#[tokio::test]
async fn open_webui_talks_to_agents_and_its_own_requests_run_none() {
    let agent = shared_stack()
        .await
        .agent(AgentSetup::new("open-webui", reply))
        .await
        .unwrap();
    let url = shared_stack().await.url();
    let output: Value = run_script(&python("open_webui.py"), &[&url, &agent.name()])
        .await
        .unwrap();
    let answers = json!(["You said: One", "You said: Two", "You said: Two", "You said: Two"]);
    let tasks = [
        ("title", json!("One")),
        ("tags", json!([])),
        ("follow_ups", json!([])),
        ("queries", json!([])),
    ];
    assert_eq!(output["has_model"], true);
    for surface in ["chat", "responses"] {
        let seen = &output[surface];
        assert_eq!(seen["answers"], answers, "{surface}");
        for (key, expected) in &tasks {
            assert_eq!(seen["tasks"][key][key], *expected, "{surface}");
        }
    }
    assert_eq!(output["responses"]["tasks"]["title"]["status"], "completed");
    // One, Two, and Two regenerated, by each API: what was repeated and what the UI asked for itself ran nothing.
    assert_eq!(agent.model().journal().len(), 6);
}
