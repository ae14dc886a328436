//! What each agent did in the last hours, in intervals of some minutes: rings in memory, of a bounded size whatever
//! happens. Pure; the time is an input.

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use steadfast_events::{TurnStatus, Usage};

use super::histogram::Histogram;
use crate::agents::AgentName;

/// Length of an interval.
pub(crate) const INTERVAL: SignedDuration = SignedDuration::from_mins(5);
/// Intervals that are kept of each agent: twelve hours.
pub(crate) const INTERVALS: usize = 144;
/// Agents whose figures are kept. An interval has 400 bytes, and with as many long categories as it can have 1,200: all
/// agents with all intervals full are 45 MiB, with the room that rings keep for more.
pub(crate) const MAX_AGENTS: usize = 200;
/// Categories of failures that are counted one by one in an interval.
const MAX_CATEGORIES: usize = 8;
/// Counts all other categories.
const OTHER: &str = "other";
/// Longest category: those of Steadfast are shorter, and an agent may be of another version.
const MAX_CATEGORY_BYTES: usize = 64;

/// Something that an agent did, for its figures.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sample {
    TurnEnded {
        status: TurnStatus,
        /// Of a turn that failed.
        category: Option<String>,
        /// Absent where the beginning of the turn was not seen.
        seconds: Option<f64>,
    },
    /// From the beginning of an attempt of a model call until its first text.
    FirstToken {
        seconds: f64,
    },
    ModelCallEnded(Usage),
    /// So many approvals wait now.
    ApprovalsWaiting(u32),
}

/// What happened in an interval, or in several.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Figures {
    pub(crate) completed: u32,
    pub(crate) failed: u32,
    pub(crate) interrupted: u32,
    pub(crate) canceled: u32,
    /// The failed turns by category.
    pub(crate) failures: BTreeMap<String, u32>,
    pub(crate) usage: Usage,
    turn: Histogram,
    first_token: Histogram,
    /// The most that waited at a time; absent where nobody counted.
    pub(crate) approvals_waiting: Option<u32>,
}

#[derive(Clone, Debug, PartialEq)]
struct Interval {
    begin: Timestamp,
    figures: Figures,
}

/// The intervals of all agents. Those in which nothing happened are not kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series {
    agents: BTreeMap<AgentName, VecDeque<Interval>>,
}

impl Figures {
    fn record(&mut self, sample: Sample) {
        match sample {
            Sample::TurnEnded {
                status,
                category,
                seconds,
            } => {
                let count = match status {
                    TurnStatus::Completed => &mut self.completed,
                    TurnStatus::Failed => &mut self.failed,
                    TurnStatus::Interrupted => &mut self.interrupted,
                    TurnStatus::Canceled => &mut self.canceled,
                };
                *count = count.saturating_add(1);
                if let Some(category) = category {
                    self.count_failures(category, 1);
                }
                if let Some(seconds) = seconds {
                    self.turn.record(seconds);
                }
            }
            Sample::FirstToken { seconds } => self.first_token.record(seconds),
            Sample::ModelCallEnded(usage) => self.usage.add(usage),
            Sample::ApprovalsWaiting(count) => {
                self.approvals_waiting = Some(self.approvals_waiting.map_or(count, |before| before.max(count)));
            }
        }
    }

    fn count_failures(&mut self, category: String, count: u32) {
        let is_listed = self.failures.contains_key(&category);
        let has_room = self.failures.len() < MAX_CATEGORIES && category.len() <= MAX_CATEGORY_BYTES;
        let category = if is_listed || has_room {
            category
        } else {
            OTHER.to_owned()
        };
        let counted = self.failures.entry(category).or_default();
        *counted = counted.saturating_add(count);
    }

    /// The seconds that this share of the turns does not exceed; `None` without turns.
    pub(crate) fn turn_seconds(&self, share: f64) -> Option<f64> {
        self.turn.percentile(share)
    }

    /// The seconds until the first text that this share of the model calls does not exceed; `None` without calls.
    pub(crate) fn first_token_seconds(&self, share: f64) -> Option<f64> {
        self.first_token.percentile(share)
    }

