//! Durations in few bytes: how many there were in each of a fixed row of intervals. Two can be added; a percentile is
//! exact to a fifth. Pure.

/// Intervals; the last has no end. Each is √2 times as long as the one before: from 50 ms to more than half an hour.
const INTERVALS: usize = 32;
const FIRST_END_SECONDS: f64 = 0.05;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Histogram {
    counts: [u32; INTERVALS],
}

impl Histogram {
    pub(super) fn record(&mut self, seconds: f64) {
        let interval = (0..INTERVALS - 1).find(|&interval| seconds <= end_of(interval));
        let count = &mut self.counts[interval.unwrap_or(INTERVALS - 1)];
        *count = count.saturating_add(1);
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count = count.saturating_add(more);
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.counts.iter().copied().map(u64::from).sum()
    }

    /// The seconds that this share of the durations does not exceed; `None` without durations.
    pub(super) fn percentile(&self, share: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let wanted = share * to_float(count);
        let mut before = 0.0;
        for (interval, in_it) in self.counts.iter().copied().enumerate() {
            let in_it = f64::from(in_it);
            if in_it > 0.0 && before + in_it >= wanted {
                let begin = interval.checked_sub(1).map_or(0.0, end_of);
                let within = ((wanted - before) / in_it).clamp(0.0, 1.0);
                return Some(begin + within * (end_of(interval) - begin));
            }
            before += in_it;
        }
        None
    }
}

fn end_of(interval: usize) -> f64 {
    let steps = i32::try_from(interval).unwrap_or(i32::MAX);
    FIRST_END_SECONDS * std::f64::consts::SQRT_2.powi(steps)
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn to_float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_near_that_of_the_durations() {
        let mut histogram = Histogram::default();
        for hundredths in 1..=1000 {
            histogram.record(f64::from(hundredths) / 100.0);
        }
        assert_eq!(histogram.count(), 1000);
        for (share, exact) in [(0.5, 5.0), (0.95, 9.5)] {
            let found = histogram.percentile(share).unwrap();
            assert!((found - exact).abs() < exact / 5.0, "{share}: {found}");
        }
        assert_eq!(Histogram::default().percentile(0.5), None);
    }

    #[test]
    fn two_histograms_add_up_and_no_duration_is_out_of_range() {
        let (mut short, mut long) = (Histogram::default(), Histogram::default());
        short.record(0.0);
        long.record(1e9);
        short.add(&long);
        assert_eq!(short.count(), 2);
        assert!(short.percentile(1.0).unwrap() > 1800.0);
        assert!(short.percentile(0.1).unwrap() < 0.05);
    }
}
