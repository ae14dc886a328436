//! How long an object waits after its reconciliation failed: one module
//! decides every delay. Pure but for the memory of past failures.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::cache::ObjectKey;

const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_mins(5);

/// Consecutive failures of each object.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: Mutex<HashMap<ObjectKey, u32>>,
    spread: RandomState,
}

impl Backoff {
    /// Counts a failure; the delay before the next try, doubled each time and
    /// spread by up to a tenth so that a fleet does not come back as one.
    pub fn after_failure(&self, key: &ObjectKey) -> Duration {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(key.clone()).or_default();
        let delay = FIRST_DELAY.saturating_mul(1 << (*count).min(16)).min(LONGEST_DELAY);
        *count = count.saturating_add(1);
        let tenths_of_percent = u32::try_from(self.spread.hash_one((key, *count)) % 100).unwrap_or(0);
        delay + delay * tenths_of_percent / 1000
    }

    /// Forgets the failures of an object that is well, or gone.
    pub fn forget(&self, key: &ObjectKey) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_five_minutes_and_start_over_after_a_success() {
        let backoff = Backoff::default();
        let key = ObjectKey::new("team", "weather");
        for expected in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            let delay = backoff.after_failure(&key);
            let least = Duration::from_secs(expected);
            assert!(
                delay >= least && delay <= least + least / 10,
                "{delay:?} is not about {least:?}"
            );
        }
        backoff.forget(&key);
        assert!(backoff.after_failure(&key) < Duration::from_secs(2));
    }
}