    /// Adds what others did in the same time, or the same agent at another.
    fn add(&mut self, other: &Self) {
        for (count, more) in [
            (&mut self.completed, other.completed),
            (&mut self.failed, other.failed),
            (&mut self.interrupted, other.interrupted),
            (&mut self.canceled, other.canceled),
        ] {
            *count = count.saturating_add(more);
        }
        for (category, count) in &other.failures {
            self.count_failures(category.clone(), *count);
        }
        self.usage.add(other.usage);
        self.turn.add(&other.turn);
        self.first_token.add(&other.first_token);
    }

    /// Adds what another agent did in the same time.
    pub(crate) fn add_agent(&mut self, other: &Self) {
        self.add(other);
        self.approvals_waiting = match (self.approvals_waiting, other.approvals_waiting) {
            (Some(count), Some(more)) => Some(count.saturating_add(more)),
            (count, more) => count.or(more),
        };
    }

    /// Adds what the same agent did later. What waits now is what waited last.
    fn add_later(&mut self, later: &Self) {
        self.add(later);
        self.approvals_waiting = later.approvals_waiting.or(self.approvals_waiting);
    }
}

impl Series {
    /// Adds a sample to the interval of this time.
    pub(crate) fn record(&mut self, agent: &AgentName, now: Timestamp, sample: Sample) {
        let begin = begin_of(now);
        if !self.agents.contains_key(agent) {
            self.make_room();
            self.agents.insert(agent.clone(), VecDeque::new());
        }
        let Some(intervals) = self.agents.get_mut(agent) else {
            return;
        };
        while intervals.front().is_some_and(|first| first.begin < oldest(now)) {
            intervals.pop_front();
        }
        // A clock that is set back adds to the latest interval.
        if intervals.back().is_none_or(|latest| latest.begin < begin) {
            let figures = Figures::default();
            intervals.push_back(Interval { begin, figures });
        }
        if let Some(latest) = intervals.back_mut() {
            latest.figures.record(sample);
        }
    }

    /// The agent that has done nothing for the longest time makes room for another.
    fn make_room(&mut self) {
        if self.agents.len() < MAX_AGENTS {
            return;
        }
        let latest = |intervals: &VecDeque<Interval>| intervals.back().map(|interval| interval.begin);
        let idle = self.agents.iter().min_by_key(|(_, intervals)| latest(intervals));
        if let Some(name) = idle.map(|(name, _)| name.clone()) {
            self.agents.remove(&name);
        }
    }

    /// What an agent did in each of its intervals since a time, the oldest first.
    pub(crate) fn intervals(&self, agent: &AgentName, since: Timestamp) -> impl Iterator<Item = (Timestamp, &Figures)> {
        let intervals = self.agents.get(agent).into_iter().flatten();
        let since = begin_of(since);
        intervals
            .filter(move |interval| interval.begin >= since)
            .map(|interval| (interval.begin, &interval.figures))
    }

    /// What an agent did since a time; `None` if nothing.
    pub(crate) fn total(&self, agent: &AgentName, since: Timestamp) -> Option<Figures> {
        let mut total: Option<Figures> = None;
        for (_, figures) in self.intervals(agent, since) {
            total.get_or_insert_default().add_later(figures);
        }
        total
    }
}

/// Where the interval of a time begins.
pub(crate) fn begin_of(time: Timestamp) -> Timestamp {
    let seconds = time.as_second();
    let begin = seconds - seconds.rem_euclid(INTERVAL.as_secs());
    Timestamp::from_second(begin).unwrap_or(time)
}

