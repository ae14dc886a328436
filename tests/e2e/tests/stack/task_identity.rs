//! Which task is which: a name that is used again, a workflow that is reset, users who share a key, and a task that is
//! erased.

use serde_json::{Value, json};
use steadfast_contract::signals::SIGNAL_RECEIVE_EVENT;
use steadfast_crds::{agent_revision::RevisionAgent, names::agent_task_queue};
use steadfast_e2e::{
    backend::stack::{TOOLS, continue_as_new, shared_stack, tools_worker},
    scripts::call_then_repeat,
};
use steadfast_events::id::user_message_id;
use steadfast_testkit::{
    TemporalOptions,
    scripted_model::Reply,
    stack::{Agent, AgentSetup, BinaryDir, INSTALL, Line, NAMESPACE, Stack, TIMEOUT, Task, activity_tool},
    wait,
};

async fn stack_that_deletes_soon() -> Stack {
    Stack::start_with(TemporalOptions::that_deletes_soon(), BinaryDir::of_this_test().unwrap())
        .await
        .unwrap()
}

async fn named(agent: &Agent) -> Task {
    agent.task_with(json!({"name": "report"})).await.unwrap()
}

/// The key that the tool of the turn received.
fn key(lines: &[Line]) -> String {
    let key = lines.iter().find_map(|line| match line {
        Line::ToolResponse { content, .. } => content["idempotency-key"].as_str(),
        _ => None,
    });
    key.unwrap_or_else(|| panic!("no key: {lines:#?}")).to_owned()
}

