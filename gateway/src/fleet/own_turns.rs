//! The turns of one task that answer messages which came through this gateway, read from the events of its log. No other
//! replica counts them, whoever watches. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use steadfast_events::{Event, EventKind};

use super::{activity::Activity, series::Sample};

/// Messages of one task that may wait for their turns; the queue of a task is shorter by default.
const MAX_MESSAGES: usize = 256;
/// Approvals of one turn that are told apart.
const MAX_APPROVALS: usize = 64;
/// Model calls of one turn that run at a time: those of agents that are asked in parallel.
const MAX_CALLS: usize = 64;

/// What is waited for.
#[derive(Debug, Default)]
pub(super) struct OwnTurns {
    /// Messages that were sent and are not accepted yet.
    messages: BTreeSet<String>,
    /// Turns of accepted messages, and when each began.
    turns: BTreeMap<u32, Option<Timestamp>>,
    /// When the running model calls began, by the path of their agent; until their first text.
    calls: BTreeMap<String, Timestamp>,
    /// The approvals that wait.
    approvals: BTreeSet<String>,
}

/// A sample, and the agent that it is of, by its name in the namespace.
pub(super) type Observed = (String, Sample);

impl OwnTurns {
    /// A message is about to be sent. `false` where too many are waited for.
    pub(super) fn expect(&mut self, message_id: &str) -> bool {
        if self.messages.len() + self.turns.len() >= MAX_MESSAGES {
            return false;
        }
        self.messages.insert(message_id.to_owned());
        true
    }

    /// A message was not sent.
    pub(super) fn forget(&mut self, message_id: &str) {
        self.messages.remove(message_id);
    }

    /// Nothing is waited for.
    pub(super) fn are_over(&self) -> bool {
        self.messages.is_empty() && self.turns.is_empty()
    }

    /// No message is waited for: what is left are turns.
    pub(super) fn are_accepted(&self) -> bool {
        self.messages.is_empty()
    }

    /// How many turns are waited for, counting a message as one.
    pub(super) fn count(&self) -> usize {
        self.messages.len() + self.turns.len()
    }

    /// What the task does; `None` where none of its turns is known to run.
    pub(super) fn activity(&self) -> Option<Activity> {
        if !self.turns.values().any(Option::is_some) {
            None
        } else if self.approvals.is_empty() {
            Some(Activity::Runs)
        } else {
            Some(Activity::WaitsForPeople)
        }
    }

    /// The log has lost entries: what runs has no known beginning.
    pub(super) fn forget_beginnings(&mut self) {
        self.calls.clear();
        self.approvals.clear();
        for began in self.turns.values_mut() {
            *began = None;
        }
    }

    /// What an event adds to the figures.
    pub(super) fn observe(&mut self, event: &Event) -> Option<Observed> {
        match &event.kind {
            EventKind::MessageAccepted { message_id, .. } => {
                if self.messages.remove(message_id) {
                    self.turns.entry(event.turn).or_default();
                }
                None
            }
            EventKind::MessageRejected { message_id, .. } => {
                self.messages.remove(message_id);
                self.turns.remove(&event.turn);
                None
            }
            _ => {
                let turn = turn_of(event);
                if self.turns.contains_key(&turn) {
                    let sample = self.in_own_turn(turn, event)?;
                    Some((event.agent.clone(), sample))
                } else {
                    None
                }
            }
        }
    }

    fn in_own_turn(&mut self, turn: u32, event: &Event) -> Option<Sample> {
        let is_nested = !event.path.is_empty();
        match &event.kind {
            EventKind::TurnStarted {} if !is_nested => {
                self.turns.insert(turn, Some(event.time));
                None
            }
            EventKind::TurnEnded { status, error, .. } if !is_nested => {
                let began = self.turns.remove(&turn).flatten();
                self.calls.clear();
                self.approvals.clear();
                Some(Sample::TurnEnded {
                    status: *status,
                    category: error.as_ref().map(|error| error.category.clone()),
                    seconds: began.map(|began| seconds_between(began, event.time)),
                })
            }
            EventKind::ModelStarted { .. } => {
                if self.calls.len() < MAX_CALLS {
                    self.calls.insert(event.path.clone(), event.time);
                }
                None
            }
            EventKind::MessageStarted { .. }
            | EventKind::TextDelta { .. }
            | EventKind::ReasoningDelta { .. }
            | EventKind::ReasoningSummaryDelta { .. }
            | EventKind::ToolArgumentsDelta { .. } => {
                let began = self.calls.remove(&event.path)?;
                Some(Sample::FirstToken {
                    seconds: seconds_between(began, event.time),
                })
            }
            EventKind::ApprovalRequested { approval } => {
                if self.approvals.len() < MAX_APPROVALS {
                    self.approvals.insert(approval.id.clone());
                }
                None
            }
            EventKind::ApprovalDecided { approval_id, .. } => {
                self.approvals.remove(approval_id);
                None
            }
            EventKind::ModelEnded { usage, .. } => {
                self.calls.remove(&event.path);
                Some(Sample::ModelCallEnded(*usage))
            }
            _ => None,
        }
    }
}

/// The turn of the conversation: an agent that runs as a tool counts its own, and its path begins with that of the call.
fn turn_of(event: &Event) -> u32 {
    if event.path.is_empty() {
        return event.turn;
    }
    let digits = event.path.split('.').next().unwrap_or_default();
    digits.parse().unwrap_or_default()
}

