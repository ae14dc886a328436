//! How many model calls run at a time for an agent (`limits.maxConcurrentModelCalls`).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// One for a worker.
#[derive(Default)]
pub struct Pace(Mutex<HashMap<String, (u32, Arc<Semaphore>)>>);

impl Pace {
    /// Waits for a place; there is always one without a limit.
    pub async fn enter(&self, agent: &str, limit: Option<u32>) -> Option<OwnedSemaphorePermit> {
        let semaphore = self.semaphore(agent, limit?);
        // It is never closed.
        semaphore.acquire_owned().await.ok()
    }

    fn semaphore(&self, agent: &str, limit: u32) -> Arc<Semaphore> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            (
                limit,
                Arc::new(Semaphore::new(usize::try_from(limit).unwrap_or(usize::MAX >> 4))),
            )
        };
        let entry = known.entry(agent.to_owned()).or_insert_with(make);
        if entry.0 != limit {
            // Calls under the old limit end by themselves.
            *entry = make();
        }
        entry.1.clone()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_call_beyond_the_limit_waits_and_one_without_a_limit_does_not() {
        let pace = Pace::default();
        let first = pace.enter("a", Some(1)).await;
        assert!(first.is_some());
        assert!(pace.enter("a", Some(1)).now_or_never().is_none());
        assert!(pace.enter("b", Some(1)).now_or_never().is_some());
        assert!(pace.enter("a", None).now_or_never().is_some());
        drop(first);
        assert!(pace.enter("a", Some(1)).now_or_never().is_some());
    }
}
