//! Approvals as HTTP clients see them, and the rules for deciding them. Pure, except for the
//! lookups in the log and in Temporal's history.

mod form;
mod log_lookup;
mod state;
mod whole;

use std::time::Duration;

use jiff::{Span, SpanRelativeTo, Timestamp};
use serde::Serialize;
use serde_json::Value;
use steadfast_contract::signals::Decide;
use steadfast_events::{Approval, ApprovalKind};
use utoipa::ToSchema;
use uuid::Uuid;

pub(crate) use self::{form::mismatch, log_lookup::look_up, state::ApprovalState, whole::whole};
use crate::{
    agents::{AgentName, Naming},
    task::TaskRecord,
};

/// Namespace of the request ids of decisions (a fixed random UUID).
const REQUEST_IDS: Uuid = Uuid::from_u128(0x71c0_6be2_5d3f_4a8e_9b14_e0a7_2fd6_583c);

/// An approval as clients see it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Approval)]
pub(crate) struct ApprovalView {
    pub(crate) id: String,
    kind: Kind,
    /// The agent that asks, by its name in the namespace.
    agent: String,
    turn: u32,
    tool: String,
    tool_call_id: String,
    /// The arguments that run when the approval is granted; a list cuts long ones.
    arguments: Value,
    /// The arguments are cut. `GET /approvals/{approval_id}` has them whole.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    arguments_truncated: bool,
    /// The user who sent the message of the turn that asks.
    #[serde(skip_serializing_if = "String::is_empty")]
    requester: String,
    /// The question, in plain text.
    #[serde(skip_serializing_if = "String::is_empty")]
    prompt: String,
    /// JSON Schema of the answer; absent where the approval needs no answer.
    #[serde(skip_serializing_if = "Value::is_null")]
    form: Value,
    requested_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    /// The agent that asks, by its name for clients.
    agent_name: String,
    /// The task whose workflow waits.
    task_id: String,
    /// The task that people see, where the waiting task works as a tool of another agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_task_id: Option<String>,
    #[serde(flatten)]
    state: ApprovalState,
}

/// What an approval decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ApprovalKind)]
enum Kind {
    /// Whether a tool call runs.
    ToolCall,
    /// A question of the model, by a tool of kind `human`.
    Question,
    /// A question of an MCP server during a call.
    Elicitation,
}

impl From<ApprovalKind> for Kind {
    fn from(kind: ApprovalKind) -> Self {
        match kind {
            ApprovalKind::ToolCall => Self::ToolCall,
            ApprovalKind::Question => Self::Question,
            ApprovalKind::Elicitation => Self::Elicitation,
        }
    }
}

impl ApprovalView {
    pub(crate) fn new(naming: &Naming, task: &TaskRecord, approval: Approval, state: ApprovalState) -> Self {
        let asking = asking_agent(task, &approval);
        let agent_name = naming.client_name(&asking);
        // No `..`: a new field of an approval does not compile until it is shown.
        let Approval {
            id,
            kind,
            agent: _,
            turn,
            tool,
            tool_call_id,
            arguments,
            arguments_truncated,
            requester,
            prompt,
            form,
            requested_at,
            expires_at,
        } = approval;
        Self {
            id,
            kind: kind.into(),
            agent: asking.name,
            turn,
            tool,
            tool_call_id,
            arguments,
            arguments_truncated,
            requester,
            prompt,
            form,
            requested_at,
            expires_at,
            agent_name,
            task_id: task.id.clone(),
            parent_task_id: task.is_nested().then(|| task.log.task_id.clone()),
            state,
        }
    }
}

/// The agent that asks, whose rights count: after a handoff not the agent that the task started with, and maybe one of
/// another namespace.
pub(crate) fn asking_agent(task: &TaskRecord, approval: &Approval) -> AgentName {
    if approval.agent.is_empty() {
        return task.agent.clone();
    }
    match approval.agent.split_once('/') {
        Some((namespace, name)) => AgentName::new(namespace, name),
        None => AgentName::new(&task.agent.namespace, &approval.agent),
    }
}

/// The agents whose workers act on a decision: those of the task's own agent run its workflow, those of the agent that
/// asks run the call.
pub(crate) fn acting_agents(task: &TaskRecord, approval_id: &str) -> Vec<AgentName> {
    let asking = task.approval(approval_id).map(|pending| asking_agent(task, pending));
    let other = asking.filter(|asking| *asking != task.agent);
    std::iter::once(task.agent.clone()).chain(other).collect()
}

