//! Holds the named conditions under which a program may get traffic. Decides
//! nothing by itself: each part of the program reports for itself.

use std::collections::BTreeMap;

use tokio::sync::watch;

/// All readiness checks of one process. Cheap to clone; clones share state.
#[derive(Clone, Debug)]
pub struct Readiness {
    checks: watch::Sender<BTreeMap<&'static str, bool>>,
}

impl Default for Readiness {
    fn default() -> Self {
        Self {
            checks: watch::Sender::new(BTreeMap::new()),
        }
    }
}

impl Readiness {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a check, not ready at first. Register every check before the
    /// admin server starts: a program without checks counts as ready.
    pub fn register(&self, name: &'static str) -> ReadinessGauge {
        let gauge = ReadinessGauge {
            name,
            checks: self.checks.clone(),
        };
        gauge.set(false);
        gauge
    }

    /// Every check with its present answer.
    pub fn snapshot(&self) -> BTreeMap<&'static str, bool> {
        self.checks.borrow().clone()
    }

    pub fn is_ready(&self) -> bool {
        self.checks.borrow().values().all(|ready| *ready)
    }

    /// Returns when every check is true.
    pub async fn wait_until_ready(&self) {
        let mut receiver = self.checks.subscribe();
        // The sender lives as long as `self`, so that waiting cannot fail.
        let _ = receiver.wait_for(|checks| checks.values().all(|ready| *ready)).await;
    }
}

/// One check, held by the part of the program that knows the answer.
#[derive(Clone, Debug)]
pub struct ReadinessGauge {
    name: &'static str,
    checks: watch::Sender<BTreeMap<&'static str, bool>>,
}

impl ReadinessGauge {
    pub fn set(&self, ready: bool) {
        self.checks
            .send_if_modified(|checks| checks.insert(self.name, ready) != Some(ready));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_only_when_every_check_is_true() {
        let readiness = Readiness::new();
        let temporal = readiness.register("temporal");
        let redis = readiness.register("redis");
        temporal.set(true);
        assert_eq!(
            readiness.snapshot(),
            BTreeMap::from([("redis", false), ("temporal", true)])
        );
        assert!(!readiness.is_ready());
        redis.set(true);
        assert!(readiness.is_ready());
        temporal.set(false);
        assert!(!readiness.is_ready());
    }

    #[tokio::test]
    async fn waiting_ends_when_the_last_check_turns_true() {
        let readiness = Readiness::new();
        let polling = readiness.register("polling");
        let waiting = tokio::spawn({
            let readiness = readiness.clone();
            async move { readiness.wait_until_ready().await }
        });
        polling.set(true);
        assert!(waiting.await.is_ok());
    }
}
