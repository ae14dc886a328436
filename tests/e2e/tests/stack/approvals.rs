//! Approvals of tool calls, and questions of the model to a person.

use anyhow::Context as _;
use serde_json::{Value, json};
use steadfast_contract::signals::SIGNAL_DECIDE;
use steadfast_e2e::{
    backend::stack::{TOOLS, nonce_tool, shared_stack, tools_worker},
    scripts::{call_nonce_then_repeat, call_then_repeat},
};
use steadfast_testkit::{
    RedisData,
    scripted_model::Reply,
    stack::{Agent, AgentSetup, Line, Stack, TIMEOUT, Task, activity_tool},
    wait,
};

fn guarded_nonce(policy: Value) -> Value {
    let mut tool = nonce_tool();
    tool["approval"] = policy;
    tool
}

async fn agent(stack: &Stack, name: &str, policy: Value) -> Agent {
    let setup = AgentSetup::new(name, call_nonce_then_repeat).tool("nonce", guarded_nonce(policy));
    stack.agent(setup).await.unwrap()
}

#[tokio::test]
async fn an_approved_call_runs_with_the_arguments_that_were_shown() {
    let agent = agent(shared_stack().await, "approve", json!({"required": true})).await;
    let task = agent.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    task.send("tea").await.unwrap();
    let approval = task.until_approval_pending().await.unwrap();
    assert_eq!(approval["arguments"], json!({"of": "tea"}));
    assert_eq!(approval["tool"], "nonce");
    let told = viewer.state();
    assert_eq!(told.count("tool_started"), 0, "{}", told.summary());
    approval.approve("fine").await.unwrap();
    task.turn_completed(1).await.unwrap();
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
    let seen = viewer.until_turn_ended(1).await.unwrap();
    let decided = &seen.of_turn("approval_decided", 1).unwrap().data;
    assert_eq!(
        (&decided["verdict"], &decided["reason"]),
        (&json!("approved"), &json!("fine"))
    );
    assert!(task.pending_approvals().await.unwrap().is_empty());
}

#[tokio::test]
async fn numbers_keep_their_digits_in_what_a_person_sees_approves_and_answers() {
    const ARGUMENTS: &str = "{\"id\":100000000000000000001,\"rate\":1.10}";
    let properties = json!({"id": {"type": "integer"}, "rate": {"type": "number"}});
    let mut measure = activity_tool("measure", TOOLS, &properties);
    measure["approval"] = json!({"required": true});
    let form = json!({"type": "object", "properties": {"amount": {"type": "number"}}});
    let question = json!({
        "description": "Asks.", "parameters": {"type": "object", "properties": properties},
        "human": {"prompt": "How much?", "form": form},
    });
    let setup = AgentSetup::new("digits-approved", |request| match request.number {
        1 => Reply::stream().and_raw_call("measure", ARGUMENTS),
        2 => Reply::stream().and_raw_call("ask", ARGUMENTS),
        _ => Reply::text("Done."),
    })
    .tool("measure", measure)
    .tool("ask", question);
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.send("Measure.").await.unwrap();
    let approval = task.until_approval_pending().await.unwrap();
    assert_eq!(approval["arguments"].to_string(), ARGUMENTS);
    approval.approve("fine").await.unwrap();
    let question = wait::until("the question", TIMEOUT, async || {
        let pending = task.pending_approvals().await?;
        pending
            .into_iter()
            .find(|pending| pending["tool"] == "ask")
            .context("it is not asked yet")
    })
    .await
    .unwrap();
    assert_eq!(question["arguments"].to_string(), ARGUMENTS);
    let answer = serde_json::from_str("{\"amount\": 100000000000000000003.10}").unwrap();
    question.answer(answer).await.unwrap();
    task.turn_completed(1).await.unwrap();

    let outputs = agent.model().journal()[2].request.tool_outputs();
    assert!(outputs[0].contains("100000000000000000002"), "{outputs:?}");
    assert!(outputs[1].contains("100000000000000000003.10"), "{outputs:?}");
    let lines = task.lines().await.unwrap();
    for line in &lines {
        if let Line::ToolRequest { arguments, .. } = line {
            assert_eq!(arguments.to_string(), ARGUMENTS, "{lines:#?}");
        }
    }
}