/// Where the oldest interval begins that is kept.
fn oldest(now: Timestamp) -> Timestamp {
    let intervals = i64::try_from(INTERVALS).unwrap_or(i64::MAX);
    let span = SignedDuration::from_secs(INTERVAL.as_secs().saturating_mul(intervals - 1));
    begin_of(now).checked_sub(span).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn agent(name: &str) -> AgentName {
        AgentName::new("team", name)
    }

    fn ended(status: TurnStatus, category: Option<&str>) -> Sample {
        Sample::TurnEnded {
            status,
            category: category.map(str::to_owned),
            seconds: Some(1.0),
        }
    }

    #[test]
    fn samples_are_counted_in_their_interval() {
        let mut series = Series::default();
        let now = at("2026-11-28T12:12:00Z");
        let first = at("2026-11-28T12:04:59Z");
        series.record(&agent("a"), first, ended(TurnStatus::Completed, None));
        series.record(&agent("a"), now, ended(TurnStatus::Failed, Some("model_tls")));
        series.record(&agent("a"), now, Sample::FirstToken { seconds: 0.3 });
        let begins: Vec<String> = series
            .intervals(&agent("a"), first)
            .map(|(begin, _)| begin.to_string())
            .collect();
        assert_eq!(begins, ["2026-11-28T12:00:00Z", "2026-11-28T12:10:00Z"]);
        let total = series.total(&agent("a"), first).unwrap();
        assert_eq!((total.completed, total.failed), (1, 1));
        assert_eq!(total.failures, BTreeMap::from([("model_tls".to_owned(), 1)]));
        assert_eq!((total.turn.count(), total.first_token.count()), (2, 1));
        assert_eq!(series.total(&agent("b"), first), None);
        assert_eq!(series.total(&agent("a"), now).unwrap().completed, 0);
    }

    #[test]
    fn an_interval_of_twelve_hours_ago_makes_room_also_when_the_clock_is_set_back() {
        let mut series = Series::default();
        let begin = at("2026-11-28T00:00:00Z");
        let step = SignedDuration::from_mins(5);
        let mut now = begin;
        for _ in 0..2 * INTERVALS {
            series.record(&agent("a"), now, ended(TurnStatus::Completed, None));
            now += step;
        }
        assert_eq!(series.intervals(&agent("a"), begin).count(), INTERVALS);
        series.record(&agent("a"), begin, ended(TurnStatus::Completed, None));
        let (last, figures) = series.intervals(&agent("a"), begin).last().unwrap();
        assert_eq!((last, figures.completed), (begin_of(now - step), 2));
        assert_eq!(series.intervals(&agent("a"), begin).count(), INTERVALS);
    }

    #[test]
    fn the_agent_that_was_idle_longest_makes_room_for_another() {
        let mut series = Series::default();
        let mut now = at("2026-11-28T00:00:00Z");
        series.record(&agent("idle"), now, Sample::ApprovalsWaiting(1));
        now += INTERVAL;
        for number in 0..MAX_AGENTS {
            series.record(&agent(&number.to_string()), now, Sample::ApprovalsWaiting(1));
        }
        assert_eq!(series.agents.len(), MAX_AGENTS);
        assert!(!series.agents.contains_key(&agent("idle")));
    }

    #[test]
    fn categories_are_bounded() {
        let mut figures = Figures::default();
        for number in 0..100 {
            figures.record(ended(TurnStatus::Failed, Some(&format!("c{number}"))));
        }
        figures.record(ended(TurnStatus::Failed, Some(&"c".repeat(MAX_CATEGORY_BYTES + 1))));
        assert_eq!(figures.failures.len(), MAX_CATEGORIES + 1);
        assert_eq!(figures.failures[OTHER], 93);
    }

    #[test]
    fn approvals_of_agents_add_up_and_those_of_one_are_the_latest() {
        let (mut one, mut other) = (Figures::default(), Figures::default());
        one.record(Sample::ApprovalsWaiting(2));
        one.record(Sample::ApprovalsWaiting(1));
        other.record(Sample::ApprovalsWaiting(3));
        let mut both = one.clone();
        both.add_agent(&other);
        assert_eq!(both.approvals_waiting, Some(5));
        one.add_later(&Figures::default());
        assert_eq!(one.approvals_waiting, Some(2));
        one.add_later(&other);
        assert_eq!(one.approvals_waiting, Some(3));
    }
}
