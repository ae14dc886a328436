//! From a message to the first text that a viewer gets.

use std::time::{Duration, Instant};

use anyhow::ensure;
use steadfast_events::TurnStatus;

use super::paced_model::Work;
use crate::stack::{Client, Task, Viewer};

/// Deltas of an answer.
const DELTAS: u32 = 3;
/// Milliseconds between two of them.
const PACE_MS: u32 = 10;

/// A task with a viewer, to which nobody has sent a message.
pub(super) struct Waiting {
    task: Task,
    viewer: Viewer,
}

/// A message for a short answer. `run` is the name by which the model knows it.
pub(super) fn message(run: &str) -> String {
    let work = Work {
        run: run.to_owned(),
        calls: 0,
        result_bytes: 0,
        deltas: DELTAS,
        pace_ms: PACE_MS,
    };
    work.to_string()
}

impl Waiting {
    /// Creates a task of an agent, and watches it.
    pub(super) async fn new(client: &Client, agent: &str) -> anyhow::Result<Self> {
        let task = client.task(agent).await?;
        let viewer = task.watch().await?;
        Ok(Self { task, viewer })
    }

    /// Sends the first message, and returns the time from the request until the first text.
    pub(super) async fn first_token(&self, run: &str) -> anyhow::Result<Duration> {
        let sent = Instant::now();
        self.task.send(&message(run)).await?;
        self.viewer
            .until("the first text", |seen| !seen.last_text().is_empty())
            .await?;
        Ok(sent.elapsed())
    }

    /// Waits until the first turn has completed.
    pub(super) async fn completed(&self) -> anyhow::Result<()> {
        let end = self.viewer.turn_ended(1).await?;
        ensure!(
            end.status == TurnStatus::Completed,
            "the turn has not completed: {end:?}"
        );
        Ok(())
    }
}
