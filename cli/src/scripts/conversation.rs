//! Holds the conversation of a script through the gateway.

use std::time::Instant;

use anyhow::{Context as _, bail};
use steadfast_events::{Approval as Requested, Author, Content, Event, EventKind, Fold};
use tokio::{sync::mpsc, time::timeout};

use super::{
    compare::{Observed, differences},
    result::{Outcome, ScriptResult},
    script::{Approval, Decision, Script, Turn},
};
use crate::{
    api::{Action, DecisionRequest, GatewayClient, StreamItem, follow_task},
    chat::sent_messages::{Effect, SentMessages},
};

/// Runs a script to its end, or to the first turn that is not as expected.
pub(super) async fn hold(client: &GatewayClient, script: &Script, agent: &str) -> ScriptResult {
    let begin = Instant::now();
    let problems = match turns(client, script, agent).await {
        Ok(problems) => problems,
        Err(error) => vec![format!("{error:#}")],
    };
    ScriptResult {
        name: script.name.clone(),
        agent: agent.to_owned(),
        seconds: begin.elapsed().as_secs_f64(),
        outcome: if problems.is_empty() {
            Outcome::Passed
        } else {
            Outcome::Failed(problems)
        },
    }
}

async fn turns(client: &GatewayClient, script: &Script, agent: &str) -> anyhow::Result<Vec<String>> {
    let task_id = client.create_task(agent).await?;
    let mut conversation = Conversation {
        items: follow_task(client.clone(), &task_id),
        client,
        agent,
        task_id,
        fold: Fold::default(),
    };
    for (index, turn) in script.turns.iter().enumerate() {
        let limit = script.timeout.as_std();
        let observed = timeout(limit, conversation.turn(turn)).await.with_context(|| {
            format!(
                "turn {} ({:?}) has not ended after {} s",
                index + 1,
                turn.message,
                limit.as_secs()
            )
        })??;
        let problems = differences(turn, &observed);
        if !problems.is_empty() {
            let of_turn = problems
                .into_iter()
                .map(|problem| format!("turn {}: {problem}", index + 1));
            return Ok(of_turn.collect());
        }
    }
    Ok(Vec::new())
}

struct Conversation<'a> {
    client: &'a GatewayClient,
    agent: &'a str,
    task_id: String,
    items: mpsc::Receiver<StreamItem>,
    fold: Fold,
}

impl Conversation<'_> {
    /// Sends a message, decides approvals, and waits for the end of the turn.
    async fn turn(&mut self, turn: &Turn) -> anyhow::Result<Observed> {
        let key = uuid::Uuid::new_v4().to_string();
        let mut sent = SentMessages::default();
        sent.add(&key);
        self.client
            .send_text(self.agent, &self.task_id, &key, &turn.message)
            .await?;
        let mut foreseen = turn.approvals.clone();
        let mut surprises = Vec::new();
        loop {
            let event = self.next_event(&mut sent).await?;
            self.fold.apply(&event);
            if let EventKind::ApprovalRequested { approval } = &event.kind {
                self.decide(approval, &mut foreseen, &mut surprises).await?;
            }
            match sent.apply(&event) {
                Effect::OwnTurnEnded => {
                    let mut observed = self.observed(&event)?;
                    observed.surprises = surprises;
                    observed.not_requested = foreseen.into_iter().map(|approval| approval.tool).collect();
                    return Ok(observed);
                }
                Effect::MessageRejected(reason) => bail!("the message was rejected: {reason}"),
                Effect::TaskEnded(status) => bail!("the task is {status}"),
                Effect::None | Effect::OtherTurnEnded => {}
            }
        }
    }

    async fn next_event(&mut self, sent: &mut SentMessages) -> anyhow::Result<Box<Event>> {
        loop {
            match self.items.recv().await.context("the stream of the task has ended")? {
                StreamItem::Event(event) => return Ok(event),
                StreamItem::Reset(messages) => {
                    self.fold = Fold::default();
                    for message in &messages {
                        sent.apply_message(message);
                    }
                }
                StreamItem::Disconnected(_) | StreamItem::Reconnected => {}
                StreamItem::Failed(error) => return Err(error),
            }
        }
    }

    /// An approval that the script does not foresee is rejected, so that the turn ends.
    async fn decide(
        &self,
        requested: &Requested,
        foreseen: &mut Vec<Approval>,
        surprises: &mut Vec<String>,
    ) -> anyhow::Result<()> {
        let found = foreseen.iter().position(|approval| approval.tool == requested.tool);
        let request = if let Some(index) = found {
            let approval = foreseen.remove(index);
            DecisionRequest {
                action: match approval.decision {
                    Decision::Approve => Action::Approve,
                    Decision::Reject => Action::Reject,
                },
                reason: approval.reason,
                answer: approval.answer,
            }
        } else {
            surprises.push(requested.tool.clone());
            DecisionRequest {
                action: Action::Reject,
                reason: "the test does not foresee this approval".to_owned(),
                answer: serde_json::Value::Null,
            }
        };
        self.client.decide(&requested.id, &request).await.map(|_| ())
    }

    fn observed(&self, end: &Event) -> anyhow::Result<Observed> {
        let EventKind::TurnEnded { status, error, .. } = &end.kind else {
            bail!("a turn ended with another event");
        };
        let mut observed = Observed {
            calls: Vec::new(),
            text: String::new(),
            status: *status,
            error: error
                .as_ref()
                .map(|error| format!("{} ({})", error.message, error.category)),
            surprises: Vec::new(),
            not_requested: Vec::new(),
        };
        let of_turn = self.fold.messages().filter(|message| message.turn == end.turn);
        for message in of_turn.filter(|message| message.author == Author::Agent) {
            match &message.content {
                Content::Text { text, .. } => {
                    if !observed.text.is_empty() {
                        observed.text.push('\n');
                    }
                    observed.text.push_str(text);
                }
                Content::ToolRequest { name, arguments, .. } => {
                    observed.calls.push((name.clone(), arguments.clone()));
                }
                _ => {}
            }
        }
        Ok(observed)
    }
}
