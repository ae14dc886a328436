//! Access to the gateway: tokens of ServiceAccounts, and their RBAC permissions.

use serde_json::{Value, json};
use steadfast_e2e::backend::cluster::namespace::{AGENT, Namespace};
use steadfast_testkit::{scripted_model::Reply, stack::Client};

/// The status of the response to each kind of request.
async fn statuses(client: &Client, agent: &str, task_id: &str) -> [u16; 6] {
    let content = json!({"type": "text", "author": "user", "content": "Let me in."});
    let event = json!({"task_id": task_id, "content": content});
    [
        client.get(&format!("/agents/name/{agent}")).await.unwrap().status,
        client.rpc(agent, "task/create", json!({}), None).await.unwrap().status,
        client.get(&format!("/tasks/{task_id}")).await.unwrap().status,
        client
            .get(&format!("/messages?task_id={task_id}"))
            .await
            .unwrap()
            .status,
        client.get(&format!("/tasks/{task_id}/stream")).await.unwrap().status,
        client.rpc(agent, "event/send", event, None).await.unwrap().status,
    ]
}

async fn names(client: &Client, path: &str, member: &str) -> Vec<Value> {
    let listed = client.get(path).await.unwrap().success().unwrap();
    listed
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry[member].clone())
        .collect()
}

pub(crate) async fn only_permitted_users_see_an_agent_and_only_the_creator_sees_a_task(namespace: Namespace) {
    let model = namespace.model(|_| Reply::text("Yes.")).unwrap();
    // Without workers, as only the gateway is tested.
    namespace
        .start_ready_agent(&model, json!({"worker": {"replicas": 0}}))
        .await
        .unwrap();
    let agent = namespace.public_name(AGENT);
    let alice = namespace.user_client().await.unwrap();
    let task = alice.task(&agent).await.unwrap();
    assert_eq!(task.describe().await.unwrap()["status"], "RUNNING");
    assert_eq!(names(&alice, "/agents", "name").await, [json!(agent)]);
    assert_eq!(names(&alice, "/tasks", "id").await, [json!(task.id())]);

    let nobody = Client::new(namespace.gateway().to_owned()).unwrap();
    assert_eq!(nobody.get("/agents").await.unwrap().status, 401);
    assert_eq!(statuses(&nobody, &agent, task.id()).await, [401; 6]);
    let liar = namespace.client("eyJhbGciOiJub25lIn0.e30.").unwrap();
    assert_eq!(statuses(&liar, &agent, task.id()).await, [401; 6]);

    let stranger = namespace.stranger("mallory").await.unwrap();
    let stranger = namespace.client(&stranger).unwrap();
    assert_eq!(statuses(&stranger, &agent, task.id()).await, [404; 6]);
    assert_eq!(names(&stranger, "/agents", "name").await, Vec::<Value>::new());
    assert_eq!(names(&stranger, "/tasks", "id").await, Vec::<Value>::new());

    // Bob may talk to the agent as Alice does, but may not see her task.
    let bob = namespace.client(&namespace.user("bob").await.unwrap()).unwrap();
    namespace.until_visible(&bob).await.unwrap();
    assert_eq!(statuses(&bob, &agent, task.id()).await, [200, 200, 404, 404, 404, 404]);
    let own = names(&bob, "/tasks", "id").await;
    assert!(own.len() == 1 && own != [json!(task.id())], "{own:?}");
    assert_eq!(task.messages().await.unwrap(), Vec::<Value>::new());
}
