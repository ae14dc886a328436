//! The journal: the requests, and what happened to their responses.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use super::ModelRequest;

/// One request and the outcome of its response.
#[derive(Clone, Debug)]
pub struct ModelCall {
    pub request: Arc<ModelRequest>,
    pub received_at: Instant,
    pub outcome: ResponseOutcome,
    /// When the response was completed or abandoned.
    pub ended_at: Option<Instant>,
}

/// What happened to a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseOutcome {
    /// It is being sent, or waits at a gate.
    InProgress,
    /// Its last byte was written to the connection.
    Completed,
    /// The client has disconnected before the end, or the script cut the connection.
    Abandoned,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Journal(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    calls: Vec<ModelCall>,
    violations: Vec<String>,
    /// The body of one request in so many is parsed; all if absent.
    read_one_in: Option<NonZeroUsize>,
}

/// A call whose outcome is not known yet. Records `Abandoned` when it is dropped
/// without another outcome.
#[derive(Debug)]
pub(super) struct OpenCall {
    journal: Journal,
    index: usize,
}

impl Journal {
    /// Adds a request. The argument of `request` is its number, counted from 1.
    pub(super) fn open(&self, request: impl FnOnce(usize) -> ModelRequest) -> (Arc<ModelRequest>, OpenCall) {
        let mut entries = self.entries();
        let index = entries.calls.len();
        let request = Arc::new(request(index + 1));
        entries.calls.push(ModelCall {
            request: request.clone(),
            received_at: Instant::now(),
            outcome: ResponseOutcome::InProgress,
            ended_at: None,
        });
        (
            request,
            OpenCall {
                journal: self.clone(),
                index,
            },
        )
    }

    pub(super) fn read_one_in(&self, count: NonZeroUsize) {
        self.entries().read_one_in = Some(count);
    }

    /// Whether to parse the body of the next request.
    pub(super) fn reads_next_body(&self) -> bool {
        let entries = self.entries();
        entries.read_one_in.is_none_or(|count| entries.calls.len() % count == 0)
    }

    pub(super) fn add_violation(&self, violation: String) {
        self.entries().violations.push(violation);
    }

    pub(super) fn calls(&self) -> Vec<ModelCall> {
        self.entries().calls.clone()
    }

    pub(super) fn violations(&self) -> Vec<String> {
        self.entries().violations.clone()
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenCall {
    pub(super) fn completed(&self) {
        self.set(ResponseOutcome::Completed);
    }

    fn set(&self, outcome: ResponseOutcome) {
        if let Some(call) = self.journal.entries().calls.get_mut(self.index)
            && call.outcome == ResponseOutcome::InProgress
        {
            call.outcome = outcome;
            call.ended_at = Some(Instant::now());
        }
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.set(ResponseOutcome::Abandoned);
    }
}
