//! Tools of real MCP servers.

use serde_json::json;
use steadfast_events::TurnStatus;
use steadfast_testkit::McpServer;
use steadfast_testkit::scripted_model::Reply;
use steadfast_testkit::stack::{AgentSetup, Line};

use crate::people::{decide, until_asked};
use crate::shared::{python, stack};

#[tokio::test]
async fn tools_of_two_servers_are_called_and_a_dead_one_takes_only_its_own_away() {
    let everything = McpServer::everything().await.unwrap();
    let dead = json!({"description": "Gone.", "mcp": {"url": "http://127.0.0.1:9/mcp"}});
    let alive = json!({
        "description": "Everything.",
        "mcp": {"url": everything.url(), "tools": [{"name": "echo", "rename": "say_again"}]},
    });
    let setup = AgentSetup::new("mcp-everything", |request| match request.last_tool_output() {
        None => Reply::call("say_again", &json!({"message": "hello"})),
        Some(output) => Reply::text(output),
    })
    .tool("everything", alive)
    .tool("dead", dead);
    let agent = stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    assert_eq!(task.turn(1, "Say hello.").await.unwrap().status, TurnStatus::Completed);
    assert_eq!(agent.model().journal()[0].request.tool_names(), ["say_again"]);
    let lines = task.lines().await.unwrap();
    assert!(
        matches!(&lines[2], Line::ToolResponse { content, is_error: false, .. } if content.to_string().contains("hello")),
        "{lines:#?}"
    );
    let seen = viewer
        .until("the end of the turn", |seen| seen.of_turn("turn_ended", 1).is_some())
        .await
        .unwrap();
    assert_eq!(seen.of_turn("tools_unavailable", 1).unwrap().data["tool"], "dead");
}

#[tokio::test]
async fn a_server_that_asks_in_the_middle_of_a_call_gets_a_persons_answer() {
    let server = McpServer::python(&python("mcp_server.py")).await.unwrap();
    let tool = json!({"description": "Asks.", "mcp": {"url": server.url()}});
    let setup = AgentSetup::new("mcp-ask", |request| match request.last_tool_output() {
        None => Reply::call("ask", &json!({"question": "Sure?"})),
        Some(output) => Reply::text(output),
    })
    .tool("asking", tool);
    let agent = stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.send("Ask.").await.unwrap();
    let approval = until_asked(agent.client(), &task).await;
    assert_eq!(approval["kind"], "elicitation", "{approval}");
    let answer = json!({"answer": {"confirmed": true}});
    decide(agent.client(), &approval, "approve", answer).await;
    assert_eq!(task.turn_ended(1).await.unwrap().status, TurnStatus::Completed);
    let output = agent.model().journal()[1].request.last_tool_output().unwrap();
    assert_eq!(output, "accept True");
}
