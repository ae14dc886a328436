//! The outbox: events the workflow makes wait here, numbered, until an activity
//! says that they stand in the log.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use steadfast_agent_loop::SegmentRef;
use steadfast_events::Event;

use crate::tool_calls::Ran;

/// Producer name of the outbox in the log; its counters are the entries' numbers.
pub const PRODUCER: &str = "task";

/// What one activity carries at most.
const CARRY_LIMIT_BYTES: usize = 64 * 1024;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutboxEntry {
    /// 1, 2, 3, … over the whole life of the task.
    pub number: u64,
    #[serde(flatten)]
    pub pending: Pending,
    /// When what it is the end of ran: a turn, or a tool call that no activity of ours measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ran: Option<Ran>,
    /// An activity before this one carried it, too, and has counted it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pending {
    /// A small event, whole.
    Event(Box<Event>),
    /// The finished messages of a segment, whose content stands in the history.
    Messages(SegmentRef),
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outbox {
    last_number: u64,
    waiting: VecDeque<OutboxEntry>,
    /// Highest number that a running activity carries.
    #[serde(skip)]
    carried: u64,
    /// Highest number that any activity has carried.
    #[serde(default)]
    ever_carried: u64,
}

impl Outbox {
    pub fn push(&mut self, pending: Pending) {
        self.last_number += 1;
        self.waiting.push_back(OutboxEntry {
            number: self.last_number,
            pending,
            ran: None,
            again: false,
        });
    }

    /// Says when that ran which the newest entry is the end of.
    pub fn record_interval(&mut self, ran: Ran) {
        if let Some(entry) = self.waiting.back_mut() {
            entry.ran = Some(ran);
        }
    }

    /// The number of the newest entry that was ever made.
    pub fn last_number(&self) -> u64 {
        self.last_number
    }

    /// The entries that the log lacks, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = &OutboxEntry> {
        self.waiting.iter()
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Something waits that nobody carries.
    pub fn has_unsent(&self) -> bool {
        self.waiting.back().is_some_and(|entry| entry.number > self.carried)
    }

    /// What the next activity takes along; at least one entry if any waits.
    pub fn take_batch(&mut self) -> Vec<OutboxEntry> {
        let mut size_bytes = 0;
        let mut batch = Vec::new();
        for entry in &self.waiting {
            size_bytes += serde_json::to_string(entry).map_or(0, |json| json.len());
            if size_bytes > CARRY_LIMIT_BYTES && !batch.is_empty() {
                break;
            }
            batch.push(OutboxEntry {
                again: entry.number <= self.ever_carried,
                ..entry.clone()
            });
        }
        self.carried = self.carried.max(batch.last().map_or(0, |entry| entry.number));
        self.ever_carried = self.ever_carried.max(self.carried);
        batch
    }

    /// The activity that carried has ended: what it acknowledged is done, the rest waits for the next.
    pub fn ack(&mut self, acked: u64) {
        while self.waiting.front().is_some_and(|entry| entry.number <= acked) {
            self.waiting.pop_front();
        }
        self.carried = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(text: &str) -> Pending {
        Pending::Messages(SegmentRef::Message(text.to_owned()))
    }

    #[test]
    fn only_the_first_to_carry_an_entry_counts_it() {
        let mut outbox = Outbox::default();
        outbox.push(pending("a"));
        let again = |batch: Vec<OutboxEntry>| -> Vec<bool> { batch.iter().map(|entry| entry.again).collect() };
        assert_eq!(again(outbox.take_batch()), [false]);
        outbox.push(pending("b"));
        // The first activity still runs.
        assert_eq!(again(outbox.take_batch()), [true, false]);
        outbox.ack(0);
        assert_eq!(again(outbox.take_batch()), [true, true]);
    }

    #[test]
    fn what_was_not_acknowledged_is_carried_again() {
        let mut outbox = Outbox::default();
        outbox.push(pending("a"));
        outbox.push(pending("b"));
        assert_eq!(outbox.take_batch().len(), 2);
        assert!(!outbox.has_unsent());
        outbox.ack(1);
        assert!(outbox.has_unsent());
        assert_eq!(
            outbox.take_batch(),
            vec![OutboxEntry {
                number: 2,
                pending: pending("b"),
                ran: None,
                again: true,
            }]
        );
        outbox.ack(2);
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_batch_is_bounded_but_never_empty() {
        let mut outbox = Outbox::default();
        outbox.push(pending(&"x".repeat(CARRY_LIMIT_BYTES)));
        outbox.push(pending("b"));
        assert_eq!(
            outbox.take_batch().iter().map(|entry| entry.number).collect::<Vec<_>>(),
            [1]
        );
        assert!(outbox.has_unsent());
    }

    #[test]
    #[allow(clippy::unwrap_used, reason = "tests")]
    fn an_entry_takes_along_when_that_ran_which_it_is_the_end_of() {
        let at = |milliseconds| jiff::Timestamp::from_millisecond(milliseconds).unwrap();
        let ran = Ran {
            step: 3,
            from: at(1_700_000_000_000),
            until: at(1_700_000_000_250),
        };
        let mut outbox = Outbox::default();
        outbox.push(pending("a"));
        outbox.push(pending("b"));
        outbox.record_interval(ran);
        let json = serde_json::to_value(&outbox).unwrap();
        assert_eq!(json["waiting"][1]["ran"].to_string(), "[3,1700000000000,250]");
        let mut revived: Outbox = serde_json::from_value(json).unwrap();
        let found: Vec<_> = revived.take_batch().into_iter().map(|entry| entry.ran).collect();
        assert_eq!(found, [None, Some(ran)]);
    }

    #[test]
    fn numbers_go_on_after_a_round_trip() {
        let mut outbox = Outbox::default();
        outbox.push(pending("a"));
        outbox.ack(1);
        #[allow(clippy::unwrap_used, reason = "tests")]
        let mut revived: Outbox = serde_json::from_value(serde_json::to_value(&outbox).unwrap()).unwrap();
        revived.push(pending("b"));
        assert_eq!(revived.take_batch()[0].number, 2);
    }
}
