//! Lists, reads and ends tasks.

use anyhow::Context as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{GatewayClient, require_success};

/// Tasks per page of the list.
const PAGE_SIZE: usize = 100;

/// A task as the gateway shows it. A member that this client does not know is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) id: String,
    pub(crate) name: Option<String>,
    /// `RUNNING`, `COMPLETED`, `FAILED`, `CANCELED`, `TERMINATED` or `TIMED_OUT`.
    pub(crate) status: String,
    pub(crate) status_reason: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    /// Absent where the gateway was not asked for them.
    pub(crate) agents: Option<Vec<TaskAgent>>,
    #[serde(flatten)]
    pub(crate) other: serde_json::Map<String, Value>,
}

/// The agent of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TaskAgent {
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) other: serde_json::Map<String, Value>,
}

/// Which tasks to list.
#[derive(Clone, Debug)]
pub(crate) struct TaskFilter {
    /// Name of the agent, as the gateway knows it.
    pub(crate) agent: Option<String>,
    pub(crate) status: Option<&'static str>,
    /// The most tasks.
    pub(crate) limit: usize,
}

/// A change of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaskAction {
    Cancel,
    Complete,
    Interrupt,
}

impl GatewayClient {
    /// The newest tasks.
    pub(crate) async fn list_tasks(&self, filter: &TaskFilter) -> anyhow::Result<Vec<Task>> {
        let mut query = vec![("relationships", "agents")];
        query.extend(filter.agent.as_deref().map(|agent| ("agent_name", agent)));
        query.extend(filter.status.map(|status| ("status", status)));
        self.list_pages("tasks", &query, PAGE_SIZE, filter.limit).await
    }

    /// One task by id.
    pub(crate) async fn get_task(&self, id: &str) -> anyhow::Result<Task> {
        let url = self.url(&["tasks", id])?;
        let response = self
            .send_with_retries(|| self.authorize(self.http.get(url.clone())))
            .await?;
        let task = require_success(&self.server, response).await?.json().await;
        task.context("read the task")
    }

    /// Changes a task, and returns it as it is then.
    pub(crate) async fn change_task(&self, id: &str, action: TaskAction, reason: Option<&str>) -> anyhow::Result<Task> {
        let action = match action {
            TaskAction::Cancel => "cancel",
            TaskAction::Complete => "complete",
            TaskAction::Interrupt => "interrupt",
        };
        let url = self.url(&["tasks", id, action])?;
        let body = reason.map_or_else(|| json!({}), |reason| json!({ "reason": reason }));
        let response = self
            .send_with_retries(|| self.authorize(self.http.post(url.clone())).json(&body))
            .await?;
        let task = require_success(&self.server, response).await?.json().await;
        task.with_context(|| format!("read the response to {action}"))
    }

    /// Erases a task. A task that is gone already is an error of the gateway.
    pub(crate) async fn delete_task(&self, id: &str) -> anyhow::Result<()> {
        let url = self.url(&["tasks", id])?;
        let response = self
            .send_with_retries(|| self.authorize(self.http.delete(url.clone())))
            .await?;
        require_success(&self.server, response).await.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_server::{client, next_request, respond};
    use super::*;

    fn task(id: &str) -> String {
        json!({
            "id": id, "name": null, "status": "RUNNING", "status_reason": null, "created_at": "2026-11-23T10:00:00Z",
            "updated_at": "2026-11-23T10:00:00Z", "agents": [{"name": "weather", "id": "a"}],
        })
        .to_string()
    }

    #[tokio::test]
    async fn pages_are_read_until_there_are_enough_tasks() {
        let (client, listener) = client().await;
        let filter = TaskFilter {
            agent: Some("team.weather".to_owned()),
            status: Some("RUNNING"),
            limit: 1,
        };
        let listed = tokio::spawn(async move { client.list_tasks(&filter).await });
        let (head, mut connection) = next_request(&listener).await;
        assert!(
            head.starts_with(
                "get /tasks?limit=1&page_number=1&relationships=agents&agent_name=team.weather&status=running "
            ),
            "{head}"
        );
        respond(&mut connection, "200 OK", &format!("[{}]", task("t1"))).await;
        drop(connection);
        let tasks = listed.await.unwrap().unwrap();
        let agents = tasks[0].agents.as_deref().unwrap_or_default();
        assert_eq!((tasks[0].id.as_str(), agents[0].name.as_str()), ("t1", "weather"));
    }

    #[tokio::test]
    async fn a_task_is_erased_by_a_request() {
        let (client, listener) = client().await;
        let deleted = tokio::spawn(async move { client.delete_task("t1").await });
        let (head, mut connection) = next_request(&listener).await;
        assert!(head.starts_with("delete /tasks/t1 "), "{head}");
        respond(&mut connection, "200 OK", "{}").await;
        drop(connection);
        deleted.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn an_action_is_a_request_with_the_reason() {
        let (client, listener) = client().await;
        let changed = tokio::spawn(async move { client.change_task("t1", TaskAction::Cancel, Some("wrong")).await });
        let (head, mut connection) = next_request(&listener).await;
        assert!(head.starts_with("post /tasks/t1/cancel "), "{head}");
        respond(&mut connection, "200 OK", &task("t1")).await;
        drop(connection);
        assert_eq!(changed.await.unwrap().unwrap().status, "RUNNING");
    }
}
