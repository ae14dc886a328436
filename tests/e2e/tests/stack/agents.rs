//! Several agents in one conversation: handoffs, and agents as tools.

use serde_json::json;
use steadfast_crds::{
    agent::HandoffInput,
    agent_revision::{RevisionAgent, RevisionHandoff},
    names::agent_task_queue,
};
use steadfast_e2e::{
    backend::stack::{nonce_tool, shared_stack},
    scripts::{call_then_repeat, hold},
};
use steadfast_testkit::{
    scripted_model::Reply,
    stack::{AgentSetup, INSTALL, Line, NAMESPACE, TIMEOUT},
};

use crate::stopping::first_call_is_abandoned;

/// A handoff to an agent, for a revision.
pub(crate) fn handoff_to(agent: &str, input: HandoffInput) -> RevisionHandoff {
    RevisionHandoff {
        name: format!("transfer_to_{}", agent.replace('-', "_")),
        agent: agent.to_owned(),
        namespace: None,
        description: format!("Hands over to {agent}."),
        task_queue: agent_task_queue(INSTALL, NAMESPACE, agent),
        input,
    }
}

#[tokio::test]
async fn after_a_handoff_the_other_agent_uses_its_own_key_model_and_instructions() {
    let stack = shared_stack().await;
    let specialist = AgentSetup::new("ho-spanish", |request| {
        Reply::text(format!("Hola: {}", request.last_user_text()))
    })
    .variable("OPENAI_API_KEY", "sk-of-the-specialist")
    .configure(|spec| spec.instructions = "Speak Spanish.".to_owned());
    let specialist = stack.agent(specialist).await.unwrap();
    let triage = AgentSetup::new("ho-triage", |_| {
        Reply::stream().and_call("transfer_to_ho_spanish", &json!({}))
    })
    .configure(|spec| spec.handoffs = vec![handoff_to("ho-spanish", HandoffInput::All)]);
    let triage = stack.agent(triage).await.unwrap();

    let task = triage.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    task.complete_turn(1, "Buenos días").await.unwrap();
    task.complete_turn(2, "Gracias").await.unwrap();
    let calls = specialist.model().journal();
    assert_eq!((triage.model().journal().len(), calls.len()), (1, 2));
    assert!(
        calls
            .iter()
            .all(|call| call.request.header("authorization") == "Bearer sk-of-the-specialist")
    );
    assert_eq!(calls[0].request.instructions(), "Speak Spanish.");
    let expected = [
        Line::user("Buenos días"),
        Line::agent("Handoff from ho-triage to ho-spanish"),
        Line::agent("Hola: Buenos días"),
        Line::user("Gracias"),
        Line::agent("Hola: Gracias"),
    ];
    assert_eq!(task.lines().await.unwrap(), expected);
    let seen = viewer.until_turn_ended(2).await.unwrap();
    assert_eq!(seen.of_turn("handoff", 1).unwrap().data["to"], "ho-spanish");
    assert_eq!(seen.lines(), expected);
    assert_eq!(specialist.model().violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_handoff_may_omit_tool_calls_and_return() {
    let stack = shared_stack().await;
    let second = AgentSetup::new("back-second", |_| Reply::call("transfer_to_back_first", &json!({})))
        .configure(|spec| spec.handoffs = vec![handoff_to("back-first", HandoffInput::All)]);
    let second = stack.agent(second).await.unwrap();
    let first = AgentSetup::new("back-first", |request| match request.number {
        1 => Reply::call("nonce", &json!({"of": "x"})),
        2 => Reply::call("transfer_to_back_second", &json!({})),
        _ => Reply::text("Back again."),
    })
    .tool("nonce", nonce_tool())
    .configure(|spec| spec.handoffs = vec![handoff_to("back-second", HandoffInput::MessagesOnly)]);
    let first = stack.agent(first).await.unwrap();
    let task = first.task().await.unwrap();
    let end = task.complete_turn(1, "Round trip.").await.unwrap();
    assert_eq!(end.usage.model_calls, 4);
    let request = &second.model().journal()[0].request;
    assert_eq!(request.input(), [json!({"role": "user", "content": "Round trip."})]);
    assert_eq!(task.lines().await.unwrap().last(), Some(&Line::agent("Back again.")));
    let violations = [first.model().violations(), second.model().violations()].concat();
    assert_eq!(violations, Vec::<String>::new());
}

#[tokio::test]
async fn a_handoff_waits_for_missing_workers() {
    let stack = shared_stack().await;
    let other = stack
        .agent(AgentSetup::new("away-second", |_| Reply::text("I am back.")))
        .await
        .unwrap();
    let first = AgentSetup::new("away-first", |_| Reply::call("transfer_to_away_second", &json!({})))
        .configure(|spec| spec.handoffs = vec![handoff_to("away-second", HandoffInput::All)]);
    let first = stack.agent(first).await.unwrap();
    other.worker().stop().await.unwrap();
    let task = first.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    task.send("Anybody there?").await.unwrap();
    viewer
        .until("the handoff", |seen| seen.of_turn("handoff", 1).is_some())
        .await
        .unwrap();
    // The worker that runs the workflow is killed too, and restarted.
    first.worker().kill().await.unwrap();
    other.worker().launch().await.unwrap();
    first.worker().launch().await.unwrap();
    task.turn_completed(1).await.unwrap();
    assert_eq!(task.lines().await.unwrap().last(), Some(&Line::agent("I am back.")));
    assert_eq!(other.model().journal().len(), 1);
}

#[tokio::test]
async fn an_agent_as_a_tool_answers_inside_the_conversation() {
    let stack = shared_stack().await;
    let researcher = AgentSetup::new("researcher", |request| match request.last_tool_output() {
        None => Reply::call("nonce", &json!({"of": request.last_user_text()})),
        Some(output) => Reply::text(format!("Found {output}")),
    })
    .tool("nonce", nonce_tool());
    let researcher = stack.agent(researcher).await.unwrap();
    let writer = AgentSetup::new("writer", |request| match request.last_tool_output() {
        None => Reply::call("ask_researcher", &json!({"input": "the moon"})),
        Some(output) => Reply::text(format!("It says: {output}")),
    })
    .configure(|spec| {
        spec.agents = vec![RevisionAgent {
            name: "ask_researcher".to_owned(),
            agent: "researcher".to_owned(),
            namespace: None,
            description: "Looks things up.".to_owned(),
            task_queue: agent_task_queue(INSTALL, NAMESPACE, "researcher"),
            approval: None,
        }];
    });
    let writer = stack.agent(writer).await.unwrap();
    let task = writer.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    let end = task.complete_turn(1, "Write about the moon.").await.unwrap();
    assert_eq!(end.usage.model_calls, 4);
    let lines = task.lines().await.unwrap();
    assert_eq!(lines.len(), 4, "{lines:#?}");
    let Line::Agent(text) = &lines[3] else {
        panic!("{lines:#?}")
    };
    assert!(text.starts_with("It says: Found {"), "{text}");
    assert_eq!(researcher.model().journal()[0].request.user_texts(), ["the moon"]);
    let seen = viewer
        .until("the end of the turn", |seen| {
            seen.frames
                .iter()
                .any(|frame| frame.kind == "turn_ended" && frame.data["path"].is_null())
        })
        .await
        .unwrap();
    let nested: Vec<&str> = seen
        .frames
        .iter()
        .filter(|frame| frame.data["path"] == "1.0.0" && frame.data["agent"] == "researcher")
        .map(|frame| frame.kind.as_str())
        .collect();
    assert!(
        nested.contains(&"tool_ended") && nested.contains(&"text_delta"),
        "{nested:?}"
    );
}

#[tokio::test]
async fn cancelling_a_task_reaches_the_agent_that_it_calls_as_a_tool() {
    let stack = shared_stack().await;
    let gate = steadfast_testkit::scripted_model::Gate::closed();
    let slow = AgentSetup::new("slow-helper", hold("Hm", &gate));
    let slow = stack.agent(slow).await.unwrap();
    let asking = AgentSetup::new("asking", |_| {
        Reply::call("ask_slow", &json!({"input": "take your time"}))
    })
    .configure(|spec| {
        spec.agents = vec![RevisionAgent {
            name: "ask_slow".to_owned(),
            agent: "slow-helper".to_owned(),
            namespace: None,
            description: String::new(),
            task_queue: agent_task_queue(INSTALL, NAMESPACE, "slow-helper"),
            approval: None,
        }];
    });
    let asking = stack.agent(asking).await.unwrap();
    let task = asking.task().await.unwrap();
    task.send("Ask.").await.unwrap();
    gate.reached(TIMEOUT).await.unwrap();
    task.cancel().await.unwrap();
    task.until_status("CANCELED").await.unwrap();
    first_call_is_abandoned(&slow).await;
}

#[tokio::test]
async fn agents_that_call_each_other_stop_at_the_depth_limit() {
    let stack = shared_stack().await;
    let asking = |own: &str, other: &'static str| {
        AgentSetup::new(own, call_then_repeat("ask", json!({"input": "And what do you say?"}))).configure(move |spec| {
            spec.agents = vec![RevisionAgent {
                name: "ask".to_owned(),
                agent: other.to_owned(),
                namespace: None,
                description: String::new(),
                task_queue: agent_task_queue(INSTALL, NAMESPACE, other),
                approval: None,
            }];
        })
    };
    let first = stack.agent(asking("ping", "pong")).await.unwrap();
    let second = stack.agent(asking("pong", "ping")).await.unwrap();
    let task = first.task().await.unwrap();
    task.complete_turn(1, "Begin.").await.unwrap();
    let lines = task.lines().await.unwrap();
    assert!(
        matches!(lines.last(), Some(Line::Agent(text)) if text.contains("more than 8 deep")),
        "{lines:#?}"
    );
    // Nine conversations of two calls each: the outer one and eight nested ones.
    assert_eq!(first.model().journal().len() + second.model().journal().len(), 18);
}
