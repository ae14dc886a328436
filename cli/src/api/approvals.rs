//! Lists and decides approvals.

use anyhow::Context as _;
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use steadfast_events::{Approval, Verdict};

use super::{GatewayClient, error_message, explain_status};

/// Approvals per page of the list.
const PAGE_SIZE: usize = 200;

/// An approval that nobody has decided yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PendingApproval {
    #[serde(flatten)]
    pub(crate) approval: Approval,
    /// Name of the agent that asks, as clients of the gateway know it.
    pub(crate) agent_name: String,
    pub(crate) task_id: String,
}

/// Which approvals to list. An empty filter lists all that the user may see.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) agent: Option<String>,
    pub(crate) task: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Approve,
    Reject,
}

/// A person's decision, before the task has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DecisionRequest {
    pub(crate) action: Action,
    pub(crate) reason: String,
    /// Null when the approval has no form.
    pub(crate) answer: Value,
}

/// The gateway's response to a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DecisionOutcome {
    /// The task has recorded the decision.
    Recorded,
    /// The decision is durable. The task records it as soon as a worker runs.
    Pending,
    /// The answer is missing or does not fit the approval's form.
    InvalidAnswer(String),
    /// The approval was decided, has expired or was withdrawn before.
    AlreadyClosed { verdict: Option<Verdict>, message: String },
}

impl GatewayClient {
    /// All pending approvals, the oldest first.
    pub(crate) async fn list_approvals(&self, filter: &Filter) -> anyhow::Result<Vec<PendingApproval>> {
        let agent = filter.agent.as_deref().map(|agent| ("agent_name", agent));
        let task = filter.task.as_deref().map(|task| ("task_id", task));
        let query: Vec<(&str, &str)> = agent.into_iter().chain(task).collect();
        self.list_pages("approvals", &query, PAGE_SIZE, usize::MAX).await
    }

    /// Decides an approval. The same decision sent again changes nothing.
    pub(crate) async fn decide(&self, approval_id: &str, request: &DecisionRequest) -> anyhow::Result<DecisionOutcome> {
        let action = match request.action {
            Action::Approve => "approve",
            Action::Reject => "reject",
        };
        let url = self.url(&["approvals", approval_id, action])?;
        let mut body = json!({});
        if !request.reason.is_empty() {
            body["reason"] = json!(request.reason);
        }
        if !request.answer.is_null() {
            body["answer"] = request.answer.clone();
        }
        let response = self
            .send_with_retries(|| self.authorize(self.http.post(url.clone())).json(&body))
            .await?;
        let status = response.status();
        let body = response.text().await.context("read the response to a decision")?;
        self.read_outcome(status, &body)
    }

    fn read_outcome(&self, status: StatusCode, body: &str) -> anyhow::Result<DecisionOutcome> {
        match status {
            StatusCode::ACCEPTED => Ok(DecisionOutcome::Pending),
            status if status.is_success() => Ok(DecisionOutcome::Recorded),
            StatusCode::UNPROCESSABLE_ENTITY => Ok(DecisionOutcome::InvalidAnswer(error_message(body))),
            StatusCode::CONFLICT => {
                let body_json: Option<Value> = serde_json::from_str(body).ok();
                let verdict = body_json.and_then(|json| Verdict::deserialize(json.pointer("/data/decision")?).ok());
                Ok(DecisionOutcome::AlreadyClosed {
                    verdict,
                    message: error_message(body),
                })
            }
            StatusCode::NOT_FOUND => anyhow::bail!(
                "the gateway at {} answered {status}: {}\nit may have been decided long ago; if `steadfast approvals \
                 list` shows it, you have no access: bind the ClusterRole steadfast-approver to your user in the \
                 namespace of the Agent",
                self.server,
                error_message(body)
            ),
            StatusCode::FORBIDDEN => anyhow::bail!("{}", error_message(body)),
            status => anyhow::bail!("{}", explain_status(&self.server, status, body)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pending_approval_has_the_fields_that_the_gateway_adds() {
        let pending: PendingApproval = serde_json::from_value(json!({
            "id": "t.1.0.0", "kind": "tool_call", "agent": "bank", "turn": 1, "tool": "pay", "tool_call_id": "c",
            "arguments": {"amount": 1}, "requested_at": "2026-11-23T00:00:00Z", "agent_name": "money.bank",
            "task_id": "t", "decision": "pending",
        }))
        .unwrap();
        assert_eq!(
            (pending.agent_name.as_str(), pending.approval.tool.as_str()),
            ("money.bank", "pay")
        );
    }

    #[test]
    fn each_status_of_a_decision_is_an_outcome_or_an_error() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = GatewayClient::new("http://h".parse().unwrap(), None).unwrap();
        let outcome = |status, body: Value| client.read_outcome(status, &body.to_string());
        assert_eq!(
            outcome(StatusCode::OK, json!({"decision": "approved"})).unwrap(),
            DecisionOutcome::Recorded
        );
        assert_eq!(
            outcome(StatusCode::ACCEPTED, json!({"decision": "pending"})).unwrap(),
            DecisionOutcome::Pending
        );
        assert_eq!(
            outcome(StatusCode::UNPROCESSABLE_ENTITY, json!({"message": "size is missing"})).unwrap(),
            DecisionOutcome::InvalidAnswer("size is missing".to_owned())
        );
        let late = json!({"message": "rejected by bob already", "data": {"decision": "rejected", "by": "bob"}});
        assert_eq!(
            outcome(StatusCode::CONFLICT, late).unwrap(),
            DecisionOutcome::AlreadyClosed {
                verdict: Some(Verdict::Rejected),
                message: "rejected by bob already".to_owned()
            }
        );
        let unknown = outcome(StatusCode::NOT_FOUND, json!({"message": "unknown"})).unwrap_err();
        assert!(unknown.to_string().contains("steadfast-approver"), "{unknown}");
    }
}
