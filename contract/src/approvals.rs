//! The approvals of a task: which wait, and what was decided about them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use steadfast_crds::agent_tool::OnTimeout;
use steadfast_events::{Approval, Decision, Verdict};

use crate::{signals::Decide, visibility::MEMO_ARGUMENTS_BYTES};

/// Longest prompt of a question, and longest form, as JSON.
pub const MAX_QUESTION_BYTES: usize = 64 * 1024;
/// Longest arguments that a person is asked to approve, as JSON: nobody reads more.
pub const MAX_ARGUMENTS_BYTES: usize = 256 * 1024;
/// What all approvals that wait take in the memo of a task together, as JSON.
const MAX_MEMO_BYTES: usize = 512 * 1024;

/// Why a question is too large to be asked; `None` if it is not.
pub fn too_large(prompt: &str, form: &Value, arguments: &Value) -> Option<String> {
    let json_bytes = |value: &Value| {
        if value.is_null() { 0 } else { value.to_string().len() }
    };
    let parts = [
        ("prompt", prompt.len(), MAX_QUESTION_BYTES),
        ("form", json_bytes(form), MAX_QUESTION_BYTES),
        ("arguments", json_bytes(arguments), MAX_ARGUMENTS_BYTES),
    ];
    let (part, size_bytes, limit) = parts.into_iter().find(|(_, size_bytes, limit)| size_bytes > limit)?;
    Some(format!(
        "the {part} of the question to a person takes {size_bytes} bytes, and {limit} are allowed"
    ))
}

/// The call that an approval is for, and the round of questions within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApprovalPlace {
    /// The turn; turns count from 1.
    pub turn: u32,
    /// The step within the turn; steps count from 0.
    pub step: u32,
    /// Index of the call among the model's output items.
    pub index: u32,
    /// 0 for the first question; a tool of an MCP server may ask again in the middle of its call.
    pub round: u32,
}

impl ApprovalPlace {
    /// Id of the approval: `<task id>.<run>.<turn>.<step>.<index>`, and `~<round>` from the second round on. `<run>` is
    /// the end of the id of the task's first run: whoever still has an approval of an earlier task of this name decides
    /// nothing in this one.
    pub fn approval_id(self, task_id: &str, first_run_id: &str) -> String {
        let Self {
            turn,
            step,
            index,
            round,
        } = self;
        // The last group of a UUID is random in every version of UUID that Temporal makes.
        let run = first_run_id.rsplit('-').next().unwrap_or_default();
        let id = format!("{task_id}.{run}.{turn}.{step}.{index}");
        if round == 0 { id } else { format!("{id}~{round}") }
    }
}

/// The task that an approval belongs to; `None` if the id does not have the form of an approval's.
pub fn task_of_approval(approval_id: &str) -> Option<&str> {
    parse_approval_id(approval_id).map(|(task_id, _)| task_id)
}

/// The call that an approval is for; `None` if the id does not have the form of an approval's.
pub fn place_of_approval(approval_id: &str) -> Option<ApprovalPlace> {
    parse_approval_id(approval_id).map(|(_, place)| place)
}

fn parse_approval_id(approval_id: &str) -> Option<(&str, ApprovalPlace)> {
    let (place, round) = approval_id.split_once('~').unwrap_or((approval_id, "0"));
    let mut parts = place.rsplitn(5, '.');
    let mut number = || parts.next()?.parse().ok();
    let (index, step, turn) = (number()?, number()?, number()?);
    parts.next().filter(|run| !run.is_empty())?;
    let task_id = parts.next().filter(|task_id| !task_id.is_empty())?;
    let place = ApprovalPlace {
        turn,
        step,
        index,
        round: round.parse().ok()?,
    };
    Some((task_id, place))
}

/// All approvals that wait or were decided and not yet acted on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Approvals(BTreeMap<String, Waiting>);

/// An approval, and what was decided about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// The approval.
    pub approval: Approval,
    /// What happens when nobody decides in time.
    pub on_timeout: OnTimeout,
    /// What was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
}

impl Approvals {
    /// Whether no approval is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds an approval that waits.
    pub fn open(&mut self, approval: Approval, on_timeout: OnTimeout) {
        let waiting = Waiting {
            approval,
            on_timeout,
            decision: None,
        };
        self.0.insert(waiting.approval.id.clone(), waiting);
    }

    /// The approval with this id.
    pub fn get(&self, id: &str) -> Option<&Waiting> {
        self.0.get(id)
    }

