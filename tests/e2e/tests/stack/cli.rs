//! The program `steadfast`: approvals and chat.

use anyhow::ensure;
use serde_json::{Value, json};
use steadfast_e2e::{
    backend::stack::{TOOLS, nonce_tool, shared_stack},
    scripts::call_then_repeat,
    snapshot::Placeholders,
};
use steadfast_testkit::{
    scripted_model::Reply,
    stack::{Agent, AgentSetup, Cli, CommandOutput, Line, Stack, TIMEOUT, activity_tool},
    wait,
};

/// An agent that calls a guarded tool with the user's message and answers with the tool's output.
async fn agent(stack: &Stack, name: &str) -> Agent {
    let mut tool = nonce_tool();
    tool["approval"] = json!({"required": true, "timeout": "1h"});
    let setup = AgentSetup::new(name, |request| match request.last_tool_output() {
        None => Reply::call("nonce", &json!({"of": request.last_user_text()})),
        Some(output) => Reply::text(format!("It says: {output}")),
    })
    .tool("nonce", tool);
    stack.agent(setup).await.unwrap()
}

/// Runs a command that must succeed, and returns its output.
async fn succeed(cli: &Cli, arguments: &[&str]) -> String {
    let printed = cli.run(arguments).await.unwrap();
    assert!(printed.success, "{printed:?}");
    printed.stdout
}

/// Runs a command that must fail, and returns its error output.
async fn fail(cli: &Cli, arguments: &[&str]) -> String {
    let printed = cli.run(arguments).await.unwrap();
    assert!(!printed.success && printed.stdout.is_empty(), "{printed:?}");
    printed.stderr
}

/// Waits until `approvals list` prints this many rows, and returns them without the head. The list lags a little.
async fn rows(cli: &Cli, selection: &[&str], count: usize) -> Vec<String> {
    let arguments = [&["approvals", "list"][..], selection].concat();
    wait::until("approvals to be listed", TIMEOUT, async || {
        let printed = cli.run(&arguments).await?;
        let rows: Vec<String> = printed.stdout.lines().skip(1).map(str::to_owned).collect();
        ensure!(printed.success && rows.len() == count, "{printed:?}");
        Ok(rows)
    })
    .await
    .unwrap()
}

