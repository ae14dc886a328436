//! What agents ask people: lists it and decides it.

use anyhow::Context as _;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use steadfast_events::{Approval, Decision};

use super::{Gateway, explain, said};

/// Approvals fetched at a time.
const PAGE: usize = 200;

/// An approval that waits.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Listed {
    #[serde(flatten)]
    pub asked: Approval,
    /// The agent that asks, as the gateway knows it.
    pub agent_name: String,
    pub task_id: String,
}

/// Which approvals are wanted; all that one may see when nothing is set.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub agent: Option<String>,
    pub task: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Approve,
    Reject,
}

/// What a person says to an approval.
#[derive(Clone, Debug, PartialEq)]
pub struct Ruling {
    pub verdict: Verdict,
    pub reason: String,
    /// Null without a form.
    pub answer: Value,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Decided,
    /// The decision is durable; the task has not taken it up yet.
    OnItsWay,
    /// It asks for something else than what was answered.
    Unfit(String),
    /// It was too late: somebody else had decided, or the wait was over.
    TooLate {
        decision: Option<Decision>,
        text: String,
    },
}

impl Gateway {
    /// All approvals that wait, the one that waits longest first.
    pub async fn approvals(&self, wanted: &Wanted) -> anyhow::Result<Vec<Listed>> {
        let mut all = Vec::new();
        for page in 1_usize.. {
            let mut url = self.url(&["approvals"])?;
            {
                let mut query = url.query_pairs_mut();
                query.append_pair("limit", &PAGE.to_string());
                query.append_pair("page_number", &page.to_string());
                if let Some(agent) = &wanted.agent {
                    query.append_pair("agent_name", agent);
                }
                if let Some(task) = &wanted.task {
                    query.append_pair("task_id", task);
                }
            }
            let response = self
                .send_repeatedly(|| self.authorized(self.http.get(url.clone())))
                .await?;
            let listed: Vec<Listed> = self
                .accepted(response)
                .await?
                .json()
                .await
                .context("read the list of approvals")?;
            let is_last = listed.len() < PAGE;
            all.extend(listed);
            if is_last {
                break;
            }
        }
        Ok(all)
    }

    /// Decides; the same decision sent again changes nothing.
    pub async fn decide(&self, approval_id: &str, ruling: &Ruling) -> anyhow::Result<Outcome> {
        let verb = match ruling.verdict {
            Verdict::Approve => "approve",
            Verdict::Reject => "reject",
        };
        let url = self.url(&["approvals", approval_id, verb])?;
        let mut body = json!({});
        if !ruling.reason.is_empty() {
            body["reason"] = json!(ruling.reason);
        }
        if !ruling.answer.is_null() {
            body["answer"] = ruling.answer.clone();
        }
        let response = self
            .send_repeatedly(|| self.authorized(self.http.post(url.clone())).json(&body))
            .await?;
        let status = response.status();
        let body = response.text().await.context("read the answer to a decision")?;
        self.read_outcome(status, &body)
    }

    fn read_outcome(&self, status: StatusCode, body: &str) -> anyhow::Result<Outcome> {
        match status {
            StatusCode::ACCEPTED => Ok(Outcome::OnItsWay),
            status if status.is_success() => Ok(Outcome::Decided),
            StatusCode::UNPROCESSABLE_ENTITY => Ok(Outcome::Unfit(said(body))),
            StatusCode::CONFLICT => {
                let told: Option<Value> = serde_json::from_str(body).ok();
                let decision = told.and_then(|told| Decision::deserialize(told.pointer("/data/decision")?).ok());
                Ok(Outcome::TooLate {
                    decision,
                    text: said(body),
                })
            }
            StatusCode::NOT_FOUND => anyhow::bail!(
                "the gateway at {} answered {status}: {}\nit may be decided long since; if it waits \
                 (steadfast approvals list), you lack access: bind the ClusterRole steadfast-approver to yourself \
                 in the Agent's namespace",
                self.server,
                said(body)
            ),
            StatusCode::FORBIDDEN => anyhow::bail!("{}", said(body)),
            status => anyhow::bail!("{}", explain(&self.server, status, body)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn an_approval_is_read_with_what_the_gateway_adds_to_it() {
        let listed: Listed = serde_json::from_value(json!({
            "id": "t.1.0.0", "kind": "tool_call", "agent": "bank", "turn": 1, "tool": "pay", "tool_call_id": "c",
            "arguments": {"amount": 1}, "requested_at": "2026-11-23T00:00:00Z", "agent_name": "money.bank",
            "task_id": "t", "decision": "pending",
        }))
        .unwrap();
        assert_eq!(
            (listed.agent_name.as_str(), listed.asked.tool.as_str()),
            ("money.bank", "pay")
        );
    }

    #[test]
    fn what_the_gateway_says_of_a_decision_is_told_apart() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let gateway = Gateway::new("http://h".parse().unwrap(), None).unwrap();
        let outcome = |status, body: Value| gateway.read_outcome(status, &body.to_string());
        assert_eq!(
            outcome(StatusCode::OK, json!({"decision": "approved"})).unwrap(),
            Outcome::Decided
        );
        assert_eq!(
            outcome(StatusCode::ACCEPTED, json!({"decision": "pending"})).unwrap(),
            Outcome::OnItsWay
        );
        assert_eq!(
            outcome(StatusCode::UNPROCESSABLE_ENTITY, json!({"message": "size is missing"})).unwrap(),
            Outcome::Unfit("size is missing".to_owned())
        );
        let late = json!({"message": "rejected by bob already", "data": {"decision": "rejected", "by": "bob"}});
        assert_eq!(
            outcome(StatusCode::CONFLICT, late).unwrap(),
            Outcome::TooLate {
                decision: Some(Decision::Rejected),
                text: "rejected by bob already".to_owned()
            }
        );
        let unknown = outcome(StatusCode::NOT_FOUND, json!({"message": "unknown"})).unwrap_err();
        assert!(unknown.to_string().contains("steadfast-approver"), "{unknown}");
    }
}
