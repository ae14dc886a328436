//! What the model server remembers of its calls: when they arrived, and which were paid twice.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// A request whose like had been answered to the last byte before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Repeated {
    /// When the last byte of the earlier answer was handed to the connection.
    pub(crate) completed_at: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Calls(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    requests: usize,
    arrivals: BTreeMap<String, Vec<Instant>>,
    /// When a request with this body was answered whole, by the hash of the body.
    completed: BTreeMap<u64, Instant>,
    repeated: Vec<Repeated>,
}

/// A call that is being answered.
#[derive(Debug)]
pub(super) struct OpenCall {
    calls: Arc<Calls>,
    number: usize,
    body: u64,
}

impl Calls {
    /// Takes in a request.
    pub(super) fn open(calls: &Arc<Self>, run: &str, body: &[u8]) -> OpenCall {
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        let body = hasher.finish();
        let mut entries = calls.entries();
        entries.requests += 1;
        entries.arrivals.entry(run.to_owned()).or_default().push(Instant::now());
        if let Some(completed_at) = entries.completed.get(&body).copied() {
            entries.repeated.push(Repeated { completed_at });
        }
        OpenCall {
            calls: calls.clone(),
            number: entries.requests,
            body,
        }
    }

    pub(super) fn arrivals(&self, run: &str) -> Vec<Instant> {
        self.entries().arrivals.get(run).cloned().unwrap_or_default()
    }

    pub(super) fn requests(&self) -> usize {
        self.entries().requests
    }

    pub(super) fn repeated(&self) -> Vec<Repeated> {
        self.entries().repeated.clone()
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenCall {
    /// Its number on this server, from 1.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    pub(super) fn completed(&self) {
        self.calls.entries().completed.insert(self.body, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_repeated_only_after_its_like_was_answered_whole() {
        let calls = Arc::new(Calls::default());
        let broken_off = Calls::open(&calls, "a", b"same");
        drop(broken_off);
        Calls::open(&calls, "a", b"same").completed();
        assert_eq!(calls.repeated(), []);
        Calls::open(&calls, "b", b"other").completed();
        drop(Calls::open(&calls, "a", b"same"));
        assert_eq!(calls.repeated().len(), 1);
        assert_eq!((calls.requests(), calls.arrivals("a").len()), (4, 3));
    }
}
