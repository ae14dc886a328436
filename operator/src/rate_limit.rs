//! The rate of requests to Temporal that grow with the number of Agents.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// The time between two requests: 50 a second. A frontend of Temporal takes 2,400 a second of a namespace by default
/// (`frontend.namespaceRPS`), and the operator must leave nearly all of them to what runs.
pub(crate) const INTERVAL: Duration = Duration::from_millis(20);

/// Spaces requests evenly. All watch scopes share one.
#[derive(Debug, Default)]
pub(crate) struct RateLimit {
    /// The time of the last permit.
    last: Mutex<Option<Instant>>,
}

impl RateLimit {
    /// Returns when the next request may be sent.
    pub(crate) async fn permit(&self) {
        sleep_until(self.reserve(Instant::now())).await;
    }

    /// The time of the next request. A pause saves up no burst.
    fn reserve(&self, now: Instant) -> Instant {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let at = last.map_or(now, |last| now.max(last + INTERVAL));
        *last = Some(at);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_spaced_and_a_pause_saves_up_no_burst() {
        let limit = RateLimit::default();
        let start = Instant::now();
        let later = start + Duration::from_mins(1);
        let reserved = [start, start, later, later, later].map(|now| limit.reserve(now));
        let expected = [start, start + INTERVAL, later, later + INTERVAL, later + INTERVAL * 2];
        assert_eq!(reserved, expected);
    }
}
