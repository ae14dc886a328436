//! The command `steadfast`: what agents ask, and a conversation.

use anyhow::ensure;
use serde_json::{Value, json};
use steadfast_events::TurnStatus;
use steadfast_testkit::scripted_model::Reply;
use steadfast_testkit::stack::{Agent, AgentSetup, Cli, Line, PATIENCE, Stack, activity_tool};
use steadfast_testkit::wait;

use crate::shared::{TOOLS, stack};

/// Calls a guarded tool with what the person said, and repeats what came of it.
async fn agent(stack: &Stack, name: &str) -> Agent {
    let mut tool = activity_tool("nonce", TOOLS, &json!({"of": {"type": "string"}}));
    tool["approval"] = json!({"required": true, "timeout": "1h"});
    let setup = AgentSetup::new(name, |request| match request.last_tool_output() {
        None => Reply::call("nonce", &json!({"of": request.last_user_text()})),
        Some(output) => Reply::text(format!("It says: {output}")),
    })
    .tool("nonce", tool);
    stack.agent(setup).await.unwrap()
}

/// What it says when it succeeds.
async fn told(cli: &Cli, arguments: &[&str]) -> String {
    let printed = cli.run(arguments).await.unwrap();
    assert!(printed.success, "{printed:?}");
    printed.stdout
}

/// Why it does not.
async fn refused(cli: &Cli, arguments: &[&str]) -> String {
    let printed = cli.run(arguments).await.unwrap();
    assert!(!printed.success && printed.stdout.is_empty(), "{printed:?}");
    printed.stderr
}

/// The table of what waits, once it has this many rows, head left out. Lists lag behind a little.
async fn rows(cli: &Cli, selection: &[&str], count: usize) -> Vec<String> {
    let arguments = [&["approvals", "list"][..], selection].concat();
    wait::until("approvals to be listed", PATIENCE, async || {
        let printed = cli.run(&arguments).await?;
        let rows: Vec<String> = printed.stdout.lines().skip(1).map(str::to_owned).collect();
        ensure!(printed.success && rows.len() == count, "{printed:?}");
        Ok(rows)
    })
    .await
    .unwrap()
}