#[tokio::test]
async fn an_expired_approval_is_rejected_or_fails_the_turn_or_proceeds() {
    let stack = shared_stack().await;
    let rejecting = agent(stack, "expire-reject", json!({"required": true, "timeout": "1s"})).await;
    let task = rejecting.task().await.unwrap();
    task.complete_turn(1, "tea").await.unwrap();
    let output = rejecting.model().journal()[1].request.last_tool_output().unwrap();
    assert!(output.contains("nobody approved it in time"), "{output}");

    let failing = agent(
        stack,
        "expire-fail",
        json!({"required": true, "timeout": "1s", "onTimeout": "Fail"}),
    )
    .await;
    let task = failing.task().await.unwrap();
    let error = task.fail_turn(1, "tea").await.unwrap();
    assert_eq!(error.category, "approval_expired");

    let going_on = agent(
        stack,
        "expire-proceed",
        json!({"required": true, "timeout": "1s", "onTimeout": "Proceed"}),
    )
    .await;
    let task = going_on.task().await.unwrap();
    task.complete_turn(1, "tea").await.unwrap();
    let output = going_on.model().journal()[1].request.last_tool_output().unwrap();
    assert!(output.contains("nonce"), "{output}");
}

/// The tools, and what happens when nobody decides about them.
const SHORT_LIVED: [(&str, &str); 4] = [
    ("reject_nonce", "Reject"),
    ("proceed_nonce", "Proceed"),
    ("fail_nonce", "Fail"),
    ("in_time_nonce", "Reject"),
];

#[tokio::test]
async fn a_decision_after_the_expiry_is_too_late_although_no_worker_ran() {
    let stack = shared_stack().await;
    let mut setup = AgentSetup::new("late", |request| match request.last_tool_output() {
        None => Reply::call(&request.last_user_text(), &json!({"of": "tea"})),
        Some(output) => Reply::text(output),
    });
    for (tool, on_timeout) in SHORT_LIVED {
        let policy = json!({"required": true, "timeout": "15s", "onTimeout": on_timeout});
        setup = setup.tool(tool, guarded_nonce(policy));
    }
    let question = json!({
        "description": "Asks.", "parameters": {"type": "object"}, "human": {"prompt": "Well?", "timeout": "15s"},
    });
    let agent = stack.agent(setup.tool("ask", question)).await.unwrap();
    let mut asked = Vec::new();
    for tool in ["ask"].into_iter().chain(SHORT_LIVED.map(|(tool, _)| tool)) {
        let task = agent.task().await.unwrap();
        task.send(tool).await.unwrap();
        let approval = task.until_approval_pending().await.unwrap();
        asked.push((tool, task, approval));
    }

    agent.worker().kill().await.unwrap();
    // A decision in time counts, however late the worker learns of it.
    let (in_time, late) = asked.split_last().unwrap();
    in_time.2.approve("in time").await.unwrap();
    let expires_at: jiff::Timestamp = in_time.2["expires_at"].as_str().unwrap().parse().unwrap();
    wait::until("the approvals to expire", TIMEOUT, async || {
        anyhow::ensure!(jiff::Timestamp::now() > expires_at, "the last expires at {expires_at}");
        Ok(())
    })
    .await
    .unwrap();
    for (tool, task, approval) in late {
        decide_too_late(stack, &agent, task, approval.id().unwrap(), tool).await;
    }
    agent.worker().launch().await.unwrap();

    for (tool, task, approval) in &asked {
        let end = task.turn_ended(1).await.unwrap();
        let category = end.error.map(|error| error.category);
        let expected = (*tool == "fail_nonce").then_some("approval_expired");
        assert_eq!(category.as_deref(), expected, "{tool}");
        let path = format!("/approvals/{}", approval.id().unwrap());
        let decided = agent.client().get(&path).await.unwrap();
        let (verdict, told) = match *tool {
            "in_time_nonce" => ("approved", "tea"),
            "proceed_nonce" => ("expired", "tea"),
            "reject_nonce" => ("expired", "nobody approved it in time"),
            "fail_nonce" => ("expired", "nobody decided in time"),
            _ => ("expired", "expired"),
        };
        assert_eq!(decided.body["decision"], verdict, "{tool}: {decided:?}");
        let lines = task.lines().await.unwrap();
        let answer = lines.iter().find_map(|line| match line {
            Line::ToolResponse { content, .. } => Some(content.to_string()),
            _ => None,
        });
        assert!(answer.unwrap_or_default().contains(told), "{tool}: {lines:#?}");
    }
}

