//! What people are asked, and what they said: the state of a task's approvals. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use steadfast_crds::agent_tool::OnTimeout;
use steadfast_events::{Approval, Decision};

use crate::{
    signals::{ApprovalVerdict, Decide},
    visibility::MEMO_ARGUMENTS_BYTES,
};

/// Id of the approval for a call.
pub fn approval_id(task_id: &str, turn: u32, step: u32, index: u32) -> String {
    format!("{task_id}.{turn}.{step}.{index}")
}

/// The task that an approval belongs to, if the id has the form of one.
pub fn task_of_approval(approval_id: &str) -> Option<&str> {
    let mut parts = approval_id.rsplitn(4, '.');
    let numbers = [parts.next()?, parts.next()?, parts.next()?];
    let task_id = parts.next()?;
    (!task_id.is_empty() && numbers.iter().all(|number| number.parse::<u32>().is_ok())).then_some(task_id)
}

/// All approvals that wait or were decided and not yet acted on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Approvals(BTreeMap<String, Waiting>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    pub approval: Approval,
    pub on_timeout: OnTimeout,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<Decided>,
}

/// What became of an approval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decided {
    pub decision: Decision,
    #[serde(default)]
    pub by: String,
    #[serde(default)]
    pub reason: String,
    #[serde(default)]
    pub answer: Value,
}

impl Decided {
    /// Nobody said anything.
    pub fn by_nobody(decision: Decision) -> Self {
        Self {
            decision,
            by: String::new(),
            reason: String::new(),
            answer: Value::Null,
        }
    }
}

impl Approvals {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn open(&mut self, approval: Approval, on_timeout: OnTimeout) {
        let waiting = Waiting {
            approval,
            on_timeout,
            decided: None,
        };
        self.0.insert(waiting.approval.id.clone(), waiting);
    }

    pub fn get(&self, id: &str) -> Option<&Waiting> {
        self.0.get(id)
    }

    /// Takes in what a person says; `None` when the approval does not wait (any more).
    pub fn decide(&mut self, decide: Decide) -> Option<Decided> {
        let decided = Decided {
            decision: match decide.verdict {
                ApprovalVerdict::Approve => Decision::Approved,
                ApprovalVerdict::Reject => Decision::Rejected,
            },
            by: decide.by,
            reason: decide.reason,
            answer: decide.answer,
        };
        self.settle(&decide.approval_id, decided)
    }

    /// The first decision counts.
    pub fn settle(&mut self, id: &str, decided: Decided) -> Option<Decided> {
        let waiting = self.0.get_mut(id).filter(|waiting| waiting.decided.is_none())?;
        waiting.decided = Some(decided.clone());
        Some(decided)
    }

    /// What was decided, once; afterwards the approval is forgotten.
    pub fn take_decided(&mut self, id: &str) -> Option<Decided> {
        self.0.get(id)?.decided.as_ref()?;
        self.0.remove(id)?.decided
    }

    pub fn is_decided(&self, id: &str) -> bool {
        self.0.get(id).is_none_or(|waiting| waiting.decided.is_some())
    }

    /// The approvals that wait, oldest first.
    pub fn waiting(&self) -> Vec<Approval> {
        let mut waiting: Vec<Approval> = self
            .0
            .values()
            .filter(|waiting| waiting.decided.is_none())
            .map(|waiting| waiting.approval.clone())
            .collect();
        waiting.sort_by_key(|approval| approval.requested_at);
        waiting
    }

    /// How many wait.
    pub fn count_waiting(&self) -> i64 {
        let waiting = self.0.values().filter(|waiting| waiting.decided.is_none()).count();
        i64::try_from(waiting).unwrap_or(i64::MAX)
    }

    /// The same, each small enough for a memo.
    pub fn memo(&self) -> Vec<Approval> {
        let mut waiting = self.waiting();
        for approval in &mut waiting {
            let text = approval.arguments.to_string();
            if text.len() > MEMO_ARGUMENTS_BYTES {
                let cut = &text[..text.floor_char_boundary(MEMO_ARGUMENTS_BYTES)];
                approval.arguments = Value::String(format!("{cut}…"));
            }
        }
        waiting
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use steadfast_events::ApprovalKind;

    use super::*;

    fn approvals() -> Approvals {
        let mut approvals = Approvals::default();
        let approval = Approval {
            id: "t.1.0.0".into(),
            kind: ApprovalKind::ToolCall,
            agent: "a".into(),
            turn: 1,
            tool: "pay".into(),
            tool_call_id: "c".into(),
            arguments: Value::String("é".repeat(2_000)),
            prompt: String::new(),
            form: Value::Null,
            requested_at: jiff::Timestamp::UNIX_EPOCH,
            expires_at: None,
        };
        approvals.open(approval, OnTimeout::Reject);
        approvals
    }

    fn decide(verdict: ApprovalVerdict) -> Decide {
        Decide {
            approval_id: "t.1.0.0".into(),
            verdict,
            reason: String::new(),
            by: "ada".into(),
            answer: Value::Null,
        }
    }

    #[test]
    fn the_first_decision_counts_and_is_taken_once() {
        let mut approvals = approvals();
        assert!(approvals.decide(decide(ApprovalVerdict::Reject)).is_some());
        assert_eq!(approvals.decide(decide(ApprovalVerdict::Approve)), None);
        let taken = approvals.take_decided("t.1.0.0").unwrap();
        assert_eq!((taken.decision, taken.by.as_str()), (Decision::Rejected, "ada"));
        assert_eq!(approvals.take_decided("t.1.0.0"), None);
        assert_eq!(approvals.decide(decide(ApprovalVerdict::Approve)), None);
    }

    #[test]
    fn a_memo_holds_no_more_of_the_arguments_than_fits() {
        let memo = approvals().memo();
        assert!(memo[0].arguments.as_str().unwrap().len() <= MEMO_ARGUMENTS_BYTES + "…".len());
    }

    #[test]
    fn an_approval_names_its_task() {
        assert_eq!(task_of_approval(&approval_id("a.b", 1, 0, 2)), Some("a.b"));
        assert_eq!(task_of_approval("1.2.3"), None);
        assert_eq!(task_of_approval("task.1.x.3"), None);
    }
}
