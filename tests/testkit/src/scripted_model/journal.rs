//! What came in, and what became of it.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::ModelRequest;

/// One request and the fate of its answer.
#[derive(Clone, Debug)]
pub struct Call {
    pub request: Arc<ModelRequest>,
    pub received_at: Instant,
    pub outcome: Outcome,
    /// When it was answered or abandoned.
    pub ended_at: Option<Instant>,
}

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is being given, or waits at a gate.
    Answering,
    /// Its last byte was handed to the connection.
    Answered,
    /// The client was gone before, or the script cut it off.
    Abandoned,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Journal(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    calls: Vec<Call>,
    violations: Vec<String>,
    /// Of every so many requests the body of one is read; of all when absent.
    read_one_in: Option<NonZeroUsize>,
}

/// The end of an answer, written when it is known or, at the latest, when the
/// answer is dropped.
#[derive(Debug)]
pub(super) struct Pen {
    journal: Journal,
    index: usize,
}

impl Journal {
    /// Writes a request down; the number it is given counts from 1.
    pub(super) fn open(&self, request: impl FnOnce(usize) -> ModelRequest) -> (Arc<ModelRequest>, Pen) {
        let mut entries = self.entries();
        let index = entries.calls.len();
        let request = Arc::new(request(index + 1));
        entries.calls.push(Call {
            request: request.clone(),
            received_at: Instant::now(),
            outcome: Outcome::Answering,
            ended_at: None,
        });
        (
            request,
            Pen {
                journal: self.clone(),
                index,
            },
        )
    }

    pub(super) fn read_one_in(&self, count: NonZeroUsize) {
        self.entries().read_one_in = Some(count);
    }

    /// Whether the body of the next request is read.
    pub(super) fn reads_the_next(&self) -> bool {
        let entries = self.entries();
        entries.read_one_in.is_none_or(|count| entries.calls.len() % count == 0)
    }

    pub(super) fn add_violation(&self, violation: String) {
        self.entries().violations.push(violation);
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.entries().calls.clone()
    }

    pub(super) fn violations(&self) -> Vec<String> {
        self.entries().violations.clone()
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pen {
    pub(super) fn answered(&self) {
        self.write(Outcome::Answered);
    }

    fn write(&self, outcome: Outcome) {
        if let Some(call) = self.journal.entries().calls.get_mut(self.index)
            && call.outcome == Outcome::Answering
        {
            call.outcome = outcome;
            call.ended_at = Some(Instant::now());
        }
    }
}

impl Drop for Pen {
    fn drop(&mut self) {
        self.write(Outcome::Abandoned);
    }
}