/// The gateway refuses it, and the workflow does, whoever signals it.
async fn decide_too_late(stack: &Stack, agent: &Agent, task: &Task, id: &str, tool: &str) {
    let path = format!("/approvals/{id}/approve");
    let late = agent.client().post(&path, "{}").await.unwrap();
    let decision = &late.body["data"]["decision"];
    assert_eq!((late.status, decision), (409, &json!("expired")), "{tool}: {late:?}");
    let now = jiff::Timestamp::now().to_string();
    let input = json!({"approval_id": id, "verdict": "approved", "by": "eve", "decided_at": now}).to_string();
    stack
        .temporal()
        .signal(task.id(), SIGNAL_DECIDE, Some(&input))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_person_answers_a_question_with_a_form() {
    let tool = json!({
        "description": "Asks for the address.",
        "parameters": {"type": "object", "properties": {"why": {"type": "string"}}},
        "human": {
            "prompt": "Where to?",
            "form": {"type": "object", "properties": {"street": {"type": "string"}}, "required": ["street"]},
        },
    });
    let setup = AgentSetup::new("question", call_then_repeat("ask_address", json!({"why": "delivery"})))
        .tool("ask_address", tool);
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.send("Send it.").await.unwrap();
    let approval = task.until_approval_pending().await.unwrap();
    assert_eq!(approval["prompt"], "Where to?");
    let path = format!("/approvals/{}/approve", approval["id"].as_str().unwrap());
    let refused = agent
        .client()
        .post(&path, json!({"answer": {"street": 7}}).to_string())
        .await
        .unwrap();
    assert_eq!(refused.status, 422, "{refused:?}");
    approval.answer(json!({"street": "Storgata 1"})).await.unwrap();
    task.turn_completed(1).await.unwrap();
    let output = agent.model().journal()[1].request.last_tool_output().unwrap();
    let output: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(
        output,
        json!({"decision": "approved", "answer": {"street": "Storgata 1"}})
    );
}

#[tokio::test]
async fn pending_approvals_survive_the_restart_of_all_services_and_expire_meanwhile() {
    let stack = Stack::start_durable().await.unwrap();
    let python = tools_worker(&stack);
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
    let asked_first = first.until_approval_pending().await.unwrap();
    let asked_second = second.until_approval_pending().await.unwrap();
    third.send("three").await.unwrap();
    let asked_third = third.until_approval_pending().await.unwrap();

    agent.worker().kill().await.unwrap();
    stack.gateway().kill().await.unwrap();
    stack.redis().kill().await.unwrap();
    stack.temporal().kill().await.unwrap();
    // It expires before any service is restarted.
    let expires_at: jiff::Timestamp = asked_third["expires_at"].as_str().unwrap().parse().unwrap();
    wait::until("the third approval to expire", TIMEOUT, async || {
        anyhow::ensure!(jiff::Timestamp::now() > expires_at, "it expires at {expires_at}");
        Ok(())
    })
    .await
    .unwrap();
    stack.temporal().restart().await.unwrap();
    stack.redis().restart(RedisData::Empty).await.unwrap();
    stack.gateway().launch().await.unwrap();
    agent.worker().launch().await.unwrap();

    assert_eq!(first.until_approval_pending().await.unwrap()["id"], asked_first["id"]);
    asked_first.approve("").await.unwrap();
    asked_second.reject("too dear").await.unwrap();
    // The log is new since Redis was lost: of earlier turns only the messages are left.
    for (task, word) in [
        (&first, "nonce"),
        (&second, "too dear"),
        (&third, "nobody approved it in time"),
    ] {
        wait::until("the answer", TIMEOUT, async || {
            let lines = task.lines().await?;
            let last = lines.last().context("there are no messages")?;
            anyhow::ensure!(matches!(last, Line::Agent(text) if text.contains(word)), "{lines:#?}");
            Ok(())
        })
        .await
        .unwrap();
    }
    drop(python);
}
