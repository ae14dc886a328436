//! Guardrails, and structured output.

use serde_json::{Value, json};
use steadfast_crds::{
    agent::{Guardrails, OutputSettings},
    names::agent_task_queue,
};
use steadfast_e2e::backend::stack::{TOOLS, shared_stack};
use steadfast_testkit::{
    scripted_model::Reply,
    stack::{AgentSetup, INSTALL, Line, NAMESPACE},
};

fn guardrails(of: Value) -> Guardrails {
    serde_json::from_value(of).unwrap()
}

#[tokio::test]
async fn a_tripped_input_guardrail_fails_the_turn_before_the_model_call() {
    let setup = AgentSetup::new("guard-cel", |_| Reply::text("Fine.")).configure(|spec| {
        spec.guardrails = guardrails(json!({"input": [{"name": "short", "cel": "text.size() > 20"}]}));
    });
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    let error = task.fail_turn(1, "A text that is much too long for it.").await.unwrap();
    assert_eq!(error.category, "guardrail_tripped");
    assert!(error.message.contains("\"short\""), "{}", error.message);
    assert_eq!(agent.model().journal().len(), 0);
    task.complete_turn(2, "Short.").await.unwrap();
    let seen = viewer.until_turn_ended(2).await.unwrap();
    let tripped = &seen.of_turn("guardrail_tripped", 1).unwrap().data;
    assert_eq!(
        (&tripped["name"], &tripped["stage"]),
        (&json!("short"), &json!("input"))
    );
}

#[tokio::test]
async fn an_answer_is_shown_only_after_its_guardrails_have_passed() {
    let setup = AgentSetup::new("guard-output", |request| match request.user_texts().len() {
        1 => Reply::text("The password is 1234."),
        _ => Reply::text("I cannot say."),
    })
    .configure(|spec| {
        let check = json!({"name": "secrets", "activity": {"name": "judge", "taskQueue": TOOLS}});
        spec.guardrails = guardrails(json!({"output": [check]}));
    });
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let viewer = task.watch().await.unwrap();
    let error = task.fail_turn(1, "Tell me.").await.unwrap();
    assert_eq!(error.category, "guardrail_tripped");
    task.complete_turn(2, "And now?").await.unwrap();
    let expected = [
        Line::user("Tell me."),
        Line::user("And now?"),
        Line::agent("I cannot say."),
    ];
    assert_eq!(task.lines().await.unwrap(), expected);
    let seen = viewer.until_turn_ended(2).await.unwrap();
    assert_eq!(seen.lines(), expected);
    assert!(
        !seen.texts().iter().any(|text| text.contains("1234")),
        "{}",
        seen.summary()
    );
    assert_eq!(agent.model().violations(), Vec::<String>::new());
}

#[tokio::test]
async fn an_agent_can_be_a_guardrail() {
    let stack = shared_stack().await;
    let judge = AgentSetup::new("the-judge", |request| {
        let tripped = request.last_user_text().contains("math");
        Reply::text(json!({"tripped": tripped, "reason": "homework"}).to_string())
    });
    let judge = stack.agent(judge).await.unwrap();
    let setup = AgentSetup::new("judged", |_| Reply::text("Sure.")).configure(|spec| {
        spec.guardrails = guardrails(json!({"input": [{"name": "no-homework", "agent": "the-judge"}]}));
        let queue = agent_task_queue(INSTALL, NAMESPACE, "the-judge");
        spec.judges = [("the-judge".to_owned(), queue)].into();
    });
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.send("Do my math.").await.unwrap();
    let end = task.turn_ended(1).await.unwrap();
    assert!(end.error.unwrap().message.contains("homework"));
    // The usage includes the judge's calls.
    assert_eq!(end.usage.model_calls, 1);
    let end = task.complete_turn(2, "Hello.").await.unwrap();
    assert_eq!(end.usage.model_calls, 2);
    assert_eq!((judge.model().journal().len(), agent.model().journal().len()), (2, 1));
}

fn recipe() -> Option<OutputSettings> {
    let schema = json!({
        "type": "object", "properties": {"minutes": {"type": "integer"}}, "required": ["minutes"],
        "additionalProperties": false,
    });
    serde_json::from_value(json!({"schema": schema})).unwrap()
}

#[tokio::test]
async fn an_answer_that_does_not_match_the_schema_returns_to_the_model_and_is_not_shown() {
    let setup = AgentSetup::new("structured", |request| match request.number {
        1 => Reply::text("About ten minutes."),
        2 => Reply::text(r#"{"minutes": "ten"}"#),
        _ => Reply::text(r#"{"minutes": 10}"#),
    })
    .configure(|spec| spec.output = recipe());
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    task.complete_turn(1, "How long?").await.unwrap();
    assert_eq!(
        task.lines().await.unwrap(),
        [Line::user("How long?"), Line::agent(r#"{"minutes": 10}"#)]
    );
    let calls = agent.model().journal();
    assert_eq!(calls.len(), 3);
    let asked = calls[2].request.input().last().unwrap()["content"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(asked.contains("integer"), "{asked}");
}

#[tokio::test]
async fn a_turn_fails_when_the_output_never_matches_its_schema() {
    let setup = AgentSetup::new("unstructured", |_| Reply::text("Never.")).configure(|spec| spec.output = recipe());
    let agent = shared_stack().await.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    let error = task.fail_turn(1, "How long?").await.unwrap();
    assert_eq!(error.category, "output_invalid");
    assert_eq!(agent.model().journal().len(), 3);
}