fn seconds_between(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use steadfast_events::{Decision, TurnError, TurnStatus, Usage, Verdict, testing};

    use super::*;

    fn at(second: i64, kind: EventKind) -> Event {
        Event {
            time: Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second),
            ..testing::event(kind)
        }
    }

    fn delta(message: &str) -> EventKind {
        EventKind::TextDelta {
            message_id: message.to_owned(),
            delta: "Hi".to_owned(),
        }
    }

    fn ended(status: TurnStatus, category: Option<&str>) -> EventKind {
        EventKind::TurnEnded {
            status,
            usage: Usage::default(),
            error: category.map(|category| TurnError {
                category: category.to_owned(),
                message: String::new(),
            }),
        }
    }

    fn samples(own: &mut OwnTurns, events: impl IntoIterator<Item = Event>) -> Vec<Observed> {
        events.into_iter().filter_map(|event| own.observe(&event)).collect()
    }

    #[test]
    fn a_turn_of_an_own_message_is_counted_from_its_beginning_to_its_end() {
        let usage = Usage {
            input_tokens: 7,
            ..Usage::default()
        };
        let mut own = OwnTurns::default();
        assert!(own.expect("m"));
        let events = [
            at(0, testing::message_accepted("m")),
            at(1, EventKind::TurnStarted {}),
            at(2, testing::model_started()),
            at(4, delta("a")),
            at(5, delta("a")),
            at(6, EventKind::ModelEnded { step: 0, usage }),
            at(8, ended(TurnStatus::Failed, Some("model_tls"))),
        ];
        let of_agent = |sample| (testing::AGENT.to_owned(), sample);
        assert_eq!(
            samples(&mut own, events),
            [
                of_agent(Sample::FirstToken { seconds: 2.0 }),
                of_agent(Sample::ModelCallEnded(usage)),
                of_agent(Sample::TurnEnded {
                    status: TurnStatus::Failed,
                    category: Some("model_tls".to_owned()),
                    seconds: Some(7.0),
                }),
            ]
        );
        assert!(own.are_over());
    }

    #[test]
    fn turns_of_messages_that_others_sent_are_not_counted() {
        let mut own = OwnTurns::default();
        own.expect("mine");
        let events = [
            at(0, testing::message_accepted("theirs")),
            at(1, EventKind::TurnStarted {}),
            at(2, ended(TurnStatus::Completed, None)),
        ];
        assert_eq!(samples(&mut own, events), []);
        assert!(!own.are_over());
        let rejected = EventKind::MessageRejected {
            message_id: "mine".to_owned(),
            idempotency_key: None,
            reason: String::new(),
        };
        assert_eq!(samples(&mut own, [at(3, rejected)]), []);
        assert!(own.are_over());
    }

    #[test]
    fn what_an_asked_agent_does_belongs_to_the_turn_that_asked_and_ends_no_turn() {
        let mut own = OwnTurns::default();
        own.expect("m");
        let nested = |event: Event| Event {
            path: "1.0.0".to_owned(),
            turn: 9,
            agent: "asked".to_owned(),
            ..event
        };
        let events = [
            at(0, testing::message_accepted("m")),
            nested(at(1, testing::model_started())),
            nested(at(2, delta("n"))),
            nested(at(3, ended(TurnStatus::Completed, None))),
        ];
        let expected = ("asked".to_owned(), Sample::FirstToken { seconds: 1.0 });
        assert_eq!(samples(&mut own, events), [expected]);
        assert!(!own.are_over());
    }

    #[test]
    fn a_turn_whose_beginning_is_lost_has_no_duration() {
        let mut own = OwnTurns::default();
        own.expect("m");
        samples(
            &mut own,
            [at(0, testing::message_accepted("m")), at(1, EventKind::TurnStarted {})],
        );
        own.forget_beginnings();
        let found = samples(&mut own, [at(9, ended(TurnStatus::Completed, None))]);
        assert!(
            matches!(&found[..], [(_, Sample::TurnEnded { seconds: None, .. })]),
            "{found:?}"
        );
    }

    #[test]
    fn a_turn_runs_until_it_ends_and_waits_while_an_approval_does() {
        let approval = |id: &str| {
            let approval = serde_json::json!({
                "id": id, "kind": "tool_call", "agent": "a", "turn": 1, "tool": "t", "tool_call_id": id, "arguments": {},
                "requested_at": "2026-11-23T10:00:00Z",
            });
            EventKind::ApprovalRequested {
                approval: serde_json::from_value(approval).unwrap(),
            }
        };
        let decided = |id: &str| EventKind::ApprovalDecided {
            approval_id: id.to_owned(),
            decision: Decision::new(Verdict::Approved),
        };
        let mut own = OwnTurns::default();
        own.expect("m");
        let mut after = |kind| {
            own.observe(&at(0, kind));
            own.activity()
        };
        let (runs, waits) = (Some(Activity::Runs), Some(Activity::WaitsForPeople));
        assert_eq!(after(testing::message_accepted("m")), None);
        assert_eq!(after(EventKind::TurnStarted {}), runs);
        assert_eq!(after(approval("1")), waits);
        assert_eq!(after(approval("2")), waits);
        assert_eq!(after(decided("1")), waits);
        assert_eq!(after(decided("2")), runs);
        assert_eq!(after(ended(TurnStatus::Completed, None)), None);
    }

    #[test]
    fn messages_that_wait_are_bounded() {
        let mut own = OwnTurns::default();
        for number in 0..MAX_MESSAGES {
            assert!(own.expect(&number.to_string()));
        }
        assert!(!own.expect("one more"));
    }
}
