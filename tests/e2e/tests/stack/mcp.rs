//! Tools of real MCP servers.

use std::time::{Duration, Instant};

use serde_json::json;
use steadfast_e2e::{
    backend::stack::{python, shared_stack},
    scripts::call_then_repeat,
};
use steadfast_testkit::{
    McpServer, ScriptedMcp,
    scripted_mcp::{End, McpReply},
    stack::{AgentSetup, Line},
};

#[tokio::test]
async fn an_unreachable_mcp_server_removes_only_its_own_tools() {
    let everything = McpServer::everything().await.unwrap();
    let dead = json!({"description": "Gone.", "mcp": {"url": "http://127.0.0.1:9/mcp"}});
    let alive = json!({
        "description": "Everything.",
        "mcp": {"url": everything.url(), "tools": [{"name": "echo", "rename": "say_again"}]},
    });
    let setup = AgentSetup::new(
        "mcp-everything",
        call_then_repeat("say_again", json!({"message": "hello"})),
    )
    .tool("everything", alive)
    .tool("dead", dead);
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    task.complete_turn(1, "Say hello.").await.unwrap();
    assert_eq!(agent.model().journal()[0].request.tool_names(), ["say_again"]);
    let lines = task.lines().await.unwrap();
    assert!(
        matches!(&lines[2], Line::ToolResponse { content, is_error: false, .. } if content.to_string().contains("hello")),
        "{lines:#?}"
    );
    let seen = viewer.until_turn_ended(1).await.unwrap();
    assert_eq!(seen.of_turn("tools_unavailable", 1).unwrap().data["tool"], "dead");
}

#[tokio::test]
async fn an_elicitation_of_an_mcp_server_is_answered_by_a_person() {
    let server = McpServer::python(&python("mcp_server.py")).await.unwrap();
    let tool = json!({"description": "Asks.", "mcp": {"url": server.url()}});
    let setup = AgentSetup::new("mcp-ask", call_then_repeat("ask", json!({"question": "Sure?"}))).tool("asking", tool);
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.send("Ask.").await.unwrap();
    let approval = task.until_approval_pending().await.unwrap();
    assert_eq!(approval["kind"], "elicitation", "{approval:?}");
    approval.answer(json!({"confirmed": true})).await.unwrap();
    task.turn_completed(1).await.unwrap();
    let output = agent.model().journal()[1].request.last_tool_output().unwrap();
    assert_eq!(output, "accept True");
}

#[tokio::test]
async fn an_interrupt_cancels_the_call_of_an_mcp_tool_at_its_server() {
    let server = ScriptedMcp::start(|request| match request.method() {
        "server/discover" => request.result(&json!({"supportedVersions": ["2026-07-28"], "capabilities": {}})),
        "tools/list" => {
            request.result(&json!({"tools": [{"name": "act"}, {"name": "any", "inputSchema": {"anyOf": []}}]}))
        }
        "tools/call" => McpReply::events(": working\n\n").ending(End::StaysOpen),
        _ => McpReply::empty(202),
    })
    .await
    .unwrap();
    let tool = json!({"description": "Acts.", "mcp": {"url": server.url()}});
    let setup = AgentSetup::new("mcp-interrupt", call_then_repeat("act", json!({}))).tool("acting", tool);
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.send("Act.").await.unwrap();
    server
        .until(|server| !server.of("tools/call").is_empty())
        .await
        .unwrap();

    let interrupted_at = Instant::now();
    task.interrupt().await.unwrap();
    server
        .until(|server| !server.of("notifications/cancelled").is_empty() && server.given_up() > 0)
        .await
        .unwrap();
    assert!(
        interrupted_at.elapsed() < Duration::from_secs(2),
        "{:?}",
        interrupted_at.elapsed()
    );
    let called = server.of("tools/call");
    assert_eq!(called.len(), 1);
    let cancelled = &server.of("notifications/cancelled")[0];
    assert_eq!(cancelled.body["params"]["requestId"], called[0].body["id"]);
}
