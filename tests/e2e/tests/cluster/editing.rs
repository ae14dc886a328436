//! What reaches running conversations when an Agent or its Secret is edited.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::json;
use steadfast_events::TurnStatus;
use steadfast_testkit::scripted_model::{Call, Reply};
use steadfast_testkit::stack::PATIENCE;
use steadfast_testkit::wait;

use crate::namespace::{AGENT, API_KEY, Namespace};
use crate::pods;

/// How soon an edited prompt holds.
const PROMPT_DEADLINE: Duration = Duration::from_secs(5);
/// How soon a changed Secret holds once its pods are Ready.
const SECRET_DEADLINE: Duration = Duration::from_secs(30);

pub async fn a_prompt_edit_reaches_the_next_message_and_restarts_nothing(namespace: Namespace) {
    let model = namespace.model(|_| Reply::text("Yes.")).unwrap();
    namespace.start_agent(&model, json!({})).await.unwrap();
    let before = pods::of(&namespace).await.unwrap();
    assert_eq!((before.len(), namespace.status().await.unwrap().revision), (1, Some(1)));
    let client = namespace.talk().await.unwrap();
    let task = client.task(&namespace.public_name(AGENT)).await.unwrap();
    assert_eq!(task.turn(1, "one").await.unwrap().status, TurnStatus::Completed);

    // Back to A is a third revision.
    for (turn, prompt) in [(2, "Prompt B."), (3, "Prompt A.")] {
        let edited = Instant::now();
        namespace
            .patch_agent(AGENT, &json!({"instructions": prompt}))
            .await
            .unwrap();
        until_revision(&namespace, turn).await.unwrap();
        assert!(edited.elapsed() < PROMPT_DEADLINE, "it took {:?}", edited.elapsed());
        let ended = task.turn(turn, "and now?").await.unwrap();
        assert_eq!(ended.status, TurnStatus::Completed);
    }

    let calls = model.journal();
    let prompts: Vec<&str> = calls.iter().map(|call| call.request.instructions()).collect();
    assert_eq!(prompts, ["Prompt A.", "Prompt B.", "Prompt A."]);
    assert_eq!(calls[2].request.user_texts(), ["one", "and now?", "and now?"]);
    assert_eq!(pods::of(&namespace).await.unwrap(), before);
    assert_eq!(model.violations(), Vec::<String>::new());
}

async fn until_revision(namespace: &Namespace, sequence: u32) -> anyhow::Result<()> {
    wait::until(format!("revision {sequence}"), PATIENCE, async || {
        let revision = namespace.status().await?.revision;
        ensure!(revision == Some(sequence.into()), "it is {revision:?}");
        Ok(())
    })
    .await
}

pub async fn a_changed_secret_reaches_the_model_and_the_conversation_goes_on(namespace: Namespace) {
    const NEW_KEY: &str = "sk-changed";
    let model = namespace.model(|_| Reply::text("Yes.")).unwrap();
    namespace.start_agent(&model, json!({})).await.unwrap();
    let before = pods::of(&namespace).await.unwrap();
    let client = namespace.talk().await.unwrap();
    let task = client.task(&namespace.public_name(AGENT)).await.unwrap();
    assert_eq!(task.turn(1, "one").await.unwrap().status, TurnStatus::Completed);
    assert_eq!(key_of(model.journal().last().unwrap()), format!("Bearer {API_KEY}"));

    namespace.set_key(NEW_KEY).await.unwrap();
    pods::until_another_is_ready(&namespace, &before).await.unwrap();
    let ready = Instant::now();
    // The old pod is about to go; until then it may answer too.
    let mut turns = 1;
    while key_of(model.journal().last().unwrap()) != format!("Bearer {NEW_KEY}") {
        assert!(ready.elapsed() < SECRET_DEADLINE, "the old key is still used");
        turns += 1;
        let ended = task.turn(turns, "and now?").await.unwrap();
        assert_eq!(ended.status, TurnStatus::Completed);
    }

    let calls = model.journal();
    let turns = usize::try_from(turns).unwrap();
    assert_eq!(calls.len(), turns);
    assert_eq!(calls[turns - 1].request.user_texts().len(), turns);
    assert_eq!(task.lines().await.unwrap().len(), 2 * turns);
    assert_eq!(namespace.status().await.unwrap().revision, Some(1));
    assert_eq!(model.violations(), Vec::<String>::new());
}

fn key_of(call: &Call) -> String {
    call.request.header("authorization").to_owned()
}
