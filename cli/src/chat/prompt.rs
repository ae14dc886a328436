//! Asks a person to decide approvals, one after the other. Pure: it takes lines
//! and returns their meaning.

use std::collections::VecDeque;

use serde_json::Value;
use steadfast_events::Approval;

use crate::api::{Action, DecisionRequest};

/// The pending approvals of a conversation. The first one may be open for an answer.
#[derive(Debug, Default)]
pub(super) struct ApprovalPrompt {
    pending: VecDeque<Approval>,
    expected: Option<Expected>,
}

/// The input that the open approval expects next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Choice,
    Reason,
    Answer,
}

/// The meaning of a line.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reply {
    /// The same approval expects another line.
    Incomplete,
    /// The line is not a valid answer, for this reason.
    Invalid(String),
    Decided(Box<Approval>, DecisionRequest),
    /// The person decides later, or somebody else does.
    Deferred(Box<Approval>),
}

impl ApprovalPrompt {
    pub(super) fn add(&mut self, approval: &Approval) {
        if !self.pending.iter().any(|known| known.id == approval.id) {
            self.pending.push_back(approval.clone());
        }
    }

    /// Removes an approval that was decided elsewhere.
    pub(super) fn remove(&mut self, approval_id: &str) {
        if self.pending.front().is_some_and(|first| first.id == approval_id) {
            self.expected = None;
        }
        self.pending.retain(|approval| approval.id != approval_id);
    }

    /// Puts an approval back before all others, because its answer was not valid.
    pub(super) fn put_back(&mut self, approval: Approval) {
        self.pending.push_front(approval);
    }

    /// Whether approvals are pending and none is open.
    pub(super) fn can_open(&self) -> bool {
        self.expected.is_none() && !self.pending.is_empty()
    }

    /// Opens the first approval for an answer.
    pub(super) fn open(&mut self) -> Option<&Approval> {
        let first = self.pending.front()?;
        self.expected = Some(Expected::Choice);
        Some(first)
    }

    /// Closes the open approval, because nobody can answer here any more.
    pub(super) fn close(&mut self) {
        self.expected = None;
    }

    /// Removes all approvals, to be decided elsewhere.
    pub(super) fn take_all(&mut self) -> Vec<Approval> {
        self.expected = None;
        std::mem::take(&mut self.pending).into()
    }

    /// The prompt of the open approval.
    pub(super) fn text(&self) -> Option<&'static str> {
        self.expected.map(|expected| match expected {
            Expected::Choice => "approve? [y/n/later] ",
            Expected::Reason => "why not? ",
            Expected::Answer => "answer, as JSON: ",
        })
    }

    /// Reads a line as input for the open approval.
    pub(super) fn read(&mut self, line: &str) -> Reply {
        let line = line.trim();
        let (Some(expected), Some(first)) = (self.expected, self.pending.front()) else {
            return Reply::Incomplete;
        };
        match (expected, line.to_lowercase().as_str()) {
            (Expected::Choice, "y" | "yes") if first.form.is_null() => self.decide(Action::Approve, "", Value::Null),
            (Expected::Choice, "y" | "yes") => {
                self.expected = Some(Expected::Answer);
                Reply::Incomplete
            }
            (Expected::Choice, "n" | "no") => {
                self.expected = Some(Expected::Reason);
                Reply::Incomplete
            }
            (Expected::Choice, "l" | "later") => {
                self.expected = None;
                self.pending
                    .pop_front()
                    .map_or(Reply::Incomplete, |approval| Reply::Deferred(Box::new(approval)))
            }
            (Expected::Choice, _) => {
                Reply::Invalid("type y to approve, n to reject, or later to decide another time".to_owned())
            }
            (Expected::Reason, _) => self.decide(Action::Reject, line, Value::Null),
            (Expected::Answer, _) => match serde_json::from_str(line) {
                Ok(answer) => self.decide(Action::Approve, "", answer),
                Err(error) => Reply::Invalid(format!(
                    "this is not JSON ({error}): a text needs quotes, an object looks like {{\"name\": \"value\"}}"
                )),
            },
        }
    }

    fn decide(&mut self, action: Action, reason: &str, answer: Value) -> Reply {
        self.expected = None;
        let request = DecisionRequest {
            action,
            reason: reason.to_owned(),
            answer,
        };
        self.pending.pop_front().map_or(Reply::Incomplete, |approval| {
            Reply::Decided(Box::new(approval), request)
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn approval(id: &str, form: Value) -> Approval {
        let mut approval: Approval = serde_json::from_value(json!({
            "id": id, "kind": "tool_call", "agent": "bank", "turn": 1, "tool": "pay", "tool_call_id": "c",
            "arguments": {}, "requested_at": "2026-11-23T00:00:00Z",
        }))
        .unwrap();
        approval.form = form;
        approval
    }

    fn decided(reply: Reply) -> (String, DecisionRequest) {
        match reply {
            Reply::Decided(approval, request) => (approval.id, request),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn yes_approves_and_the_next_approval_opens() {
        let mut prompt = ApprovalPrompt::default();
        prompt.add(&approval("a", Value::Null));
        prompt.add(&approval("b", Value::Null));
        prompt.add(&approval("a", Value::Null));
        assert_eq!(prompt.text(), None);
        assert_eq!(prompt.open().unwrap().id, "a");
        assert!(!prompt.can_open());
        let (id, request) = decided(prompt.read(" Y "));
        assert_eq!((id.as_str(), request.action), ("a", Action::Approve));
        assert!(prompt.can_open());
        assert_eq!(prompt.open().unwrap().id, "b");
    }

    #[test]
    fn no_asks_for_the_reason() {
        let mut prompt = ApprovalPrompt::default();
        prompt.add(&approval("a", Value::Null));
        prompt.open();
        assert_eq!(prompt.read("no"), Reply::Incomplete);
        assert_eq!(prompt.text(), Some("why not? "));
        let (_, request) = decided(prompt.read("too much"));
        assert_eq!((request.action, request.reason.as_str()), (Action::Reject, "too much"));
    }

    #[test]
    fn an_approval_with_a_form_asks_for_json() {
        let mut prompt = ApprovalPrompt::default();
        prompt.add(&approval("a", json!({"type": "object"})));
        prompt.open();
        assert_eq!(prompt.read("y"), Reply::Incomplete);
        assert!(matches!(prompt.read("three"), Reply::Invalid(_)));
        let (_, request) = decided(prompt.read("{\"size\": 3}"));
        assert_eq!(request.answer, json!({"size": 3}));
    }

    #[test]
    fn an_invalid_line_decides_nothing() {
        let mut prompt = ApprovalPrompt::default();
        prompt.add(&approval("a", Value::Null));
        prompt.open();
        assert!(matches!(prompt.read(""), Reply::Invalid(_)));
        assert!(matches!(prompt.read("maybe"), Reply::Invalid(_)));
        assert!(matches!(prompt.read("later"), Reply::Deferred(_)));
        assert!(!prompt.can_open());
    }

    #[test]
    fn an_approval_that_was_decided_elsewhere_is_closed() {
        let mut prompt = ApprovalPrompt::default();
        prompt.add(&approval("a", Value::Null));
        prompt.open();
        prompt.remove("a");
        assert_eq!((prompt.text(), prompt.can_open()), (None, false));
    }
}