/// The cells of a row, the arguments being the last.
fn cells(row: &str) -> Vec<&str> {
    row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

#[tokio::test]
async fn what_waits_is_listed_approved_and_rejected_from_the_command_line() {
    let stack = stack().await;
    let cli = stack.cli().unwrap();
    let agent = agent(stack, "by-command").await;
    let (tea, coffee) = (agent.task().await.unwrap(), agent.task().await.unwrap());
    tea.send("tea").await.unwrap();
    let listed = rows(&cli, &["--task", tea.id()], 1).await;
    coffee.send("coffee").await.unwrap();
    let both = rows(&cli, &["--agent", "by-command"], 2).await;
    let (first, second) = (cells(&both[0]), cells(&both[1]));
    assert_eq!(cells(&listed[0])[0], first[0]);
    assert_eq!(first[1..3], ["by-command", "nonce"]);
    assert_eq!((first[5], second[5]), (r#"{"of":"tea"}"#, r#"{"of":"coffee"}"#));

    let approve = ["approvals", "approve", first[0], "--reason", "fine"];
    assert_eq!(told(&cli, &approve).await, "approved\n");
    assert_eq!(tea.turn_ended(1).await.unwrap().status, TurnStatus::Completed);
    let lines = tea.lines().await.unwrap();
    assert!(
        matches!(&lines[2], Line::ToolResponse { content, is_error: false, .. } if content["of"] == "tea"),
        "{lines:#?}"
    );
    let reject = ["approvals", "reject", second[0], "--reason", "too late in the day"];
    assert_eq!(told(&cli, &reject).await, "rejected\n");
    assert_eq!(coffee.turn_ended(1).await.unwrap().status, TurnStatus::Completed);
    let lines = coffee.lines().await.unwrap();
    assert!(
        matches!(lines.last(), Some(Line::Agent(text)) if text.ends_with("rejected it: too late in the day")),
        "{lines:#?}"
    );

    // The same again changes nothing; anything else comes too late.
    assert_eq!(told(&cli, &approve).await, "approved\n");
    let late = refused(&cli, &["approvals", "reject", first[0]]).await;
    assert_eq!(late, "steadfast: the approval was approved already\n");
    let unknown = refused(&cli, &["approvals", "approve", "nobody.1.0.0"]).await;
    assert!(unknown.contains("404 Not Found"), "{unknown}");
    let nothing = told(&cli, &["approvals", "list", "--task", tea.id()]).await;
    assert_eq!(nothing, "no approvals are pending\n");
}

#[tokio::test]
async fn a_form_is_filled_in_from_the_command_line() {
    let tool = json!({
        "description": "Asks for the size.",
        "human": {"form": {"type": "object", "properties": {"size": {"type": "integer"}}, "required": ["size"]}},
    });
    let setup = AgentSetup::new("form-by-command", |request| match request.last_tool_output() {
        None => Reply::call("ask_size", &json!({})),
        Some(output) => Reply::text(output),
    })
    .tool("ask_size", tool);
    let stack = stack().await;
    let cli = stack.cli().unwrap();
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.send("A shirt.").await.unwrap();
    let listed = rows(&cli, &["--task", task.id()], 1).await;
    let id = cells(&listed[0])[0];
    let unfit = refused(&cli, &["approvals", "approve", id]).await;
    assert!(unfit.ends_with("pass the answer with --answer JSON\n"), "{unfit}");
    let no_json = refused(&cli, &["approvals", "approve", id, "--answer", "large"]).await;
    assert!(no_json.contains("--answer must be JSON"), "{no_json}");
    told(&cli, &["approvals", "approve", id, "--answer", r#"{"size": 3}"#]).await;
    assert_eq!(task.turn_ended(1).await.unwrap().status, TurnStatus::Completed);
    let output = agent.model().journal()[1].request.last_tool_output().unwrap();
    let output: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(output, json!({"decision": "approved", "answer": {"size": 3}}));
}

#[tokio::test]
async fn chat_at_a_terminal_asks_and_takes_the_answer() {
    let stack = stack().await;
    let agent = agent(stack, "chatty").await;
    let mut chat = stack.cli().unwrap().chat_at_terminal("chatty").unwrap();
    chat.until("> ").await.unwrap();
    chat.say("tea").await.unwrap();
    let asked = chat.until("approve? [y/n/later] ").await.unwrap();
    assert!(
        asked.contains("chatty wants to call nonce") && asked.contains(r#"{"of":"tea"}"#),
        "{asked}"
    );
    assert_eq!(agent.model().journal().len(), 1);
    chat.say("y").await.unwrap();
    let answered = chat.until("2 model calls").await.unwrap();
    assert!(
        answered.contains("nonce: approved") && answered.contains("chatty: It says: {"),
        "{answered}"
    );

    chat.say("coffee").await.unwrap();
    chat.until("approve? [y/n/later] ").await.unwrap();
    chat.say("n").await.unwrap();
    chat.until("why not? ").await.unwrap();
    chat.say("too late in the day").await.unwrap();
    let answered = chat.until("2 model calls").await.unwrap();
    assert!(answered.contains("rejected it: too late in the day"), "{answered}");
    let printed = chat.leave().await.unwrap();
    assert!(printed.success, "{printed:?}");
}

#[tokio::test]
async fn chat_in_a_script_says_how_to_decide_and_goes_on_once_it_is_decided() {
    let stack = stack().await;
    let cli = stack.cli().unwrap();
    let _agent = agent(stack, "piped").await;
    let mut chat = cli.chat("piped").unwrap();
    chat.say("tea").await.unwrap();
    let asked = chat.until("--reason WHY").await.unwrap();
    assert!(asked.contains("piped wants to call nonce"), "{asked}");
    let (_, command) = asked.split_once("steadfast approvals approve ").unwrap();
    let id = command.split_whitespace().next().unwrap();
    assert_eq!(told(&cli, &["approvals", "approve", id]).await, "approved\n");
    let answered = chat.until("2 model calls").await.unwrap();
    assert!(answered.contains("piped: It says: {"), "{answered}");
    let printed = chat.leave().await.unwrap();
    assert!(
        printed.success && printed.stderr.contains("continue with: steadfast chat piped --task "),
        "{printed:?}"
    );
}
