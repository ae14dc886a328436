//! The conversation as a person and a client see it, without failures.

use std::time::Duration;

use serde_json::json;
use steadfast_e2e::{
    backend::stack::{StackBackend, shared_stack},
    scenario::{completed, prompt_edit, python_client},
};
use steadfast_testkit::{
    scripted_model::{Gate, Reply, Text},
    stack::{AgentSetup, Line, TIMEOUT},
};

#[tokio::test]
async fn the_public_python_client_holds_a_conversation_with_a_tool_call() {
    let backend = StackBackend::new("weather");
    let (_agent, output) = python_client::holds_a_conversation_with_a_tool_call(&backend).await;
    let names = output["agent_names"].as_array().unwrap();
    assert!(names.contains(&json!("weather")), "{names:?}");
}

#[tokio::test]
async fn a_prompt_edit_reaches_the_next_message_and_restarts_nothing() {
    prompt_edit::reaches_the_next_message_and_restarts_nothing(&StackBackend::new("prompt-edit")).await;
}

#[tokio::test]
async fn instructions_are_a_template_over_the_task() {
    let setup = AgentSetup::new("template", |_| Reply::text("Yes."))
        .configure(|spec| spec.instructions = "Speak {{ params.language }} in task {{ task.id }}.".to_owned());
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent
        .task_with(json!({"params": {"language": "Norwegian"}}))
        .await
        .unwrap();
    assert_eq!(task.complete_turn(1, "hello").await.unwrap(), completed(1));
    assert_eq!(
        agent.model().journal()[0].request.instructions(),
        format!("Speak Norwegian in task {}.", task.id())
    );
}

#[tokio::test]
async fn a_live_and_a_late_viewer_show_the_same_as_get_messages() {
    let setup = AgentSetup::new("viewers", |_| {
        Reply::stream()
            .and_reasoning("I think so.")
            .and_text(Text::words("Roses are red, violets are blue.").every(Duration::from_millis(60)))
    });
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let live = task.watch().await.unwrap();
    assert_eq!(task.complete_turn(1, "A poem, please.").await.unwrap(), completed(1));
    let live = live.until_turn_ended(1).await.unwrap();

    let expected = [
        Line::user("A poem, please."),
        Line::Reasoning(vec!["I think so.".to_owned()]),
        Line::agent("Roses are red, violets are blue."),
    ];
    assert_eq!(live.lines(), expected);
    assert!(live.count("text_delta") >= 2, "{}", live.summary());
    live.check_gapless().unwrap();
    let late = task.watch().await.unwrap();
    let late = late.until_turn_ended(1).await.unwrap();
    assert_eq!(late.ids(), live.ids());
    assert_eq!(late.lines(), expected);
    assert_eq!(task.lines().await.unwrap(), expected);
}

#[tokio::test]
async fn the_same_idempotency_key_twice_is_one_turn() {
    let agent = shared_stack()
        .await
        .agent(AgentSetup::new("same-key", |_| Reply::text("Once.")))
        .await
        .unwrap();
    let task = agent.task().await.unwrap();
    let first = task.send_with_key("key-1", "hello").await.unwrap();
    let again = task.send_with_key("key-1", "hello").await.unwrap();
    assert_eq!(first["id"], again["id"]);
    assert_eq!(first["idempotency_key"], "key-1");
    assert_eq!(task.turn_completed(1).await.unwrap(), completed(1));
    assert_eq!(task.complete_turn(2, "and now?").await.unwrap(), completed(1));
    let expected = [
        Line::user("hello"),
        Line::agent("Once."),
        Line::user("and now?"),
        Line::agent("Once."),
    ];
    assert_eq!(task.lines().await.unwrap(), expected);
    assert_eq!(agent.model().journal().len(), 2);
}

#[tokio::test]
async fn messages_sent_during_a_turn_are_turns_of_their_own_in_order() {
    let gate = Gate::closed();
    let held = gate.clone();
    let setup = AgentSetup::new("queue", move |request| {
        Reply::text(Text::words(format!("You said {}.", request.last_user_text())).hold_after(1, &held))
    });
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.send("one").await.unwrap();
    gate.reached(TIMEOUT).await.unwrap();
    let (two, three) = tokio::join!(task.send("two"), async {
        task.send_with_key("the-third", "three").await
    });
    two.unwrap();
    three.unwrap();
    gate.open();
    assert_eq!(task.turn_completed(3).await.unwrap(), completed(1));

    // The two were sent at once: either may have come first, but each is answered before the next begins.
    let calls = agent.model().journal();
    let said = calls[2].request.user_texts();
    assert_eq!((calls.len(), said.len(), said[0].as_str()), (3, 3, "one"));
    let mut answers = Vec::new();
    for line in task.lines().await.unwrap() {
        if let Line::Agent(text) = line {
            answers.push(text);
        }
    }
    let expected: Vec<String> = said.iter().map(|text| format!("You said {text}.")).collect();
    assert_eq!(answers, expected);
    assert_eq!(agent.model().violations(), Vec::<String>::new());
}
