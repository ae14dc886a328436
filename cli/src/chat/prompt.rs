//! The approvals that come up in a conversation, asked one after the other. Pure:
//! takes lines in and says what they mean.

use std::collections::VecDeque;

use serde_json::Value;
use steadfast_events::Approval;

use crate::gateway::{Ruling, Verdict};

/// What waits for an answer; the first one may be open.
#[derive(Debug, Default)]
pub struct Questions {
    waiting: VecDeque<Approval>,
    open: Option<Stage>,
}

/// What the open question wants to hear next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Verdict,
    Reason,
    Answer,
}

/// What a line meant.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// The same question wants to hear more.
    More,
    /// It cannot be an answer; why not.
    Unclear(String),
    Decides(Box<Approval>, Ruling),
    /// The person leaves it to later, or to somebody else.
    Later(Box<Approval>),
}

impl Questions {
    pub fn add(&mut self, approval: &Approval) {
        if !self.waiting.iter().any(|known| known.id == approval.id) {
            self.waiting.push_back(approval.clone());
        }
    }

    /// It needs no answer any more.
    pub fn remove(&mut self, approval_id: &str) {
        if self.waiting.front().is_some_and(|first| first.id == approval_id) {
            self.open = None;
        }
        self.waiting.retain(|approval| approval.id != approval_id);
    }

    /// An answer did not do: it is asked again, before the others.
    pub fn again(&mut self, approval: Approval) {
        self.waiting.push_front(approval);
    }

    /// Whether something waits, and nothing is open.
    pub fn wants_to_ask(&self) -> bool {
        self.open.is_none() && !self.waiting.is_empty()
    }

    /// Opens the next question.
    pub fn ask(&mut self) -> Option<&Approval> {
        let first = self.waiting.front()?;
        self.open = Some(Stage::Verdict);
        Some(first)
    }

    /// Nobody can answer here any more.
    pub fn close(&mut self) {
        self.open = None;
    }

    /// Everything that waits, to be decided elsewhere.
    pub fn take_all(&mut self) -> Vec<Approval> {
        self.open = None;
        std::mem::take(&mut self.waiting).into()
    }

    /// What the open question asks for.
    pub fn prompt(&self) -> Option<&'static str> {
        self.open.map(|stage| match stage {
            Stage::Verdict => "approve? [y/n/later] ",
            Stage::Reason => "why not? ",
            Stage::Answer => "answer, as JSON: ",
        })
    }

    /// Takes in a line for the open question.
    pub fn hear(&mut self, line: &str) -> Heard {
        let line = line.trim();
        let (Some(stage), Some(first)) = (self.open, self.waiting.front()) else {
            return Heard::More;
        };
        match (stage, line.to_lowercase().as_str()) {
            (Stage::Verdict, "y" | "yes") if first.form.is_null() => self.decide(Verdict::Approve, "", Value::Null),
            (Stage::Verdict, "y" | "yes") => {
                self.open = Some(Stage::Answer);
                Heard::More
            }
            (Stage::Verdict, "n" | "no") => {
                self.open = Some(Stage::Reason);
                Heard::More
            }
            (Stage::Verdict, "l" | "later") => {
                self.open = None;
                self.waiting
                    .pop_front()
                    .map_or(Heard::More, |approval| Heard::Later(Box::new(approval)))
            }
            (Stage::Verdict, _) => {
                Heard::Unclear("say y to let it run, n to refuse it, or later to leave it open".to_owned())
            }
            (Stage::Reason, _) => self.decide(Verdict::Reject, line, Value::Null),
            (Stage::Answer, _) => match serde_json::from_str(line) {
                Ok(answer) => self.decide(Verdict::Approve, "", answer),
                Err(error) => Heard::Unclear(format!(
                    "that is no JSON ({error}): a text needs quotes, an object looks like {{\"name\": \"value\"}}"
                )),
            },
        }
    }

    fn decide(&mut self, verdict: Verdict, reason: &str, answer: Value) -> Heard {
        self.open = None;
        let ruling = Ruling {
            verdict,
            reason: reason.to_owned(),
            answer,
        };
        self.waiting
            .pop_front()
            .map_or(Heard::More, |approval| Heard::Decides(Box::new(approval), ruling))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
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

    fn decided(heard: Heard) -> (String, Ruling) {
        match heard {
            Heard::Decides(approval, ruling) => (approval.id, ruling),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_yes_approves_and_the_next_question_follows() {
        let mut questions = Questions::default();
        questions.add(&approval("a", Value::Null));
        questions.add(&approval("b", Value::Null));
        questions.add(&approval("a", Value::Null));
        assert_eq!(questions.prompt(), None);
        assert_eq!(questions.ask().unwrap().id, "a");
        assert!(!questions.wants_to_ask());
        let (id, ruling) = decided(questions.hear(" Y "));
        assert_eq!((id.as_str(), ruling.verdict), ("a", Verdict::Approve));
        assert!(questions.wants_to_ask());
        assert_eq!(questions.ask().unwrap().id, "b");
    }

    #[test]
    fn a_no_asks_why() {
        let mut questions = Questions::default();
        questions.add(&approval("a", Value::Null));
        questions.ask();
        assert_eq!(questions.hear("no"), Heard::More);
        assert_eq!(questions.prompt(), Some("why not? "));
        let (_, ruling) = decided(questions.hear("too much"));
        assert_eq!((ruling.verdict, ruling.reason.as_str()), (Verdict::Reject, "too much"));
    }

    #[test]
    fn a_form_asks_for_json() {
        let mut questions = Questions::default();
        questions.add(&approval("a", json!({"type": "object"})));
        questions.ask();
        assert_eq!(questions.hear("y"), Heard::More);
        assert!(matches!(questions.hear("three"), Heard::Unclear(_)));
        let (_, ruling) = decided(questions.hear("{\"size\": 3}"));
        assert_eq!(ruling.answer, json!({"size": 3}));
    }

    #[test]
    fn what_is_no_answer_decides_nothing() {
        let mut questions = Questions::default();
        questions.add(&approval("a", Value::Null));
        questions.ask();
        assert!(matches!(questions.hear(""), Heard::Unclear(_)));
        assert!(matches!(questions.hear("maybe"), Heard::Unclear(_)));
        assert!(matches!(questions.hear("later"), Heard::Later(_)));
        assert!(!questions.wants_to_ask());
    }

    #[test]
    fn what_somebody_else_decided_is_asked_no_longer() {
        let mut questions = Questions::default();
        questions.add(&approval("a", Value::Null));
        questions.ask();
        questions.remove("a");
        assert_eq!((questions.prompt(), questions.wants_to_ask()), (None, false));
    }
}