    /// Takes in the decision of a person; `None` when the approval does not wait (any more), or the
    /// verdict is not one that a person can give. A decision that comes too late expires the approval.
    ///
    /// Signals and a timer that fired reach the workflow together when no worker has run meanwhile, and
    /// signals come first: the order does not tell whether a decision was in time, its time does.
    pub fn decide(&mut self, decide: Decide, now: jiff::Timestamp) -> Option<Decision> {
        let Decide {
            approval_id,
            decision,
            decided_at,
        } = decide;
        match decision.verdict {
            Verdict::Approved | Verdict::Rejected => {}
            Verdict::Expired | Verdict::Withdrawn => return None,
        }
        // A signal was sent before the workflow sees it, whatever the clock of its sender says.
        let decided_at = decided_at.map_or(now, |decided_at| decided_at.min(now));
        if self.get(&approval_id)?.approval.is_expired_at(decided_at) {
            return self.record(&approval_id, Decision::new(Verdict::Expired), now);
        }
        self.record(&approval_id, decision, now)
    }

    /// The first decision counts.
    pub fn record(&mut self, id: &str, decision: Decision, now: jiff::Timestamp) -> Option<Decision> {
        let waiting = self.0.get_mut(id).filter(|waiting| waiting.decision.is_none())?;
        let decision = Decision {
            at: Some(now),
            ..decision
        };
        waiting.decision = Some(decision.clone());
        Some(decision)
    }

    /// Takes the decision out of the state, together with its approval.
    pub fn take_decision(&mut self, id: &str) -> Option<Decision> {
        self.0.get(id)?.decision.as_ref()?;
        self.0.remove(id)?.decision
    }

    /// Whether the approval was decided, or is unknown.
    pub fn is_decided(&self, id: &str) -> bool {
        self.0.get(id).is_none_or(|waiting| waiting.decision.is_some())
    }

    /// The approvals that wait, oldest first.
    pub fn waiting(&self) -> Vec<Approval> {
        let mut waiting: Vec<Approval> = self
            .0
            .values()
            .filter(|waiting| waiting.decision.is_none())
            .map(|waiting| waiting.approval.clone())
            .collect();
        waiting.sort_by_key(|approval| approval.requested_at);
        waiting
    }

    /// How many wait.
    pub fn count_waiting(&self) -> i64 {
        let waiting = self.0.values().filter(|waiting| waiting.decision.is_none()).count();
        i64::try_from(waiting).unwrap_or(i64::MAX)
    }

    /// The approvals that wait, each small enough for a memo.
    pub fn memo(&self) -> Vec<Approval> {
        self.waiting().into_iter().map(for_memo).collect()
    }

    /// Whether the memo has room for one more.
    pub fn has_room_for(&self, approval: &Approval) -> bool {
        let size_bytes = |approval: &Approval| serde_json::to_vec(approval).map_or(0, |json| json.len());
        let waiting: usize = self.memo().iter().map(size_bytes).sum();
        waiting + size_bytes(&for_memo(approval.clone())) <= MAX_MEMO_BYTES
    }
}

fn for_memo(mut approval: Approval) -> Approval {
    let text = approval.arguments.to_string();
    if text.len() > MEMO_ARGUMENTS_BYTES {
        let cut = &text[..text.floor_char_boundary(MEMO_ARGUMENTS_BYTES)];
        approval.arguments = Value::String(format!("{cut}…"));
        approval.arguments_truncated = true;
    }
    approval
}

#[cfg(test)]
mod tests {
    use steadfast_events::ApprovalKind;

    use super::*;

    fn approvals() -> Approvals {
        approvals_until(None)
    }

    fn approvals_until(expires_at: Option<jiff::Timestamp>) -> Approvals {
        let mut approvals = Approvals::default();
        let approval = Approval {
            id: "t.run.1.0.0".into(),
            kind: ApprovalKind::ToolCall,
            agent: "a".into(),
            turn: 1,
            tool: "pay".into(),
            tool_call_id: "c".into(),
            arguments: Value::String("é".repeat(2_000)),
            arguments_truncated: false,
            requester: String::new(),
            prompt: String::new(),
            form: Value::Null,
            requested_at: jiff::Timestamp::UNIX_EPOCH,
            expires_at,
        };
        approvals.open(approval, OnTimeout::Reject);
        approvals
    }

    const NOW: jiff::Timestamp = jiff::Timestamp::UNIX_EPOCH;

    fn decide(verdict: Verdict) -> Decide {
        Decide {
            approval_id: "t.run.1.0.0".into(),
            decision: Decision {
                by: "ada".into(),
                ..Decision::new(verdict)
            },
            decided_at: None,
        }
    }

    fn seconds(seconds: i64) -> jiff::Timestamp {
        jiff::Timestamp::from_second(seconds).unwrap()
    }

    /// The verdict that counts, for an approval that expires at second 60.
    fn verdict_of(verdict: Verdict, decided_at: Option<i64>, taken_in_at: i64) -> Verdict {
        let mut approvals = approvals_until(Some(seconds(60)));
        let decide = Decide {
            decided_at: decided_at.map(seconds),
            ..decide(verdict)
        };
        approvals.decide(decide, seconds(taken_in_at)).unwrap().verdict
    }

