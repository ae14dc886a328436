//! What a person does about approvals, through the gateway.

use serde_json::Value;
use steadfast_testkit::stack::{Client, PATIENCE, Task};
use steadfast_testkit::wait;

/// The approvals of one task that wait.
pub async fn waiting(client: &Client, task: &Task) -> anyhow::Result<Vec<Value>> {
    let listed = client.get(&format!("/approvals?task_id={}", task.id())).await?.ok()?;
    Ok(listed.as_array().cloned().unwrap_or_default())
}

/// Waits until one approval of the task waits.
pub async fn until_asked(client: &Client, task: &Task) -> Value {
    wait::until("an approval to wait", PATIENCE, async || {
        let mut waiting = waiting(client, task).await?;
        anyhow::ensure!(waiting.len() == 1, "{waiting:?}");
        Ok(waiting.remove(0))
    })
    .await
    .unwrap()
}

/// `approve` or `reject`; it must be taken.
pub async fn decide(client: &Client, approval: &Value, how: &str, body: Value) -> Value {
    let path = format!("/approvals/{}/{how}", approval["id"].as_str().unwrap());
    let answer = client.post(&path, body.to_string()).await.unwrap();
    assert!((200..300).contains(&answer.status), "{answer:?}");
    answer.body
}