/// The request id of a decision's signal: the same decision has the same id, so that sending
/// it again is harmless.
pub(crate) fn request_id(decide: &Decide) -> String {
    // The time is left out: the first time of a decision counts.
    let Decide {
        approval_id,
        decision,
        decided_at: _,
    } = decide;
    // JSON keeps the parts apart, whatever they contain.
    let name = serde_json::json!([
        approval_id,
        decision.by,
        decision.verdict,
        decision.reason,
        decision.answer
    ]);
    Uuid::new_v5(&REQUEST_IDS, name.to_string().as_bytes()).to_string()
}

/// Reads an age such as `45s`, `10m`, `2h`, `3d` or `1h30m`; a day has 24 hours.
pub(crate) fn parse_age(text: &str) -> Option<Duration> {
    let span: Span = text.parse().ok()?;
    let age = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    age.try_into().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use steadfast_events::{Decision, Verdict};

    use super::*;
    use crate::task::testing::task;

    #[test]
    fn an_age_has_numbers_and_units() {
        assert_eq!(parse_age("45s"), Some(Duration::from_secs(45)));
        assert_eq!(parse_age("10m"), Some(Duration::from_mins(10)));
        assert_eq!(parse_age("2h"), Some(Duration::from_hours(2)));
        assert_eq!(parse_age("3d"), Some(Duration::from_hours(72)));
        assert_eq!(parse_age("1h30m"), Some(Duration::from_mins(90)));
        for malformed in ["", "m", "10", "-1m", "soon", "99999999999999999999d", "1ä", "1mo"] {
            assert_eq!(parse_age(malformed), None, "{malformed}");
        }
    }

    #[test]
    fn the_rights_of_the_namespace_count_whose_agent_asks() {
        let task = TaskRecord {
            agent: AgentName::new("team-a", "triage"),
            ..task()
        };
        let asking = |agent: &str| {
            let approval = json!({
                "id": "t.run.1.0.0", "kind": "tool_call", "agent": agent, "turn": 1, "tool": "refund",
                "tool_call_id": "c", "arguments": {}, "requested_at": "2026-11-23T10:00:00Z",
            });
            asking_agent(&task, &serde_json::from_value(approval).unwrap())
        };
        assert_eq!(asking(""), AgentName::new("team-a", "triage"));
        assert_eq!(asking("billing"), AgentName::new("team-a", "billing"));
        assert_eq!(asking("shop/billing"), AgentName::new("shop", "billing"));
    }

    #[test]
    fn a_decision_needs_the_workers_of_the_task_and_those_of_the_agent_that_asks() {
        let asked = |id: &str, agent: &str| {
            let approval = json!({
                "id": id, "kind": "tool_call", "agent": agent, "turn": 1, "tool": "refund", "tool_call_id": "c",
                "arguments": {}, "requested_at": "2026-11-23T10:00:00Z",
            });
            serde_json::from_value(approval).unwrap()
        };
        let task = TaskRecord {
            agent: AgentName::new("team-a", "triage"),
            approvals: vec![asked("own", "triage"), asked("theirs", "shop/billing")],
            ..task()
        };
        let (triage, billing) = (AgentName::new("team-a", "triage"), AgentName::new("shop", "billing"));
        assert_eq!(acting_agents(&task, "own"), std::slice::from_ref(&triage));
        assert_eq!(acting_agents(&task, "theirs"), [triage.clone(), billing]);
        assert_eq!(acting_agents(&task, "decided before"), [triage]);
    }

    #[test]
    fn only_the_same_decision_has_the_same_request_id() {
        let decide = |by: &str, verdict, reason: &str| {
            request_id(&Decide {
                approval_id: "t.run.1.0.0".to_owned(),
                decision: Decision {
                    reason: reason.to_owned(),
                    by: by.to_owned(),
                    ..Decision::new(verdict)
                },
                decided_at: Some(Timestamp::now()),
            })
        };
        let first = decide("alice", Verdict::Approved, "");
        assert_eq!(decide("alice", Verdict::Approved, ""), first);
        assert_ne!(decide("bob", Verdict::Approved, ""), first);
        assert_ne!(decide("alice", Verdict::Rejected, ""), first);
        assert_ne!(decide("alice", Verdict::Approved, "why"), first);
    }
}