    #[test]
    fn a_decision_at_or_after_the_expiry_is_too_late_whenever_it_is_taken_in() {
        use Verdict::{Approved, Expired, Rejected};
        for verdict in [Approved, Rejected] {
            // No worker ran: it is taken in long after it was made.
            assert_eq!(verdict_of(verdict, Some(59), 3_600), verdict);
            assert_eq!(verdict_of(verdict, Some(60), 3_600), Expired);
            assert_eq!(verdict_of(verdict, Some(61), 3_600), Expired);
            // Without a time of its own it is as late as the workflow.
            assert_eq!(verdict_of(verdict, None, 59), verdict);
            assert_eq!(verdict_of(verdict, None, 60), Expired);
            // The sender's clock is ahead: the workflow knows better.
            assert_eq!(verdict_of(verdict, Some(61), 59), verdict);
        }
    }

    #[test]
    fn after_a_late_decision_none_counts_and_nobody_decided() {
        let mut approvals = approvals_until(Some(seconds(60)));
        let late = approvals.decide(decide(Verdict::Approved), seconds(61)).unwrap();
        assert_eq!((late.verdict, late.by.as_str()), (Verdict::Expired, ""));
        assert_eq!(approvals.decide(decide(Verdict::Approved), seconds(61)), None);
        assert_eq!(
            approvals.take_decision("t.run.1.0.0").unwrap().verdict,
            Verdict::Expired
        );
    }

    #[test]
    fn the_first_decision_counts_and_is_taken_once() {
        let mut approvals = approvals();
        assert!(approvals.decide(decide(Verdict::Rejected), NOW).is_some());
        assert_eq!(approvals.decide(decide(Verdict::Approved), NOW), None);
        let taken = approvals.take_decision("t.run.1.0.0").unwrap();
        assert_eq!(
            (taken.verdict, taken.by.as_str(), taken.at),
            (Verdict::Rejected, "ada", Some(NOW))
        );
        assert_eq!(approvals.take_decision("t.run.1.0.0"), None);
        assert_eq!(approvals.decide(decide(Verdict::Approved), NOW), None);
    }

    #[test]
    fn a_memo_holds_no_more_of_the_arguments_than_fits() {
        let memo = approvals().memo();
        assert!(memo[0].arguments.as_str().unwrap().len() <= MEMO_ARGUMENTS_BYTES + "…".len());
        assert!(memo[0].arguments_truncated);
        assert!(!approvals().waiting()[0].arguments_truncated);
    }

    #[test]
    fn the_memo_is_full_before_temporal_refuses_it() {
        let approval = |id: usize| Approval {
            id: id.to_string(),
            form: Value::String("x".repeat(MAX_QUESTION_BYTES - 2)),
            ..approvals().waiting().remove(0)
        };
        let mut approvals = Approvals::default();
        let taken = (0..100).take_while(|id| {
            let room = approvals.has_room_for(&approval(*id));
            approvals.open(approval(*id), OnTimeout::Reject);
            room
        });
        assert_eq!(taken.count(), 7);
    }

    #[test]
    fn what_is_too_large_in_a_question_is_named() {
        let text = |bytes: usize| "x".repeat(bytes);
        let form = |bytes: usize| Value::String(text(bytes - 2));
        assert_eq!(
            too_large(&text(MAX_QUESTION_BYTES), &form(MAX_QUESTION_BYTES), &Value::Null),
            None
        );
        let reason = too_large("", &form(MAX_QUESTION_BYTES + 1), &Value::Null).unwrap();
        assert!(reason.contains("the form"), "{reason}");
        let reason = too_large("", &Value::Null, &form(MAX_ARGUMENTS_BYTES + 1)).unwrap();
        assert!(reason.contains("the arguments"), "{reason}");
    }

    #[test]
    fn an_approval_names_its_task_and_differs_between_two_tasks_of_one_name() {
        let place = |round| ApprovalPlace {
            turn: 1,
            step: 0,
            index: 2,
            round,
        };
        let run = "018f3a5c-7c1e-7b7a-9c50-0123456789ab";
        let later = "018f3a5c-7c1e-7b7a-9c50-ba9876543210";
        assert_ne!(place(0).approval_id("a", run), place(0).approval_id("a", later));
        assert_eq!(place(0).approval_id("a.b", run), "a.b.0123456789ab.1.0.2");
        assert_eq!(task_of_approval("a.b.0123456789ab.1.0.2"), Some("a.b"));
        assert_eq!(task_of_approval(&place(3).approval_id("a.b", run)), Some("a.b"));
        assert_eq!(place_of_approval("a.b.0123456789ab.1.0.2~3"), Some(place(3)));
        for id in [
            "1.2.3",
            "task.1.2.3",
            "task..1.2.3",
            "task.r.1.x.3",
            "task.r.1.2.3~",
            "task.r.1.2.3~x",
        ] {
            assert_eq!(task_of_approval(id), None, "{id}");
        }
    }
}
