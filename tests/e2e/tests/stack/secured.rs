//! Temporal and Redis behind TLS: a private authority, client certificates, an API
//! key, an ACL user. Gateway and worker get all of it by their flags.

use steadfast_e2e::scenario::completed;
use steadfast_testkit::{
    scripted_model::Reply,
    stack::{AgentSetup, REDIS_USER, Stack, TEMPORAL_API_KEY},
};

#[tokio::test]
async fn a_conversation_runs_over_encrypted_and_authenticated_connections() {
    let stack = Stack::start_secured().await.unwrap();
    let setup = AgentSetup::new("secured", |_| Reply::text("Hello."));
    let agent = stack.agent(setup).await.unwrap();
    let task = agent.task().await.unwrap();
    assert_eq!(task.complete_turn(1, "Hi.").await.unwrap(), completed(1));

    let proxy = stack.temporal_proxy().unwrap();
    assert_eq!(proxy.authorizations(), [Some(format!("Bearer {TEMPORAL_API_KEY}"))]);
    let clients = stack.redis().command("CLIENT LIST").await.unwrap();
    let user = format!(" user={REDIS_USER} ");
    // This question's own connection is the default user's.
    let mut others = clients
        .lines()
        .filter(|line| line.contains(" addr=") && !line.contains(" cmd=client|list "));
    assert!(
        others.clone().count() >= 2 && others.all(|line| line.contains(&user)),
        "{clients}"
    );
}
