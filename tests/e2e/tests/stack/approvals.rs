//! People decide: before a call, or because the model asks.

use anyhow::Context as _;
use serde_json::{Value, json};
use steadfast_events::TurnStatus;
use steadfast_testkit::RedisData;
use steadfast_testkit::scripted_model::Reply;
use steadfast_testkit::stack::{Agent, AgentSetup, Line, PATIENCE, Stack, activity_tool};
use steadfast_testkit::wait;

use crate::people::{decide, until_asked, waiting};
use crate::shared::{TOOLS, stack, tools};

fn guarded_nonce(policy: Value) -> Value {
    let mut tool = activity_tool("nonce", TOOLS, &json!({"of": {"type": "string"}}));
    tool["approval"] = policy;
    tool
}

async fn agent(stack: &Stack, name: &str, policy: Value) -> Agent {
    let setup = AgentSetup::new(name, |request| match request.last_tool_output() {
        None => Reply::call("nonce", &json!({"of": request.last_user_text()})),
        Some(output) => Reply::text(output),
    })
    .tool("nonce", guarded_nonce(policy));
    stack.agent(setup).await.unwrap()
}

#[tokio::test]
async fn an_approved_call_runs_with_the_arguments_that_were_shown() {
    let agent = agent(stack().await, "approve", json!({"required": true})).await;
    let task = agent.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    task.send("tea").await.unwrap();
    let approval = until_asked(agent.client(), &task).await;
    assert_eq!(approval["arguments"], json!({"of": "tea"}));
    assert_eq!(approval["tool"], "nonce");
    let told = viewer.seen();
    assert_eq!(told.count("tool_started"), 0, "{}", told.summary());
    decide(agent.client(), &approval, "approve", json!({"reason": "fine"})).await;
    assert_eq!(task.turn_ended(1).await.unwrap().status, TurnStatus::Completed);
    let lines = task.lines().await.unwrap();
    let Line::ToolResponse {
        content,
        is_error: false,
        ..
    } = &lines[2]
    else {
        panic!("{lines:#?}")
    };
    assert_eq!(content["of"], "tea");
    let seen = viewer
        .until("the end of the turn", |seen| seen.of_turn("turn_ended", 1).is_some())
        .await
        .unwrap();
    let decided = &seen.of_turn("approval_decided", 1).unwrap().data;
    assert_eq!(
        (&decided["decision"], &decided["reason"]),
        (&json!("approved"), &json!("fine"))
    );
    assert_eq!(waiting(agent.client(), &task).await.unwrap(), Vec::<Value>::new());
}

#[tokio::test]
async fn nobody_deciding_is_told_to_the_model_or_fails_the_turn() {
    let stack = stack().await;
    let rejecting = agent(stack, "expire-reject", json!({"required": true, "timeout": "1s"})).await;
    let task = rejecting.task().await.unwrap();
    assert_eq!(task.turn(1, "tea").await.unwrap().status, TurnStatus::Completed);
    let output = rejecting.model().journal()[1].request.last_tool_output().unwrap();
    assert!(output.contains("nobody approved it in time"), "{output}");

    let failing = agent(
        stack,
        "expire-fail",
        json!({"required": true, "timeout": "1s", "onTimeout": "Fail"}),
    )
    .await;
    let task = failing.task().await.unwrap();
    let end = task.turn(1, "tea").await.unwrap();
    assert_eq!(
        (end.status, end.error.unwrap().category.as_str()),
        (TurnStatus::Failed, "approval_expired")
    );

    let going_on = agent(
        stack,
        "expire-proceed",
        json!({"required": true, "timeout": "1s", "onTimeout": "Proceed"}),
    )
    .await;
    let task = going_on.task().await.unwrap();
    assert_eq!(task.turn(1, "tea").await.unwrap().status, TurnStatus::Completed);
    let output = going_on.model().journal()[1].request.last_tool_output().unwrap();
    assert!(output.contains("nonce"), "{output}");
}

