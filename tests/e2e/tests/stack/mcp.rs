//! Tools of real MCP servers.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

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

#[tokio::test]
async fn a_worker_that_is_lost_in_a_call_makes_it_again_only_if_the_server_says_that_this_is_safe() {
    let (unknown, read_only) = tokio::join!(lose_worker("mcp-lost", false), lose_worker("mcp-lost-search", true));
    let (calls, content, is_error) = unknown;
    assert_eq!((calls, is_error), (1, true), "{content}");
    assert!(
        content.contains("the tool may have acted, so it is not called again"),
        "{content}"
    );
    assert_eq!(read_only, (2, "\"found\"".to_owned(), false));
}

/// Kills the worker of an agent while its tool runs, and starts it again. How often the tool was called, and its result.
async fn lose_worker(name: &str, is_read_only: bool) -> (usize, String, bool) {
    let called = AtomicUsize::new(0);
    let server = ScriptedMcp::start(move |request| match request.method() {
        "server/discover" => request.result(&json!({"supportedVersions": ["2026-07-28"], "capabilities": {}})),
        "tools/list" => {
            let tool = json!({"name": "act", "annotations": {"readOnlyHint": is_read_only}});
            request.result(&json!({"tools": [tool]}))
        }
        "tools/call" if called.fetch_add(1, Ordering::Relaxed) == 0 => McpReply::never(),
        "tools/call" => request.result(&json!({"content": "found"})),
        _ => McpReply::empty(202),
    })
    .await
    .unwrap();
    let tool = json!({
        "description": "Acts.", "mcp": {"url": server.url()}, "timeout": "5s", "retry": {"initialInterval": "200ms"},
    });
    let setup = AgentSetup::new(name, call_then_repeat("act", json!({}))).tool("acting", tool);
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.send("Act.").await.unwrap();
    server
        .until(|server| !server.of("tools/call").is_empty())
        .await
        .unwrap();
    agent.worker().kill().await.unwrap();
    agent.worker().launch().await.unwrap();
    task.turn_completed(1).await.unwrap();
    let lines = task.lines().await.unwrap();
    let Line::ToolResponse { content, is_error, .. } = &lines[2] else {
        panic!("{lines:#?}")
    };
    (server.of("tools/call").len(), content.to_string(), *is_error)
}

#[tokio::test]
async fn a_call_that_has_not_reached_its_tool_is_made_again() {
    let called = AtomicUsize::new(0);
    let server = ScriptedMcp::start(move |request| match request.method() {
        "server/discover" => request.result(&json!({"supportedVersions": ["2026-07-28"], "capabilities": {}})),
        "tools/list" => request.result(&json!({"tools": [{"name": "act"}]})),
        "tools/call" if called.fetch_add(1, Ordering::Relaxed) < 2 => McpReply::empty(503),
        "tools/call" => request.result(&json!({"content": "done"})),
        _ => McpReply::empty(202),
    })
    .await
    .unwrap();
    let tool = json!({
        "description": "Acts.", "mcp": {"url": server.url()}, "retry": {"initialInterval": "100ms"},
    });
    let setup = AgentSetup::new("mcp-busy", call_then_repeat("act", json!({}))).tool("acting", tool);
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "Act.").await.unwrap();
    assert_eq!(server.of("tools/call").len(), 3);
    let output = agent.model().journal()[1].request.last_tool_output().unwrap();
    assert_eq!(output, "done");
}
