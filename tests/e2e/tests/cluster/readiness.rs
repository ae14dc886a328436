//! Agents that are not Ready: the reason in their condition Ready, and their recovery.

use serde_json::json;
use steadfast_crds::conditions::{ConditionType, Reason};
use steadfast_e2e::backend::cluster::{
    namespace::{AGENT, Namespace, SECRET},
    pods,
};
use steadfast_testkit::{scripted_model::Reply, stack::API_KEY};

pub(crate) async fn an_agent_with_a_wrong_image_is_never_ready_and_gives_the_reason(namespace: Namespace) {
    const IMAGE: &str = "localhost/steadfast/worker:no-such-tag";
    let model = namespace.model(|_| Reply::text("Yes.")).unwrap();
    namespace.set_key(API_KEY).await.unwrap();
    namespace
        .apply_agent(&model, json!({"worker": {"image": IMAGE}}))
        .await
        .unwrap();
    let ready = namespace.until_not_ready(Reason::ImagePullFailed).await.unwrap();
    assert!(ready.message.contains(IMAGE), "{}", ready.message);
    // The agent was never Ready before: both conditions changed last at the same time.
    let conditions = namespace.status().await.unwrap().conditions;
    let accepted = conditions
        .iter()
        .find(|condition| condition.type_ == ConditionType::Accepted.as_str())
        .unwrap();
    assert_eq!(ready.last_transition_time, accepted.last_transition_time);

    namespace
        .patch_agent(AGENT, &json!({"worker": {"image": null}}))
        .await
        .unwrap();
    namespace.wait_until_ready().await.unwrap();

    // With a stuck rollout the agent is not Ready, although the old pod still works.
    let working = pods::of(&namespace).await.unwrap();
    namespace
        .patch_agent(AGENT, &json!({"worker": {"image": IMAGE}}))
        .await
        .unwrap();
    let ready = namespace.until_not_ready(Reason::ImagePullFailed).await.unwrap();
    assert!(ready.message.contains(IMAGE), "{}", ready.message);
    let now = pods::of(&namespace).await.unwrap();
    assert!(working.iter().all(|pod| now.contains(pod)), "{now:?}");
    let client = namespace.user_client().await.unwrap();
    let task = client.task(&namespace.public_name(AGENT)).await.unwrap();
    task.complete_turn(1, "Are you there?").await.unwrap();
}

pub(crate) async fn an_agent_with_a_missing_secret_names_it_and_recovers_when_it_appears(namespace: Namespace) {
    let model = namespace.model(|_| Reply::text("Yes.")).unwrap();
    namespace.apply_agent(&model, json!({})).await.unwrap();
    let ready = namespace.until_not_ready(Reason::SecretNotFound).await.unwrap();
    assert!(ready.message.contains(SECRET), "{}", ready.message);
    // There is no pod, as it could only crash.
    assert_eq!(pods::of(&namespace).await.unwrap(), []);

    namespace.set_key(API_KEY).await.unwrap();
    namespace.wait_until_ready().await.unwrap();
    let client = namespace.user_client().await.unwrap();
    let task = client.task(&namespace.public_name(AGENT)).await.unwrap();
    task.complete_turn(1, "one").await.unwrap();
    let call = model.journal().pop().unwrap();
    assert_eq!(call.request.header("authorization"), format!("Bearer {API_KEY}"));
}
