//! Limits the concurrent model calls of each agent (`limits.maxConcurrentModelCalls`).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The limits of all agents of a worker.
#[derive(Default)]
pub(crate) struct ConcurrencyLimit(Mutex<HashMap<String, (u32, Arc<Semaphore>)>>);

impl ConcurrencyLimit {
    /// Waits until a call may start; without a limit there is no wait and no permit.
    pub(crate) async fn acquire(&self, agent: &str, limit: Option<u32>) -> Option<OwnedSemaphorePermit> {
        let semaphore = self.semaphore(agent, limit?);
        // The semaphore is never closed.
        semaphore.acquire_owned().await.ok()
    }

    fn semaphore(&self, agent: &str, limit: u32) -> Arc<Semaphore> {
        let mut semaphores = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let create = || {
            let permits = usize::try_from(limit).unwrap_or(Semaphore::MAX_PERMITS);
            (limit, Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS))))
        };
        let entry = semaphores.entry(agent.to_owned()).or_insert_with(create);
        if entry.0 != limit {
            // The calls under the old limit keep its semaphore until they end.
            *entry = create();
        }
        entry.1.clone()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_call_above_the_limit_waits_and_a_call_without_a_limit_does_not() {
        let limit = ConcurrencyLimit::default();
        let first = limit.acquire("a", Some(1)).await;
        assert!(first.is_some());
        assert!(limit.acquire("a", Some(1)).now_or_never().is_none());
        assert!(limit.acquire("b", Some(1)).now_or_never().is_some());
        assert!(limit.acquire("a", None).now_or_never().is_some());
        drop(first);
        assert!(limit.acquire("a", Some(1)).now_or_never().is_some());
    }
}