#[tokio::test]
async fn a_question_to_a_person_is_answered_by_a_form() {
    let tool = json!({
        "description": "Asks for the address.",
        "parameters": {"type": "object", "properties": {"why": {"type": "string"}}},
        "human": {
            "prompt": "Where to?",
            "form": {"type": "object", "properties": {"street": {"type": "string"}}, "required": ["street"]},
        },
    });
    let setup = AgentSetup::new("question", |request| match request.last_tool_output() {
        None => Reply::call("ask_address", &json!({"why": "delivery"})),
        Some(output) => Reply::text(output),
    })
    .tool("ask_address", tool);
    let agent = stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.send("Send it.").await.unwrap();
    let approval = until_asked(agent.client(), &task).await;
    assert_eq!(approval["prompt"], "Where to?");
    let path = format!("/approvals/{}/approve", approval["id"].as_str().unwrap());
    let refused = agent
        .client()
        .post(&path, json!({"answer": {"street": 7}}).to_string())
        .await
        .unwrap();
    assert_eq!(refused.status, 422, "{refused:?}");
    decide(
        agent.client(),
        &approval,
        "approve",
        json!({"answer": {"street": "Storgata 1"}}),
    )
    .await;
    assert_eq!(task.turn_ended(1).await.unwrap().status, TurnStatus::Completed);
    let output = agent.model().journal()[1].request.last_tool_output().unwrap();
    let output: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(
        output,
        json!({"decision": "approved", "answer": {"street": "Storgata 1"}})
    );
}

#[tokio::test]
async fn approvals_of_several_tasks_survive_the_restart_of_everything_and_one_expires_meanwhile() {
    let stack = Stack::start_durable().await.unwrap();
    let python = tools(&stack);
    let setup = AgentSetup::new("patient", |request| match request.last_tool_output() {
        None if request.last_user_text() == "three" => Reply::call("hasty_nonce", &json!({"of": "three"})),
        None => Reply::call("nonce", &json!({"of": request.last_user_text()})),
        Some(output) => Reply::text(output),
    })
    .tool("nonce", guarded_nonce(json!({"required": true, "timeout": "1h"})))
    .tool("hasty_nonce", guarded_nonce(json!({"required": true, "timeout": "8s"})));
    let agent = stack.agent(setup).await.unwrap();
    let (first, second, third) = (
        agent.task().await.unwrap(),
        agent.task().await.unwrap(),
        agent.task().await.unwrap(),
    );
    first.send("one").await.unwrap();
    second.send("two").await.unwrap();
    let asked_first = until_asked(agent.client(), &first).await;
    let asked_second = until_asked(agent.client(), &second).await;
    third.send("three").await.unwrap();
    let asked_third = until_asked(agent.client(), &third).await;

    agent.worker().kill().await.unwrap();
    stack.gateway().kill().await.unwrap();
    stack.redis().kill().await.unwrap();
    stack.temporal().kill().await.unwrap();
    // Its time is over before anything is back.
    let expires_at: jiff::Timestamp = asked_third["expires_at"].as_str().unwrap().parse().unwrap();
    wait::until("the third approval to expire", PATIENCE, async || {
        anyhow::ensure!(jiff::Timestamp::now() > expires_at, "it expires at {expires_at}");
        Ok(())
    })
    .await
    .unwrap();
    stack.temporal().restart().await.unwrap();
    stack.redis().restart(RedisData::Empty).await.unwrap();
    stack.gateway().launch().await.unwrap();
    agent.worker().launch().await.unwrap();

    assert_eq!(until_asked(agent.client(), &first).await["id"], asked_first["id"]);
    decide(agent.client(), &asked_first, "approve", json!({})).await;
    decide(agent.client(), &asked_second, "reject", json!({"reason": "too dear"})).await;
    // The log began anew after Redis was lost: only messages tell of turns that ended before a viewer came.
    for (task, word) in [
        (&first, "nonce"),
        (&second, "too dear"),
        (&third, "nobody approved it in time"),
    ] {
        wait::until("the answer", PATIENCE, async || {
            let said = task.lines().await?;
            let last = said.last().context("nothing was said")?;
            anyhow::ensure!(matches!(last, Line::Agent(text) if text.contains(word)), "{said:#?}");
            Ok(())
        })
        .await
        .unwrap();
    }
    drop(python);
}
