//! One conversation, driven as a client drives it.

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use steadfast_events::{TurnError, TurnStatus};

use super::{
    TIMEOUT,
    client::{Client, GatewayResponse},
    line::Line,
    raw_stream::RawStream,
    turn_end::TurnEnd,
    viewer::{AgentexFrames, Viewer},
};

/// A task of an agent.
#[derive(Clone, Debug)]
pub struct Task {
    client: Client,
    agent: String,
    id: String,
}

impl Client {
    /// Creates a task of an agent.
    pub async fn task(&self, agent: &str) -> anyhow::Result<Task> {
        self.task_with(agent, json!({})).await
    }

    /// Like [`task`](Self::task), with `name`, `params` or `task_metadata`.
    pub async fn task_with(&self, agent: &str, params: Value) -> anyhow::Result<Task> {
        let created = async {
            let task = self.rpc(agent, "task/create", params, None).await?.rpc_result()?;
            let id = task["id"].as_str().context("find the id of the created task")?;
            anyhow::Ok(Task {
                client: self.clone(),
                agent: agent.to_owned(),
                id: id.to_owned(),
            })
        };
        created
            .await
            .with_context(|| format!("create a task of agent {agent:?}"))
    }

    /// A task of an agent that somebody else has created.
    pub fn existing_task(&self, agent: &str, id: &str) -> Task {
        Task {
            client: self.clone(),
            agent: agent.to_owned(),
            id: id.to_owned(),
        }
    }
}

impl Task {
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The client that created the task.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Calls a JSON-RPC method for this task.
    pub async fn rpc(&self, method: &str, mut params: Value, key: Option<&str>) -> anyhow::Result<GatewayResponse> {
        params["task_id"] = self.id.clone().into();
        self.client.rpc(&self.agent, method, params, key).await
    }

    /// Sends a message.
    pub async fn send(&self, text: &str) -> anyhow::Result<()> {
        let key = uuid::Uuid::new_v4().to_string();
        self.send_with_key(&key, text).await.map(drop)
    }

    /// Sends a message with this idempotency key, and returns the accepted event.
    pub async fn send_with_key(&self, key: &str, text: &str) -> anyhow::Result<Value> {
        self.try_send(key, text).await?.rpc_result()
    }

    /// Sends a message that the gateway may refuse.
    pub async fn try_send(&self, key: &str, text: &str) -> anyhow::Result<GatewayResponse> {
        let content = json!({"type": "text", "author": "user", "content": text});
        self.rpc("event/send", json!({"content": content}), Some(key)).await
    }

    /// Interrupts the running turn.
    pub async fn interrupt(&self) -> anyhow::Result<()> {
        self.call("task/interrupt").await
    }

    /// Cancels the task.
    pub async fn cancel(&self) -> anyhow::Result<()> {
        self.call("task/cancel").await
    }

    /// Completes the task.
    pub async fn complete(&self) -> anyhow::Result<()> {
        let path = format!("/tasks/{}/complete", self.id);
        self.client.post(&path, "{}").await?.success().map(drop)
    }

    async fn call(&self, method: &str) -> anyhow::Result<()> {
        self.rpc(method, json!({}), None).await?.rpc_result().map(drop)
    }

    /// Sends a message and waits until its turn has completed. An error if the
    /// turn ends with another status.
    pub async fn complete_turn(&self, number: u32, text: &str) -> anyhow::Result<TurnEnd> {
        self.send(text).await?;
        self.turn_completed(number).await
    }

    /// Sends a message, waits until its turn has failed, and returns the turn's error.
    /// An error if the turn ends with another status.
    pub async fn fail_turn(&self, number: u32, text: &str) -> anyhow::Result<TurnError> {
        self.send(text).await?;
        let end = self.turn_ended(number).await?;
        ensure!(
            end.status == TurnStatus::Failed,
            "turn {number} has not failed: {end:?}"
        );
        end.error.context("find the error of the failed turn")
    }

    /// Waits until a turn has completed. An error if it ends with another status.
    pub async fn turn_completed(&self, number: u32) -> anyhow::Result<TurnEnd> {
        let end = self.turn_ended(number).await?;
        ensure!(
            end.status == TurnStatus::Completed,
            "turn {number} has not completed: {end:?}"
        );
        Ok(end)
    }

    /// Waits until a turn has ended, with whatever status.
    pub async fn turn_ended(&self, number: u32) -> anyhow::Result<TurnEnd> {
        self.watch().await?.turn_ended(number).await
    }

    /// A viewer that starts with the first event of the task.
    pub async fn watch(&self) -> anyhow::Result<Viewer> {
        self.watch_after("0").await
    }

    /// A viewer that starts after the entry with this id.
    pub async fn watch_after(&self, id: &str) -> anyhow::Result<Viewer> {
        Viewer::connect(self.client.clone(), &self.id, id).await
    }

    /// Opens its stream from the beginning, to read the bytes as they come.
    pub async fn raw_stream(&self) -> anyhow::Result<RawStream> {
        RawStream::open(&self.client, &self.id).await
    }

    /// The task's stream in the Agentex format.
    pub async fn agentex_frames(&self) -> anyhow::Result<AgentexFrames> {
        AgentexFrames::open(&self.client, &self.id).await
    }

    /// The task as `GET /tasks/{id}` returns it.
    pub async fn describe(&self) -> anyhow::Result<Value> {
        self.client.get(&format!("/tasks/{}", self.id)).await?.success()
    }

    /// Waits until the task has this status.
    pub async fn until_status(&self, status: &str) -> anyhow::Result<Value> {
        crate::wait::until(format!("task {} to be {status}", self.id), TIMEOUT, async || {
            let task = self.describe().await?;
            if task["status"] != status {
                bail!("it is {task}");
            }
            Ok(task)
        })
        .await
    }

    /// The messages that `GET /messages` returns, oldest first.
    pub async fn messages(&self) -> anyhow::Result<Vec<Value>> {
        let path = format!("/messages?task_id={}&limit=1000&order_direction=asc", self.id);
        serde_json::from_value(self.client.get(&path).await?.success()?).context("read the messages")
    }

    /// The messages that `GET /messages` returns, in a form that tests compare.
    pub async fn lines(&self) -> anyhow::Result<Vec<Line>> {
        Ok(self.messages().await?.iter().map(Line::of_wire).collect())
    }

    /// Waits until `GET /messages` returns these messages.
    pub async fn until_lines(&self, expected: &[Line]) -> anyhow::Result<()> {
        crate::wait::until(format!("the messages of task {}", self.id), TIMEOUT, async || {
            let lines = self.lines().await?;
            if lines != expected {
                bail!("they are {lines:#?}\nand should be {expected:#?}");
            }
            Ok(())
        })
        .await
    }
}
