//! One conversation, as its client drives it.

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use steadfast_events::{TurnError, TurnStatus, Usage};

use super::{Answer, Client, Line, PATIENCE, Viewer};

/// A task of an agent.
#[derive(Clone, Debug)]
pub struct Task {
    client: Client,
    agent: String,
    id: String,
}

/// How a turn ended.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
pub struct TurnEnd {
    pub status: TurnStatus,
    #[serde(default)]
    pub error: Option<TurnError>,
    #[serde(default)]
    pub usage: Usage,
}

impl Task {
    pub(super) async fn create(client: Client, agent: &str, params: Value) -> anyhow::Result<Self> {
        let task = client.rpc(agent, "task/create", params, None).await?.result()?;
        let id = task["id"].as_str().context("the created task has no id")?.to_owned();
        Ok(Self {
            client,
            agent: agent.to_owned(),
            id,
        })
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// Says something to the agent.
    pub async fn send(&self, text: &str) -> anyhow::Result<()> {
        let key = uuid::Uuid::new_v4().to_string();
        self.send_with_key(&key, text).await?.result().map(drop)
    }

    /// The same with an idempotency key of the caller's.
    pub async fn send_with_key(&self, key: &str, text: &str) -> anyhow::Result<Answer> {
        let content = json!({"type": "text", "author": "user", "content": text});
        self.rpc("event/send", json!({"content": content}), Some(key)).await
    }

    /// Calls a JSON-RPC method for this task.
    pub async fn rpc(&self, method: &str, mut params: Value, key: Option<&str>) -> anyhow::Result<Answer> {
        params["task_id"] = self.id.clone().into();
        self.client.rpc(&self.agent, method, params, key).await
    }

    /// Says something and waits until the turn has ended.
    pub async fn turn(&self, number: u32, text: &str) -> anyhow::Result<TurnEnd> {
        self.send(text).await?;
        self.turn_ended(number).await
    }

    /// Waits until a turn has ended.
    pub async fn turn_ended(&self, number: u32) -> anyhow::Result<TurnEnd> {
        let viewer = self.watch().await?;
        let what = format!("the end of turn {number} of task {}", self.id);
        let data = viewer
            .find(&what, |seen| {
                seen.of_turn("turn_ended", number).map(|frame| frame.data.clone())
            })
            .await?;
        serde_json::from_value(data).context("read the end of a turn")
    }

    /// Watches it from its first event on.
    pub async fn watch(&self) -> anyhow::Result<Viewer> {
        self.watch_after("0").await
    }

    /// Watches it from behind an entry.
    pub async fn watch_after(&self, id: &str) -> anyhow::Result<Viewer> {
        Viewer::connect(self.client.clone(), &self.id, id).await
    }

    /// What `GET /tasks/{id}` says.
    pub async fn describe(&self) -> anyhow::Result<Value> {
        self.client.get(&format!("/tasks/{}", self.id)).await?.ok()
    }

    /// Waits until the task has this status.
    pub async fn until_status(&self, status: &str) -> anyhow::Result<Value> {
        crate::wait::until(format!("task {} to be {status}", self.id), PATIENCE, async || {
            let task = self.describe().await?;
            if task["status"] != status {
                bail!("it is {task}");
            }
            Ok(task)
        })
        .await
    }

    /// The messages as `GET /messages` gives them, oldest first.
    pub async fn messages(&self) -> anyhow::Result<Vec<Value>> {
        let path = format!("/messages?task_id={}&limit=1000&order_direction=asc", self.id);
        serde_json::from_value(self.client.get(&path).await?.ok()?).context("read the messages")
    }

    /// The same, comparable.
    pub async fn lines(&self) -> anyhow::Result<Vec<Line>> {
        Ok(self.messages().await?.iter().map(Line::of_wire).collect())
    }

    /// Waits until `GET /messages` gives these.
    pub async fn until_lines(&self, expected: &[Line]) -> anyhow::Result<()> {
        crate::wait::until(format!("the messages of task {}", self.id), PATIENCE, async || {
            let lines = self.lines().await?;
            if lines != expected {
                bail!("they are {lines:#?}\nand should be {expected:#?}");
            }
            Ok(())
        })
        .await
    }
}
