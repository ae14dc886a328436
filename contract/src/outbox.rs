//! The outbox: numbered entries that the workflow makes wait here until an activity acknowledges
//! that the log has them.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use steadfast_agent_loop::SegmentRef;
use steadfast_events::Event;

use crate::interval::Interval;

/// Producer name of the outbox in the log; its counters are the entries' numbers.
pub const PRODUCER: &str = "task";

/// Largest batch that one activity takes along, as JSON.
const BATCH_LIMIT_BYTES: usize = 64 * 1024;

/// One numbered entry of the outbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutboxEntry {
    /// 1, 2, 3, … over the whole life of the task.
    pub number: u64,
    /// The content of the entry.
    #[serde(flatten)]
    pub pending: Pending,
    /// When the work that this entry ends ran: a turn, or a tool call that no activity of ours measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// Set for an event that ends its turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn_end: Option<TurnEndPlace>,
    /// An earlier activity took the entry along as well, and has counted it in the metrics.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub redelivered: bool,
}

/// The content of an entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pending {
    /// A small event, complete.
    Event(Box<Event>),
    /// The finished messages of a segment. Their content is in the history.
    Messages(SegmentRef),
}

/// Place of an event among those that end its turn.
///
/// A model call that has the last word appends these events itself, before the workflow knows of it; so both give them
/// the same counters, and the log has each once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnEndPlace {
    /// The end of the agent's part.
    Agent,
    /// The end of the turn.
    Turn,
}

impl TurnEndPlace {
    /// The counter of the event in the log. It rises within a turn and from turn to turn.
    pub fn counter(self, turn: u32) -> u64 {
        let place = match self {
            Self::Agent => 0,
            Self::Turn => 1,
        };
        u64::from(turn) * 2 + place
    }
}

/// The outbox of a task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outbox {
    last_number: u64,
    waiting: VecDeque<OutboxEntry>,
    /// Highest number that a running activity has taken along.
    #[serde(skip)]
    in_flight: u64,
    /// Highest number that any activity has taken along.
    #[serde(default)]
    sent_through: u64,
}

impl Outbox {
    /// Adds an entry with the next number.
    pub fn push(&mut self, pending: Pending) {
        self.last_number += 1;
        self.waiting.push_back(OutboxEntry {
            number: self.last_number,
            pending,
            interval: None,
            turn_end: None,
            redelivered: false,
        });
    }

    /// Adds an event that ends its turn.
    pub fn push_turn_end(&mut self, event: Event, place: TurnEndPlace) {
        self.push(Pending::Event(Box::new(event)));
        if let Some(entry) = self.waiting.back_mut() {
            entry.turn_end = Some(place);
        }
    }

    /// Records when the work that the newest entry ends ran.
    pub fn record_interval(&mut self, ran: Interval) {
        if let Some(entry) = self.waiting.back_mut() {
            entry.interval = Some(ran);
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

    /// The log has every entry.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// An entry waits that no running activity has taken along.
    pub fn has_unsent(&self) -> bool {
        self.waiting.back().is_some_and(|entry| entry.number > self.in_flight)
    }

    /// The batch for the next activity, which is scheduled at once; at least one entry if any waits.
    pub fn take_batch(&mut self) -> Vec<OutboxEntry> {
        let batch = self.next_batch();
        self.send(&batch);
        batch
    }

    /// The same for an activity that is not scheduled yet: see [`Outbox::send`].
    pub fn next_batch(&self) -> Vec<OutboxEntry> {
        let mut size_bytes = 0;
        let mut batch = Vec::new();
        for entry in &self.waiting {
            size_bytes += serde_json::to_string(entry).map_or(0, |json| json.len());
            if size_bytes > BATCH_LIMIT_BYTES && !batch.is_empty() {
                break;
            }
            batch.push(OutboxEntry {
                redelivered: entry.number <= self.sent_through,
                ..entry.clone()
            });
        }
        batch
    }

    /// The activity that takes the batch along is scheduled now. False if another one has taken it along meanwhile.
    pub fn send(&mut self, batch: &[OutboxEntry]) -> bool {
        let last = batch.last().map_or(0, |entry| entry.number);
        if last <= self.in_flight {
            return false;
        }
        self.in_flight = last;
        self.sent_through = self.sent_through.max(last);
        true
    }

    /// Highest number that any activity has taken along.
    pub fn sent_through(&self) -> u64 {
        self.sent_through
    }

    /// Takes back a batch whose activity was never scheduled: no history holds its entries. The numbers are those of
    /// [`Outbox::sent_through`] before the batch was taken and after.
    pub fn not_scheduled(&mut self, before: u64, after: u64) {
        if self.sent_through == after {
            self.sent_through = before;
        }
        self.in_flight = 0;
    }

    /// The entries that no activity has ever taken along, in batches.
    pub fn take_unrecorded(&mut self) -> Vec<Vec<OutboxEntry>> {
        self.ack(self.sent_through);
        let mut batches = Vec::new();
        while !self.waiting.is_empty() {
            let batch = self.take_batch();
            self.ack(batch.last().map_or(0, |entry| entry.number));
            batches.push(batch);
        }
        batches
    }

    /// The activity has ended: drops the entries up to the acknowledged number. The rest waits for the next activity.
    pub fn ack(&mut self, acked: u64) {
        while self.waiting.front().is_some_and(|entry| entry.number <= acked) {
            self.waiting.pop_front();
        }
        self.in_flight = 0;
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
        let again = |batch: Vec<OutboxEntry>| -> Vec<bool> { batch.iter().map(|entry| entry.redelivered).collect() };
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
                interval: None,
                turn_end: None,
                redelivered: true,
            }]
        );
        outbox.ack(2);
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_batch_whose_activity_was_never_scheduled_is_recorded_at_the_end() {
        let mut outbox = Outbox::default();
        outbox.push(pending("recorded"));
        outbox.take_batch();
        outbox.ack(0);
        outbox.push(pending("a"));
        let before = outbox.sent_through();
        assert_eq!(outbox.take_batch().len(), 2);
        outbox.not_scheduled(before, outbox.sent_through());
        assert!(outbox.has_unsent());
        let batches = outbox.take_unrecorded();
        let entries: Vec<_> = batches
            .iter()
            .flatten()
            .map(|entry| (entry.number, entry.redelivered))
            .collect();
        assert_eq!(entries, [(2, false)]);
    }

