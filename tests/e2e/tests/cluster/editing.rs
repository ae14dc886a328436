//! Edits of an Agent or its Secret during conversations.

use std::time::{Duration, Instant};

use serde_json::json;
use steadfast_e2e::{
    backend::cluster::{
        namespace::{AGENT, Namespace},
        pods,
    },
    scenario::prompt_edit::reaches_the_next_message_and_restarts_nothing,
};
use steadfast_testkit::{
    scripted_model::{ModelCall, Reply},
    stack::API_KEY,
};

/// A changed Secret must be in use this long after its pods are Ready.
const SECRET_DEADLINE: Duration = Duration::from_secs(30);

pub(crate) async fn a_prompt_edit_reaches_the_next_message_and_restarts_nothing(namespace: Namespace) {
    reaches_the_next_message_and_restarts_nothing(&namespace).await;
    let pods = pods::of(&namespace).await.unwrap();
    let restarts: Vec<i32> = pods.iter().map(|pod| pod.restarts).collect();
    assert_eq!(restarts, [0]);
    assert_eq!(namespace.status().await.unwrap().revision, Some(3));
}

pub(crate) async fn a_changed_secret_reaches_the_model_and_the_conversation_continues(namespace: Namespace) {
    const NEW_KEY: &str = "sk-changed";
    let model = namespace.model(|_| Reply::text("Yes.")).unwrap();
    namespace.start_ready_agent(&model, json!({})).await.unwrap();
    let before = pods::of(&namespace).await.unwrap();
    let client = namespace.user_client().await.unwrap();
    let task = client.task(&namespace.public_name(AGENT)).await.unwrap();
    task.complete_turn(1, "one").await.unwrap();
    assert_eq!(key_of(model.journal().last().unwrap()), format!("Bearer {API_KEY}"));

    namespace.set_key(NEW_KEY).await.unwrap();
    pods::until_another_is_ready(&namespace, &before).await.unwrap();
    let ready = Instant::now();
    // The old pod is about to go; until then it may answer too.
    let mut turns = 1;
    while key_of(model.journal().last().unwrap()) != format!("Bearer {NEW_KEY}") {
        assert!(ready.elapsed() < SECRET_DEADLINE, "the old key is still used");
        turns += 1;
        task.complete_turn(turns, "and now?").await.unwrap();
    }

    let calls = model.journal();
    let turns = usize::try_from(turns).unwrap();
    assert_eq!(calls.len(), turns);
    assert_eq!(calls[turns - 1].request.user_texts().len(), turns);
    assert_eq!(task.lines().await.unwrap().len(), 2 * turns);
    assert_eq!(namespace.status().await.unwrap().revision, Some(1));
    assert_eq!(model.violations(), Vec::<String>::new());
}

fn key_of(call: &ModelCall) -> String {
    call.request.header("authorization").to_owned()
}
