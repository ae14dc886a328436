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
        .configure(|spec| {
            let credential = serde_json::from_value(json!({"envVarName": "CITY"}));
            spec.credentials.push(credential.unwrap());
        })
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

/// The request of a provider to call a tool of an MCP server, which it calls itself once that is approved.
fn asks_before_it_rolls(request: &ModelRequest) -> Reply {
    let decided = request
        .input()
        .iter()
        .rfind(|item| item["type"] == "mcp_approval_response");
    match decided {
        None => Reply::stream().and_item(json!({
            "id": "mcpr_1", "type": "mcp_approval_request", "server_label": "dice", "name": "roll",
            "arguments": "{\"sides\":6}",
        })),
        Some(decided) if decided["approve"] == true => Reply::stream()
            .and_item(json!({
                "id": "mcp_1", "type": "mcp_call", "server_label": "dice", "name": "roll", "arguments": "{\"sides\":6}",
                "approval_request_id": "mcpr_1", "output": "4", "status": "completed",
            }))
            .and_text("You rolled 4."),
        Some(decided) => Reply::text(decided["reason"].as_str().unwrap_or_default().to_owned()),
    }
}

#[tokio::test]
async fn a_person_decides_whether_the_provider_calls_a_tool_of_an_mcp_server() {
    let server = json!({"description": "Dice.", "hosted": {
        "type": "mcp", "settings": {"server_label": "dice", "server_url": "https://dice.test/mcp"},
    }});
    let setup = AgentSetup::new("hosted-approval", asks_before_it_rolls).tool("dice", server);
    let agent = shared_stack().await.agent(setup).await.unwrap();

    let approved = agent.task().await.unwrap();
    approved.send("Roll.").await.unwrap();
    let approval = approved.until_approval_pending().await.unwrap();
    assert_eq!(
        (&approval["tool"], &approval["arguments"]),
        (&json!("roll"), &json!({"sides": 6}))
    );
    assert!(
        approval["prompt"].as_str().unwrap_or_default().contains("dice"),
        "{approval:?}"
    );
    approval.approve("").await.unwrap();
    approved.turn_completed(1).await.unwrap();
    assert_eq!(
        approved.lines().await.unwrap(),
        [
            Line::user("Roll."),
            Line::request("roll", json!({"sides": 6})),
            Line::response("roll", json!({"approve": true})),
            Line::request(
                "mcp",
                json!({"server": "dice", "tool": "roll", "arguments": {"sides": 6}})
            ),
            Line::response("mcp", json!("4")),
            Line::agent("You rolled 4."),
        ]
    );

    let rejected = agent.task().await.unwrap();
    rejected.send("Roll.").await.unwrap();
    rejected
        .until_approval_pending()
        .await
        .unwrap()
        .reject("no gambling")
        .await
        .unwrap();
    rejected.turn_completed(1).await.unwrap();
    let lines = rejected.lines().await.unwrap();
    let Some(Line::Agent(said)) = lines.last() else {
        panic!("{lines:#?}")
    };
    assert!(said.contains("no gambling"), "{said}");
    assert_eq!(agent.model().violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_request_of_the_model_that_nothing_answers_fails_the_turn_and_the_conversation_goes_on() {
    let items = [
        json!({"id": "sh_1", "type": "shell_call", "call_id": "c1", "action": {"commands": ["ls"]}, "status": "completed"}),
        json!({"id": "ls_1", "type": "local_shell_call", "call_id": "c1", "action": {"type": "exec"}, "status": "completed"}),
        json!({"id": "ap_1", "type": "apply_patch_call", "call_id": "c1", "operation": {}, "status": "completed"}),
        json!({"id": "cu_1", "type": "computer_call", "call_id": "c1", "action": {}, "status": "completed"}),
        json!({"id": "ct_1", "type": "custom_tool_call", "call_id": "c1", "name": "edit", "input": "text"}),
        json!({"id": "ts_1", "type": "tool_search_call", "call_id": null, "execution": "client", "arguments": {}}),
        // A type that no version of this program knows.
        json!({"id": "lv_1", "type": "levitation_call", "call_id": "c1", "status": "completed"}),
    ];
    let asked = items.clone();
    let setup = AgentSetup::new("unsupported", move |request| {
        match asked.iter().find(|item| item["type"] == request.last_user_text()) {
            Some(item) => Reply::stream()
                .and_reasoning("Hm.")
                .and_text("Let me see.")
                .and_item(item.clone()),
            None => Reply::text("Fine."),
        }
    });
    let agent = shared_stack().await.agent(setup).await.unwrap();
    for item in items {
        let kind = item["type"].as_str().unwrap();
        let task = agent.task().await.unwrap();
        let error = task.fail_turn(1, kind).await.unwrap();
        assert_eq!(error.category, "unsupported_output", "{error:?}");
        assert!(error.message.contains(kind), "{error:?}");
        task.complete_turn(2, "Go on.").await.unwrap();
        let lines = task.lines().await.unwrap();
        assert!(lines.contains(&Line::agent("Let me see.")), "{lines:#?}");
        assert_eq!(lines.last(), Some(&Line::agent("Fine.")), "{lines:#?}");
        assert!(
            !lines.iter().any(|line| matches!(line, Line::ToolResponse { .. })),
            "{lines:#?}"
        );
    }
    assert_eq!(agent.model().violations(), Vec::<String>::new());
}