    #[test]
    fn a_batch_that_another_activity_took_along_first_is_not_sent_again() {
        let mut outbox = Outbox::default();
        outbox.push(pending("a"));
        let waiting = outbox.next_batch();
        assert!(outbox.has_unsent());
        outbox.take_batch();
        assert!(!outbox.send(&waiting));
        outbox.ack(0);
        assert!(outbox.send(&waiting));
    }

    #[test]
    fn what_no_activity_took_along_is_taken_in_bounded_batches() {
        let mut outbox = Outbox::default();
        outbox.push(pending("in flight"));
        outbox.take_batch();
        for text in ["a", "b"] {
            outbox.push(pending(&text.repeat(BATCH_LIMIT_BYTES)));
        }
        let batches = outbox.take_unrecorded();
        let numbers: Vec<Vec<u64>> = batches
            .iter()
            .map(|batch| batch.iter().map(|entry| entry.number).collect())
            .collect();
        assert_eq!(numbers, [[2], [3]]);
        assert!(outbox.is_empty());
    }

    #[test]
    fn a_batch_is_bounded_but_never_empty() {
        let mut outbox = Outbox::default();
        outbox.push(pending(&"x".repeat(BATCH_LIMIT_BYTES)));
        outbox.push(pending("b"));
        assert_eq!(
            outbox.take_batch().iter().map(|entry| entry.number).collect::<Vec<_>>(),
            [1]
        );
        assert!(outbox.has_unsent());
    }

    #[test]
    fn an_entry_carries_the_interval_of_the_work_that_it_ends() {
        let at = |milliseconds| jiff::Timestamp::from_millisecond(milliseconds).unwrap();
        let interval = Interval {
            step: 3,
            from: at(1_700_000_000_000),
            until: at(1_700_000_000_250),
        };
        let mut outbox = Outbox::default();
        outbox.push(pending("a"));
        outbox.push(pending("b"));
        outbox.record_interval(interval);
        let json = serde_json::to_value(&outbox).unwrap();
        assert_eq!(json["waiting"][1]["interval"].to_string(), "[3,1700000000000,250]");
        let mut revived: Outbox = serde_json::from_value(json).unwrap();
        let found: Vec<_> = revived.take_batch().into_iter().map(|entry| entry.interval).collect();
        assert_eq!(found, [None, Some(interval)]);
    }

    #[test]
    fn the_counters_of_the_ends_of_turns_rise() {
        let counters: Vec<u64> = (1..=2)
            .flat_map(|turn| [TurnEndPlace::Agent, TurnEndPlace::Turn].map(|place| place.counter(turn)))
            .collect();
        assert_eq!(counters, [2, 3, 4, 5]);
    }

    #[test]
    fn numbers_go_on_after_a_round_trip() {
        let mut outbox = Outbox::default();
        outbox.push(pending("a"));
        outbox.ack(1);
        let mut revived: Outbox = serde_json::from_value(serde_json::to_value(&outbox).unwrap()).unwrap();
        revived.push(pending("b"));
        assert_eq!(revived.take_batch()[0].number, 2);
    }
}
