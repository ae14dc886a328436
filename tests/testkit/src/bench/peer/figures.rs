//! The lines of the table, and the medians and ratios in it. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::contestant::Contestant;
use crate::bench::statistics::{median, rounded};

/// A line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    RunsPerSecond,
    ServerCpuPerRun,
    WorkerCpuPerRun,
    RedisCpuPerRun,
    EventsPerRun,
    MostEvents,
    WorkerIdle,
    WorkerIdleAnonymous,
    WorkerAfterBurst,
    WorkerAfterBurstAnonymous,
    WorkerAfterRest,
    WorkerAfterRestAnonymous,
    DeltaP50Alone,
    DeltaP99Alone,
    DeltaP50Crowded,
    DeltaP99Crowded,
    KillToTokens,
    LongPolls,
    MessageToWaitingP50,
    MessageToWaitingP99,
    MessageToNewP50,
    MessageToNewP99,
    LastTenthToFirst,
}

impl Line {
    pub(super) const ALL: [Self; 23] = [
        Self::RunsPerSecond,
        Self::ServerCpuPerRun,
        Self::WorkerCpuPerRun,
        Self::RedisCpuPerRun,
        Self::EventsPerRun,
        Self::MostEvents,
        Self::WorkerIdle,
        Self::WorkerIdleAnonymous,
        Self::WorkerAfterBurst,
        Self::WorkerAfterBurstAnonymous,
        Self::WorkerAfterRest,
        Self::WorkerAfterRestAnonymous,
        Self::DeltaP50Alone,
        Self::DeltaP99Alone,
        Self::DeltaP50Crowded,
        Self::DeltaP99Crowded,
        Self::KillToTokens,
        Self::LongPolls,
        Self::MessageToWaitingP50,
        Self::MessageToWaitingP99,
        Self::MessageToNewP50,
        Self::MessageToNewP99,
        Self::LastTenthToFirst,
    ];

    /// Its name and unit in the table.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::RunsPerSecond => "runs/s of a burst",
            Self::ServerCpuPerRun => "Temporal server CPU per run, ms",
            Self::WorkerCpuPerRun => "worker CPU per run, ms",
            Self::RedisCpuPerRun => "Redis CPU per run, ms",
            Self::EventsPerRun => "events of history per run",
            Self::MostEvents => "events of the longest history",
            Self::WorkerIdle => "worker memory, idle, MB",
            Self::WorkerIdleAnonymous => "of that, heap and stacks, idle, MB",
            Self::WorkerAfterBurst => "worker memory after the burst, MB",
            Self::WorkerAfterBurstAnonymous => "of that, heap and stacks, after the burst, MB",
            Self::WorkerAfterRest => "worker memory after the rest, MB",
            Self::WorkerAfterRestAnonymous => "of that, heap and stacks, after the rest, MB",
            Self::DeltaP50Alone => "added latency per delta, one run, p50, ms",
            Self::DeltaP99Alone => "added latency per delta, one run, p99, ms",
            Self::DeltaP50Crowded => "added latency per delta, 50 runs, p50, ms",
            Self::DeltaP99Crowded => "added latency per delta, 50 runs, p99, ms",
            Self::KillToTokens => "`kill -9` in mid-answer to the next token, s",
            Self::LongPolls => "long polls of an idle worker",
            Self::MessageToWaitingP50 => "POST message to model request, waiting task, p50, ms",
            Self::MessageToWaitingP99 => "POST message to model request, waiting task, p99, ms",
            Self::MessageToNewP50 => "POST message to model request, new task, p50, ms",
            Self::MessageToNewP99 => "POST message to model request, new task, p99, ms",
            Self::LastTenthToFirst => "long conversation: time per call, last tenth to first",
        }
    }
}

/// One measured value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    pub value: f64,
    /// The bench gave up at this value: the true one is at least as large.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_least: bool,
}

impl Figure {
    pub(super) fn exact(value: f64) -> Self {
        Self {
            value: rounded(value),
            at_least: false,
        }
    }

    pub(super) fn at_least(value: f64) -> Self {
        Self {
            value: rounded(value),
            at_least: true,
        }
    }
}

/// What one round has measured of one contestant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Round {
    pub contestant: Contestant,
    /// Counted from 1.
    pub round: usize,
    pub figures: BTreeMap<Line, Figure>,
    /// What could not be measured, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// The median of a contestant's rounds; `None` if no round has measured it.
pub(super) fn median_of(rounds: &[Round], contestant: Contestant, line: Line) -> Option<Figure> {
    let of_contestant = rounds.iter().filter(|round| round.contestant == contestant);
    let figures: Vec<Figure> = of_contestant
        .filter_map(|round| round.figures.get(&line).copied())
        .collect();
    if figures.is_empty() {
        return None;
    }
    let value = median(figures.iter().map(|figure| figure.value).collect(), f64::total_cmp);
    let of_median = figures.iter().find(|figure| figure.value.total_cmp(&value).is_eq());
    of_median.copied()
}

/// The ratio of two medians; `None` unless both are exact and the second is not 0.
pub(super) fn ratio_of(rounds: &[Round], line: Line, of: Contestant, to: Contestant) -> Option<f64> {
    let of = median_of(rounds, of, line).filter(|figure| !figure.at_least)?;
    let to = median_of(rounds, to, line).filter(|figure| !figure.at_least && figure.value > 0.0)?;
    Some(of.value / to.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(contestant: Contestant, value: f64) -> Round {
        Round {
            contestant,
            round: 1,
            figures: [(Line::KillToTokens, Figure::exact(value))].into(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn the_median_of_the_rounds_counts_and_ratios_are_of_medians() {
        let mut rounds = vec![
            round(Contestant::ThisBuild, 9.0),
            round(Contestant::ThisBuild, 2.0),
            round(Contestant::ThisBuild, 3.0),
            round(Contestant::Python, 60.0),
        ];
        let line = Line::KillToTokens;
        assert_eq!(
            median_of(&rounds, Contestant::ThisBuild, line),
            Some(Figure::exact(3.0))
        );
        assert_eq!(
            ratio_of(&rounds, line, Contestant::ThisBuild, Contestant::Python),
            Some(0.05)
        );
        assert_eq!(ratio_of(&rounds, line, Contestant::ThisBuild, Contestant::Before), None);
        // What is only known to be larger has no ratio.
        if let Some(python) = rounds.last_mut() {
            python.figures.insert(line, Figure::at_least(60.0));
        }
        assert_eq!(ratio_of(&rounds, line, Contestant::ThisBuild, Contestant::Python), None);
        assert_eq!(median_of(&rounds, Contestant::Agentex, line), None);
    }

    #[test]
    fn every_line_is_in_the_table_once() {
        let lines: std::collections::BTreeSet<Line> = Line::ALL.into_iter().collect();
        let titles: std::collections::BTreeSet<&str> = Line::ALL.into_iter().map(Line::title).collect();
        assert_eq!((lines.len(), titles.len()), (Line::ALL.len(), Line::ALL.len()));
    }
}
