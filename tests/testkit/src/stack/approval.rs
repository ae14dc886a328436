//! Approvals that wait for a decision, as a person decides them through the gateway.

use std::ops::Index;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::{TIMEOUT, client::Client, task::Task};

/// An approval that waits for a decision. Its members are those of `GET /approvals`.
#[derive(Clone, Debug)]
pub struct PendingApproval {
    client: Client,
    members: Value,
}

impl Task {
    /// The approvals of this task that wait for a decision.
    pub async fn pending_approvals(&self) -> anyhow::Result<Vec<PendingApproval>> {
        let path = format!("/approvals?task_id={}", self.id());
        let listed = self.client().get(&path).await?.success()?;
        let members = listed.as_array().cloned().unwrap_or_default();
        Ok(members
            .into_iter()
            .map(|members| PendingApproval {
                client: self.client().clone(),
                members,
            })
            .collect())
    }

    /// Waits until exactly one approval of this task waits for a decision.
    pub async fn until_approval_pending(&self) -> anyhow::Result<PendingApproval> {
        let what = format!("a pending approval of task {}", self.id());
        crate::wait::until(what, TIMEOUT, async || {
            let mut pending = self.pending_approvals().await?;
            ensure!(
                pending.len() == 1,
                "{} approvals are pending: {pending:?}",
                pending.len()
            );
            Ok(pending.remove(0))
        })
        .await
    }
}

impl PendingApproval {
    pub fn id(&self) -> anyhow::Result<&str> {
        self.members["id"].as_str().context("find the id of an approval")
    }

    /// Approves it with this reason.
    pub async fn approve(&self, reason: &str) -> anyhow::Result<()> {
        self.decide("approve", json!({"reason": reason})).await
    }

    /// Approves it with this answer to its form.
    pub async fn answer(&self, answer: Value) -> anyhow::Result<()> {
        self.decide("approve", json!({"answer": answer})).await
    }

    /// Rejects it with this reason.
    pub async fn reject(&self, reason: &str) -> anyhow::Result<()> {
        self.decide("reject", json!({"reason": reason})).await
    }

    async fn decide(&self, verdict: &str, body: Value) -> anyhow::Result<()> {
        let path = format!("/approvals/{}/{verdict}", self.id()?);
        let response = self.client.post(&path, body.to_string()).await?;
        response.success().map(drop).context("decide an approval")
    }
}

impl Index<&str> for PendingApproval {
    type Output = Value;

    fn index(&self, member: &str) -> &Value {
        &self.members[member]
    }
}
