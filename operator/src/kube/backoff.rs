//! The delay before an object is reconciled again after a failure. Pure but for
//! the memory of past failures.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::kube::namespaced_name::NamespacedName;

const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_mins(5);

/// The consecutive failures of each object.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: Mutex<HashMap<NamespacedName, u32>>,
    jitter: RandomState,
}

impl Backoff {
    /// Counts a failure. Returns the delay before the next attempt: doubled each time, and longer by up to a tenth so
    /// that many objects do not come back at once.
    pub(crate) fn after_failure(&self, key: &NamespacedName) -> Duration {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(key.clone()).or_default();
        let delay = FIRST_DELAY.saturating_mul(1 << (*count).min(16)).min(LONGEST_DELAY);
        *count = count.saturating_add(1);
        let tenths_of_percent = u32::try_from(self.jitter.hash_one((key, *count)) % 100).unwrap_or(0);
        delay + delay * tenths_of_percent / 1000
    }

    /// Forgets the failures of an object that was reconciled or deleted.
    pub(crate) fn forget(&self, key: &NamespacedName) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_five_minutes_and_start_over_after_a_success() {
        let backoff = Backoff::default();
        let key = NamespacedName::new("team", "weather");
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