#[tokio::test]
async fn two_conversations_of_one_name_see_nothing_of_each_other() {
    let stack = stack_that_deletes_soon().await;
    let _tools = tools_worker(&stack);
    let setup = AgentSetup::new("reused-name", call_then_repeat("context", json!({})))
        .tool("context", activity_tool("context", TOOLS, &json!({})));
    let agent = stack.agent(setup).await.unwrap();
    let first = named(&agent).await;
    first.complete_turn(1, "My secret.").await.unwrap();
    let of_first = first.lines().await.unwrap();

    // As Temporal does after the retention period.
    let delete = ["workflow", "delete", "--yes", "--workflow-id", first.id()];
    stack.temporal().cli(&delete).await.unwrap();
    wait::until("the first task to be gone", TIMEOUT, async || {
        let answer = first.client().get(&format!("/tasks/{}", first.id())).await?;
        anyhow::ensure!(answer.status == 404, "{answer:?}");
        Ok(())
    })
    .await
    .unwrap();
    let second = named(&agent).await;
    assert_eq!(second.id(), first.id());
    let viewer = second.watch().await.unwrap();
    assert_eq!(second.lines().await.unwrap(), []);
    second.complete_turn(1, "My question.").await.unwrap();
    let of_second = second.lines().await.unwrap();
    assert_eq!(of_second.len(), of_first.len());
    assert_eq!(of_second[0], Line::user("My question."));
    assert!(matches!(of_second.last(), Some(Line::Agent(_))), "{of_second:#?}");
    assert_eq!(viewer.until_turn_ended(1).await.unwrap().lines(), of_second);
    assert_ne!(key(&of_first), key(&of_second));
    assert_eq!(agent.model().violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_reset_task_goes_on_with_a_new_log() {
    let stack = shared_stack().await;
    let setup = AgentSetup::new("reset", |request| Reply::text(format!("Answer {}.", request.number)));
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    task.complete_turn(1, "One?").await.unwrap();
    let lines = |answer: u32| [Line::user("One?"), Line::agent(format!("Answer {answer}."))];
    task.until_lines(&lines(1)).await.unwrap();
    let reset = [
        "workflow",
        "reset",
        "--workflow-id",
        task.id(),
        "--type",
        "FirstWorkflowTask",
        "--reason",
        "test",
    ];
    stack.temporal().cli(&reset).await.unwrap();
    // The server gives the message to the new run, whose events have the numbers of the first.
    task.until_lines(&lines(2)).await.unwrap();
    viewer
        .until("the second answer", |seen| seen.lines() == lines(2))
        .await
        .unwrap();
    task.complete_turn(2, "Two?").await.unwrap();
    let expected = [&lines(2)[..], &[Line::user("Two?"), Line::agent("Answer 3.")]].concat();
    assert_eq!(task.lines().await.unwrap(), expected);
}

#[tokio::test]
async fn two_users_of_one_key_are_both_answered() {
    let stack = shared_stack().await;
    let setup = AgentSetup::new("one-key", |request| {
        Reply::text(format!("{} to you.", request.last_user_text()))
    });
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    for (turn, sender) in [(1, "alice"), (2, "bob")] {
        // As the gateway signals for these users.
        let message = json!({
            "message_id": user_message_id(task.id(), sender, "1"), "idempotency_key": "1", "sender": sender,
            "content": {"type": "text", "text": format!("Hello from {sender}")},
        })
        .to_string();
        let name = SIGNAL_RECEIVE_EVENT;
        stack.temporal().signal(task.id(), name, Some(&message)).await.unwrap();
        task.turn_completed(turn).await.unwrap();
    }
    let expected = [
        Line::user("Hello from alice"),
        Line::agent("Hello from alice to you."),
        Line::user("Hello from bob"),
        Line::agent("Hello from bob to you."),
    ];
    assert_eq!(task.lines().await.unwrap(), expected);
}

/// The runs of a task and of the agents that worked for it.
async fn runs_of(stack: &Stack, task: &Task) -> anyhow::Result<Vec<(String, String)>> {
    let listed = stack.temporal().cli(&["workflow", "list", "--output", "json"]).await?;
    let listed: Vec<Value> = serde_json::from_str(&listed)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(listed
        .iter()
        .map(|info| {
            (
                text(&info["execution"]["workflowId"]),
                text(&info["execution"]["runId"]),
            )
        })
        .filter(|(id, _)| id.starts_with(task.id()))
        .collect())
}

#[tokio::test]
async fn an_erased_task_leaves_no_word_in_any_store() {
    const SECRET: &str = "xylophone";
    let stack = stack_that_deletes_soon().await;
    let helper = AgentSetup::new("erased-helper", |_| Reply::text(format!("The {SECRET} is blue.")));
    let _helper = stack.agent(helper).await.unwrap();
    let setup = AgentSetup::new("erased", |request| match request.last_tool_output() {
        None => Reply::call("ask_helper", &json!({"input": SECRET})),
        Some(output) => Reply::text(output),
    })
    .configure(|spec| {
        spec.agents = vec![RevisionAgent {
            name: "ask_helper".to_owned(),
            agent: "erased-helper".to_owned(),
            namespace: None,
            description: "Knows colours.".to_owned(),
            task_queue: agent_task_queue(INSTALL, NAMESPACE, "erased-helper"),
            approval: None,
        }];
    });
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let other = agent.task().await.unwrap();
    task.complete_turn(1, &format!("Which {SECRET}?")).await.unwrap();
    continue_as_new(&stack, &task, 2).await;
    task.complete_turn(2, &format!("And my {SECRET}?")).await.unwrap();
    other.complete_turn(1, "Hello.").await.unwrap();
    let runs = wait::until("all runs to be listed", TIMEOUT, async || {
        let runs = runs_of(&stack, &task).await?;
        anyhow::ensure!(runs.len() == 4, "they are {runs:?}");
        Ok(runs)
    })
    .await
    .unwrap();
    assert!(in_redis(&stack, task.id()).await.unwrap().contains(SECRET));

    let answer = task.client().delete(&format!("/tasks/{}", task.id())).await.unwrap();
    assert_eq!(
        (answer.status, &answer.body["id"]),
        (200, &json!(task.id())),
        "{answer:?}"
    );
    wait::until("Temporal to forget the task", TIMEOUT, async || {
        let left = runs_of(&stack, &task).await?;
        anyhow::ensure!(left.is_empty(), "{left:?}");
        for (workflow_id, run_id) in &runs {
            let history = stack.temporal().history(workflow_id, Some(run_id)).await;
            anyhow::ensure!(history.is_err(), "the history of {workflow_id} {run_id} is left");
        }
        Ok(())
    })
    .await
    .unwrap();
    let gone = task.client().get(&format!("/tasks/{}", task.id())).await.unwrap();
    assert_eq!(gone.status, 404, "{gone:?}");
    // Of the task and of the two tasks of the nested agent, only the marks that keep late activities from writing are
    // left.
    let left = in_redis(&stack, task.id()).await.unwrap();
    assert!(!left.contains(SECRET) && left.matches("@erased").count() == 3, "{left}");
    // The other task is as it was.
    assert_eq!(other.lines().await.unwrap().len(), 4);
    other.complete_turn(2, "Still there?").await.unwrap();
}

/// All that Redis has under keys with this text.
async fn in_redis(stack: &Stack, text: &str) -> anyhow::Result<String> {
    let keys = stack.redis().command("KEYS *").await?;
    let mut found = String::new();
    for key in keys.split("\r\n").filter(|key| key.contains(text)) {
        for command in ["XRANGE {} - +", "HGETALL {}", "GET {}"] {
            // Two of the three are of another type.
            found.push_str(&stack.redis().command(&command.replace("{}", key)).await?);
        }
    }
    Ok(found)
}
