//! The calls that this process runs, by task and turn.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

/// The running calls. Cheap to clone.
#[derive(Clone, Default)]
pub struct RunningCalls {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    next_number: u64,
    calls: BTreeMap<(String, u32), BTreeMap<u64, CancellationToken>>,
}

/// The registration of a call; dropping it ends the registration.
pub struct RunningCall {
    calls: RunningCalls,
    key: (String, u32),
    number: u64,
    token: CancellationToken,
}

impl RunningCall {
    /// Cancelled when the turn is interrupted.
    #[must_use]
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }
}

impl Drop for RunningCall {
    fn drop(&mut self) {
        let mut inner = self.calls.lock();
        if let Some(calls) = inner.calls.get_mut(&self.key) {
            calls.remove(&self.number);
            if calls.is_empty() {
                inner.calls.remove(&self.key);
            }
        }
    }
}

impl RunningCalls {
    /// Registers a call of a turn.
    #[must_use]
    pub fn register(&self, task_id: &str, turn: u32) -> RunningCall {
        let key = (task_id.to_owned(), turn);
        let token = CancellationToken::new();
        let mut inner = self.lock();
        inner.next_number += 1;
        let number = inner.next_number;
        inner
            .calls
            .entry(key.clone())
            .or_default()
            .insert(number, token.clone());
        drop(inner);
        RunningCall {
            calls: self.clone(),
            key,
            number,
            token,
        }
    }

    /// Cancels the calls of a turn; returns their number.
    pub(super) fn cancel(&self, task_id: &str, turn: u32) -> usize {
        let inner = self.lock();
        let Some(calls) = inner.calls.get(&(task_id.to_owned(), turn)) else {
            return 0;
        };
        calls.values().for_each(CancellationToken::cancel);
        calls.len()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_calls_of_the_turn_are_cancelled() {
        let calls = RunningCalls::default();
        let (first, second) = (calls.register("a", 1), calls.register("a", 1));
        let (other_turn, other_task) = (calls.register("a", 2), calls.register("b", 1));
        assert_eq!(calls.cancel("a", 1), 2);
        assert!(first.token().is_cancelled() && second.token().is_cancelled());
        assert!(!other_turn.token().is_cancelled() && !other_task.token().is_cancelled());
        assert_eq!(calls.cancel("c", 1), 0);
    }

    #[test]
    fn a_call_that_has_ended_is_removed() {
        let calls = RunningCalls::default();
        drop(calls.register("a", 1));
        assert_eq!(calls.cancel("a", 1), 0);
        assert!(calls.lock().calls.is_empty());
    }
}
