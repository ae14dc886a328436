//! Examples with one agent and without tools.

use serde_json::{Value, json};
use steadfast_e2e::backend::cluster::namespace::Namespace;
use steadfast_testkit::stack::Line;

use super::RunningExample;

pub(crate) async fn haiku_answers(namespace: Namespace) {
    let example = RunningExample::start(namespace, "haiku").await.unwrap();
    let poem = "A call meets itself,\nsmaller in the mirror's depth,\nthen the long way home.";
    assert_eq!(
        example.ask("haiku", "Tell me about recursion.").await,
        [Line::user("Tell me about recursion."), Line::agent(poem)]
    );
}

pub(crate) async fn structured_output_is_json_of_the_schema(namespace: Namespace) {
    const TEXT: &str = "Teapots Ltd: two teapots at 39 euros, 78 euros in all.";
    let example = RunningExample::start(namespace, "structured-output").await.unwrap();
    let lines = example.ask("invoice-reader", TEXT).await;
    let [Line::User(_), Line::Agent(answer)] = lines.as_slice() else {
        panic!("there is more than a question and an answer: {lines:#?}");
    };
    assert_eq!(
        serde_json::from_str::<Value>(answer).unwrap(),
        json!({
            "supplier": "Teapots Ltd", "total": 78.0, "currency": "EUR", "due": null,
            "lines": [{"item": "teapot", "quantity": 2, "price": 39.0}],
        })
    );
}

pub(crate) async fn guardrails_stop_a_turn_and_say_why(namespace: Namespace) {
    let example = RunningExample::start(namespace, "guardrails").await.unwrap();
    let task = example.task("concierge").await.unwrap();
    let tripped = async |turn: u32, text: &str| {
        let error = task.fail_turn(turn, text).await.unwrap();
        assert_eq!(error.category, "guardrail_tripped", "{}", error.message);
        error.message
    };
    task.complete_turn(1, "When is breakfast?").await.unwrap();
    let judged = tripped(2, "Will you do my tax return?").await;
    assert!(
        judged.contains("topic") && judged.contains("Taxes are no matter for a hotel's concierge."),
        "{judged}"
    );
    assert!(tripped(3, "Whom can I write to?").await.contains("no-addresses"));
    let long = "Breakfast?".repeat(60);
    assert!(tripped(4, &long).await.contains("length"));
    // The withheld answer is in no message, and the conversation continues.
    task.complete_turn(5, "And when is breakfast?").await.unwrap();
    assert_eq!(
        task.lines().await.unwrap(),
        [
            Line::user("When is breakfast?"),
            Line::agent("Breakfast is from 7 to 10."),
            Line::user("Will you do my tax return?"),
            Line::user("Whom can I write to?"),
            Line::user(long),
            Line::user("And when is breakfast?"),
            Line::agent("Breakfast is from 7 to 10."),
        ]
    );
}

pub(crate) async fn reasoning_is_shown_before_the_answer(namespace: Namespace) {
    const PUZZLE: &str = "A bat and a ball cost 1.10. The bat costs 1 more than the ball. What does the ball cost?";
    let example = RunningExample::start(namespace, "reasoning").await.unwrap();
    let lines = example.ask("puzzler", PUZZLE).await;
    assert_eq!(
        lines,
        [
            Line::user(PUZZLE),
            Line::Reasoning(vec![
                "Let the ball cost x. The bat costs x + 1, so 2x + 1 = 1.10 and x = 0.05.".to_owned()
            ]),
            Line::agent("The ball costs 5 cents."),
        ]
    );
}