/// The cells of a row. The last one has the arguments.
fn cells(row: &str) -> Vec<&str> {
    row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

#[tokio::test]
async fn pending_approvals_are_listed_approved_and_rejected_from_the_command_line() {
    let stack = shared_stack().await;
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
    assert_eq!(succeed(&cli, &approve).await, "approved\n");
    tea.turn_completed(1).await.unwrap();
    let lines = tea.lines().await.unwrap();
    assert!(
        matches!(&lines[2], Line::ToolResponse { content, is_error: false, .. } if content["of"] == "tea"),
        "{lines:#?}"
    );
    let reject = ["approvals", "reject", second[0], "--reason", "too late in the day"];
    assert_eq!(succeed(&cli, &reject).await, "rejected\n");
    coffee.turn_completed(1).await.unwrap();
    let lines = coffee.lines().await.unwrap();
    assert!(
        matches!(lines.last(), Some(Line::Agent(text)) if text.ends_with("rejected it: too late in the day")),
        "{lines:#?}"
    );

    // The same decision again changes nothing; another one is refused.
    assert_eq!(succeed(&cli, &approve).await, "approved\n");
    let late = fail(&cli, &["approvals", "reject", first[0]]).await;
    assert_eq!(late, "steadfast: the approval was already approved\n");
    let unknown = fail(&cli, &["approvals", "approve", "nobody.run.1.0.0"]).await;
    assert!(unknown.contains("404 Not Found"), "{unknown}");
    let nothing = succeed(&cli, &["approvals", "list", "--task", tea.id()]).await;
    assert_eq!(nothing, "no approvals are pending\n");
}

#[tokio::test]
async fn tasks_are_listed_followed_and_ended_from_the_command_line() {
    let stack = shared_stack().await;
    let cli = stack.cli().unwrap();
    let setup = AgentSetup::new("tasks-by-command", |_| Reply::text("Good day."));
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.send("Hello.").await.unwrap();
    task.turn_completed(1).await.unwrap();

    let list = ["tasks", "list", "--agent", "tasks-by-command", "--status", "running"];
    let listed = wait::until("the task to be listed", TIMEOUT, async || {
        let printed = cli.run(&list).await?;
        ensure!(printed.stdout.lines().count() == 2, "{printed:?}");
        Ok(printed.stdout)
    })
    .await
    .unwrap();
    let row = cells(listed.lines().nth(1).unwrap());
    assert_eq!(row[..3], [task.id(), "tasks-by-command", "RUNNING"]);
    let agents = succeed(&cli, &["agents", "list"]).await;
    assert!(agents.contains("tasks-by-command"), "{agents}");
    let shown = succeed(&cli, &["tasks", "show", task.id()]).await;
    assert!(shown.contains("\nStatus:  RUNNING\n"), "{shown}");
    let json: Value = serde_json::from_str(&succeed(&cli, &["tasks", "show", task.id(), "-o", "json"]).await).unwrap();
    assert_eq!(json["id"], task.id());

    let cancel = ["tasks", "cancel", task.id(), "--reason", "enough"];
    assert_eq!(succeed(&cli, &cancel).await, "the task has ended\n");
    let followed = succeed(&cli, &["tasks", "follow", task.id()]).await;
    assert!(
        followed.contains("Good day.") && followed.contains("the task is canceled"),
        "{followed}"
    );
    let late = fail(&cli, &["tasks", "interrupt", task.id()]).await;
    assert!(late.contains("the task has ended"), "{late}");
    let unknown = fail(&cli, &["tasks", "show", "nobody"]).await;
    assert!(unknown.contains("404 Not Found"), "{unknown}");
}

#[tokio::test]
async fn a_form_is_filled_in_from_the_command_line() {
    let tool = json!({
        "description": "Asks for the size.",
        "human": {"form": {"type": "object", "properties": {"size": {"type": "integer"}}, "required": ["size"]}},
    });
    let setup = AgentSetup::new("form-by-command", call_then_repeat("ask_size", json!({}))).tool("ask_size", tool);
    let stack = shared_stack().await;
    let cli = stack.cli().unwrap();
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.send("A shirt.").await.unwrap();
    let listed = rows(&cli, &["--task", task.id()], 1).await;
    let id = cells(&listed[0])[0];
    let unfit = fail(&cli, &["approvals", "approve", id]).await;
    assert!(unfit.ends_with("pass the answer with --answer JSON\n"), "{unfit}");
    let no_json = fail(&cli, &["approvals", "approve", id, "--answer", "large"]).await;
    assert!(no_json.contains("--answer must be JSON"), "{no_json}");
    succeed(&cli, &["approvals", "approve", id, "--answer", r#"{"size": 3}"#]).await;
    task.turn_completed(1).await.unwrap();
    let output = agent.model().journal()[1].request.last_tool_output().unwrap();
    let output: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(output, json!({"decision": "approved", "answer": {"size": 3}}));
}

#[tokio::test]
async fn chat_at_a_terminal_prompts_for_a_decision() {
    let stack = shared_stack().await;
    let agent = agent(stack, "chatty").await;
    let mut chat = stack.cli().unwrap().chat_at_terminal("chatty").unwrap();
    chat.until("> ").await.unwrap();
    chat.send_line("tea").await.unwrap();
    let asked = chat.until("approve? [y/n/later] ").await.unwrap();
    assert!(
        asked.contains("chatty wants to call nonce") && asked.contains(r#"{"of":"tea"}"#),
        "{asked}"
    );
    assert_eq!(agent.model().journal().len(), 1);
    chat.send_line("y").await.unwrap();
    let answered = chat.until("2 model calls").await.unwrap();
    assert!(
        answered.contains("nonce: approved") && answered.contains("chatty: It says: {"),
        "{answered}"
    );

    chat.send_line("coffee").await.unwrap();
    chat.until("approve? [y/n/later] ").await.unwrap();
    chat.send_line("n").await.unwrap();
    chat.until("why not? ").await.unwrap();
    chat.send_line("too late in the day").await.unwrap();
    let answered = chat.until("2 model calls").await.unwrap();
    assert!(answered.contains("rejected it: too late in the day"), "{answered}");
    let printed = chat.close().await.unwrap();
    assert!(printed.success, "{printed:?}");
}

#[tokio::test]
async fn the_output_of_a_chat_in_a_script() {
    let stack = shared_stack().await;
    let script = call_then_repeat("reverse", json!({"text": "stressed"}));
    let properties = json!({"text": {"type": "string"}});
    let setup = AgentSetup::new("chat-output", script).tool("reverse", activity_tool("reverse", TOOLS, &properties));
    let _agent = stack.agent(setup).await.unwrap();
    let mut chat = stack.cli().unwrap().chat("chat-output").unwrap();
    chat.send_line("Reverse stressed.").await.unwrap();
    chat.until("2 model calls").await.unwrap();
    let CommandOutput {
        stdout,
        stderr,
        success,
    } = chat.close().await.unwrap();
    assert!(success, "{stderr}");
    let mut placeholders = Placeholders::default();
    let output = format!(
        "{}\n--- stderr\n{}",
        placeholders.in_text(&stdout),
        placeholders.in_text(&stderr)
    );
    insta::assert_snapshot!(output);
}

#[tokio::test]
async fn chat_in_a_script_prints_how_to_decide_and_continues_after_the_decision() {
    let stack = shared_stack().await;
    let cli = stack.cli().unwrap();
    let _agent = agent(stack, "piped").await;
    let mut chat = cli.chat("piped").unwrap();
    chat.send_line("tea").await.unwrap();
    let asked = chat.until("--reason WHY").await.unwrap();
    assert!(asked.contains("piped wants to call nonce"), "{asked}");
    let (_, command) = asked.split_once("steadfast approvals approve ").unwrap();
    let id = command.split_whitespace().next().unwrap();
    assert_eq!(succeed(&cli, &["approvals", "approve", id]).await, "approved\n");
    let answered = chat.until("2 model calls").await.unwrap();
    assert!(answered.contains("piped: It says: {"), "{answered}");
    let printed = chat.close().await.unwrap();
    assert!(
        printed.success && printed.stderr.contains("continue with: steadfast chat piped --task "),
        "{printed:?}"
    );
}
