//! Which faults happen when: seeded, so that a run can be repeated. Pure.

use std::{collections::BTreeMap, str::FromStr, time::Duration};

use serde::Serialize;

use crate::bench::random::Random;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// `kill -9` of a worker; Kubernetes would start another.
    KillWorker,
    KillGateway,
    /// `kill -9` of Redis; what it has acknowledged is kept.
    KillRedis,
    /// Redis answers nothing for a while, as behind a broken network.
    CutRedis,
    /// `kill -9` of Temporal, which keeps its state.
    KillTemporal,
    /// Temporal answers nothing for a while.
    CutTemporal,
    /// `kill -9` of the operator.
    KillOperator,
}

impl Fault {
    pub(super) const ALL: [Self; 7] = [
        Self::KillWorker,
        Self::KillGateway,
        Self::KillRedis,
        Self::CutRedis,
        Self::KillTemporal,
        Self::CutTemporal,
        Self::KillOperator,
    ];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KillWorker => "kill_worker",
            Self::KillGateway => "kill_gateway",
            Self::KillRedis => "kill_redis",
            Self::CutRedis => "cut_redis",
            Self::KillTemporal => "kill_temporal",
            Self::CutTemporal => "cut_temporal",
            Self::KillOperator => "kill_operator",
        }
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|fault| fault.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("{text:?} is no fault; they are {names}")
        })
    }
}

/// A fault of the plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PlannedFault {
    pub(super) fault: Fault,
    /// From the end of the fault before.
    pub(super) after: Duration,
    /// How long the part is away before it is started or answers again.
    pub(super) lasts: Duration,
    /// Which of several equal parts, as a fraction of their number.
    pub(super) which: f64,
}

/// The longest time without a fault, in means.
const LONGEST_PAUSE: f64 = 4.0;
const SHORTEST_OUTAGE: Duration = Duration::from_millis(200);
const OUTAGE_RANGE: Duration = Duration::from_millis(2_800);

/// An endless series of faults. Kinds come equally often: each once in every round, in random order.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    random: Random,
    mean: Duration,
    kinds: Vec<Fault>,
    deck: Vec<Fault>,
}

impl Plan {
    pub(super) fn new(seed: u64, mean: Duration, kinds: &[Fault]) -> Self {
        Self {
            random: Random::new(seed),
            mean,
            kinds: kinds.to_vec(),
            deck: Vec::new(),
        }
    }

    fn draw(&mut self) -> Fault {
        if self.deck.is_empty() {
            self.deck.clone_from(&self.kinds);
        }
        let bound = u32::try_from(self.deck.len()).unwrap_or(1);
        let index = usize::try_from(self.random.below(bound)).unwrap_or_default();
        self.deck.swap_remove(index)
    }
}

impl Iterator for Plan {
    type Item = PlannedFault;

    fn next(&mut self) -> Option<PlannedFault> {
        // The time between faults that come at random has an exponential distribution.
        let pauses = -(1.0 - self.random.fraction()).ln();
        Some(PlannedFault {
            after: self.mean.mul_f64(pauses.min(LONGEST_PAUSE)),
            fault: self.draw(),
            lasts: SHORTEST_OUTAGE + OUTAGE_RANGE.mul_f64(self.random.fraction()),
            which: self.random.fraction(),
        })
    }
}

/// Whether each of these kinds has happened this often.
pub(super) fn each_happened(counts: &BTreeMap<Fault, usize>, kinds: &[Fault], times: usize) -> bool {
    kinds
        .iter()
        .all(|fault| counts.get(fault).copied().unwrap_or_default() >= times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_named_as_in_reports() {
        for fault in Fault::ALL {
            assert_eq!(serde_json::to_value(fault).unwrap(), fault.name());
            assert_eq!(fault.name().parse(), Ok(fault));
        }
        assert!("kill_pod".parse::<Fault>().unwrap_err().contains("kill_worker, "));
    }

    fn counts(faults: &[PlannedFault]) -> BTreeMap<Fault, usize> {
        let mut counts = BTreeMap::new();
        for planned in faults {
            *counts.entry(planned.fault).or_default() += 1;
        }
        counts
    }

    #[test]
    fn the_same_seed_gives_the_same_faults() {
        let faults = |seed| {
            Plan::new(seed, Duration::from_secs(10), &Fault::ALL)
                .take(50)
                .collect::<Vec<_>>()
        };
        assert_eq!(faults(1), faults(1));
        assert_ne!(faults(1), faults(2));
    }

    #[test]
    fn every_kind_comes_equally_often_and_the_mean_pause_is_the_one_asked_for() {
        let faults: Vec<PlannedFault> = Plan::new(3, Duration::from_secs(10), &Fault::ALL).take(700).collect();
        assert!(each_happened(&counts(&faults), &Fault::ALL, 100));
        assert!(!each_happened(&counts(&faults[..100]), &Fault::ALL, 15));
        assert!(each_happened(&counts(&[]), &[], 1));
        let total: Duration = faults.iter().map(|planned| planned.after).sum();
        let mean = total.as_secs_f64() / 700.0;
        assert!((9.0..11.0).contains(&mean), "{mean}");
        assert!(faults.iter().all(|planned| planned.lasts <= Duration::from_secs(3)));
    }
}
