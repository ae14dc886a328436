//! Hosted tools: the model's provider runs them.

use serde_json::json;
use steadfast_e2e::backend::stack::shared_stack;
use steadfast_testkit::{
    scripted_model::{ModelRequest, Reply},
    stack::{AgentSetup, Line},
};

/// An agent that may search the web.
fn searching(name: &str, script: impl Fn(&ModelRequest) -> Reply + Send + Sync + 'static) -> AgentSetup {
    let settings = json!({
        "search_context_size": "low",
        "user_location": {"type": "approximate", "city": "${env.CITY}"},
    });
    let tool = json!({"description": "Searches.", "hosted": {"type": "web_search", "settings": settings}});
    AgentSetup::new(name, script)
        .tool("search_the_web", tool)
        .variable("CITY", "Oslo")
}

fn answered(text: &str) -> [Line; 4] {
    [
        Line::user("Who won?"),
        Line::request("web_search", json!({"type": "search", "query": "chess final"})),
        Line::response("web_search", json!("completed")),
        Line::agent(text),
    ]
}

#[tokio::test]
async fn a_hosted_tool_is_sent_and_shown_and_its_item_returned_unchanged() {
    let setup = searching("hosted", |request| match request.number {
        1 => Reply::stream().and_web_search("chess final").and_text("Ada won."),
        _ => Reply::text("Still Ada."),
    });
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    task.complete_turn(1, "Who won?").await.unwrap();
    let seen = viewer.until_turn_ended(1).await.unwrap();
    let expected = answered("Ada won.");
    assert_eq!(task.lines().await.unwrap(), expected);
    assert_eq!(seen.lines(), expected);
    // The request is shown while the provider runs the tool.
    let request = json!("tool_request");
    let place = |kind: &str, path: &str| {
        let mut frames = seen.frames.iter();
        frames.position(|frame| frame.kind == kind && frame.data.pointer(path) == Some(&request))
    };
    let begun = place("message_started", "/content/type");
    let done = place("message_done", "/message/content/type");
    assert!(begun.is_some() && begun < done, "{}", seen.summary());

    task.complete_turn(2, "Sure?").await.unwrap();
    let calls = agent.model().journal();
    let offered = json!([{
        "type": "web_search",
        "search_context_size": "low",
        "user_location": {"type": "approximate", "city": "Oslo"},
    }]);
    assert!(calls.iter().all(|call| call.request.body["tools"] == offered));
    assert_eq!(
        calls[1].request.input(),
        [
            json!({"role": "user", "content": "Who won?"}),
            json!({
                "id": "ws_1_0", "type": "web_search_call", "status": "completed",
                "action": {"type": "search", "query": "chess final"},
            }),
            json!({
                "id": "msg_1_1", "type": "message", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": "Ada won.", "annotations": [], "logprobs": []}],
            }),
            json!({"role": "user", "content": "Sure?"}),
        ]
    );
    assert_eq!(agent.model().violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_hosted_tool_of_a_broken_model_call_is_shown_once() {
    let setup = searching("hosted-broken", |request| {
        let searched = Reply::stream().and_web_search("chess final");
        match request.number {
            1 => searched.and_text("Ada w").cut(),
            _ => searched.and_text("Ada won."),
        }
    });
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    task.complete_turn(1, "Who won?").await.unwrap();
    let seen = viewer.until_turn_ended(1).await.unwrap();
    assert_eq!(seen.lines(), answered("Ada won."), "{}", seen.summary());
    assert_eq!(task.lines().await.unwrap(), answered("Ada won."));
    assert_eq!(agent.model().journal().len(), 2);
}
