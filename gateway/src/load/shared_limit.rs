//! A limit on what runs at a time: for all callers together, and a smaller one for each, so that
//! one caller never takes it all.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// Callers are forgotten from this number on, unless they hold or wait for something.
const KNOWN_CALLERS: usize = 1024;

/// Amounts are in a unit of the user's choice: calls, bytes, streams.
#[derive(Debug)]
pub(crate) struct SharedLimit {
    all: Arc<Semaphore>,
    of_each: u32,
    callers: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// Gives its amount back when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    _of_caller: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

/// Why there is no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Busy {
    /// The caller has all that one caller may have.
    Caller,
    /// All callers together have all that there is.
    Everybody,
}

impl SharedLimit {
    pub(super) fn new(of_all: u32, of_each: u32) -> Self {
        Self {
            all: Arc::new(Semaphore::new(of_all as usize)),
            of_each,
            callers: Mutex::default(),
        }
    }

    /// Waits for an amount, which is at most what one caller may have.
    pub(crate) async fn take(&self, caller: &str, amount: u32, time_limit: Duration) -> Result<Permit, Busy> {
        let of_caller = timeout(time_limit, self.of(caller).acquire_many_owned(amount));
        let Ok(Ok(of_caller)) = of_caller.await else {
            return Err(Busy::Caller);
        };
        match timeout(time_limit, self.all.clone().acquire_many_owned(amount)).await {
            Ok(Ok(of_all)) => Ok(Permit {
                _of_caller: of_caller,
                _of_all: of_all,
            }),
            _ => Err(Busy::Everybody),
        }
    }

    fn of(&self, caller: &str) -> Arc<Semaphore> {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(semaphore) = callers.get(caller).and_then(Weak::upgrade) {
            return semaphore;
        }
        if callers.len() >= KNOWN_CALLERS {
            callers.retain(|_, semaphore| semaphore.strong_count() > 0);
        }
        let semaphore = Arc::new(Semaphore::new(self.of_each as usize));
        callers.insert(caller.to_owned(), Arc::downgrade(&semaphore));
        semaphore
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    #[tokio::test]
    async fn one_caller_never_takes_it_all() {
        let limit = SharedLimit::new(3, 2);
        let first = limit.take("alice", 1, NOW).await.unwrap();
        let _second = limit.take("alice", 1, NOW).await.unwrap();
        assert_eq!(limit.take("alice", 1, NOW).await.unwrap_err(), Busy::Caller);
        let _third = limit.take("bob", 1, NOW).await.unwrap();
        assert_eq!(limit.take("carol", 1, NOW).await.unwrap_err(), Busy::Everybody);
        drop(first);
        limit.take("carol", 1, NOW).await.unwrap();
    }

    #[tokio::test]
    async fn who_waits_gets_what_another_gives_back() {
        let limit = Arc::new(SharedLimit::new(1, 1));
        let held = limit.take("alice", 1, NOW).await.unwrap();
        let waiting = tokio::spawn({
            let limit = limit.clone();
            async move { limit.take("bob", 1, Duration::from_secs(5)).await.map(drop) }
        });
        tokio::task::yield_now().await;
        drop(held);
        assert_eq!(waiting.await.unwrap(), Ok(()));
    }

    #[tokio::test]
    async fn callers_that_hold_nothing_are_forgotten() {
        let limit = SharedLimit::new(10, 1);
        let _held = limit.take("alice", 1, NOW).await.unwrap();
        for number in 0..2 * KNOWN_CALLERS {
            limit.take(&number.to_string(), 1, NOW).await.unwrap();
        }
        assert!(limit.callers.lock().unwrap().len() <= KNOWN_CALLERS);
        assert_eq!(limit.take("alice", 1, NOW).await.unwrap_err(), Busy::Caller);
    }
}
