//! What a worker remembers of the model servers that it calls, until it ends.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lru::LruCache;

use super::{
    attachments::Earlier,
    conversation::Past,
    dialect::{Dialect, Lesson},
};

/// How many models are remembered, and how many tasks whose past a server refused.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1_023);

/// What this process has learned of the model servers that it calls.
#[derive(Clone, Debug)]
pub(super) struct Learned(Arc<Mutex<Memory>>);

#[derive(Debug)]
struct Memory {
    /// By origin.
    dialects: LruCache<String, Dialect>,
    /// The pasts of tasks that a model has refused, by the form that it took.
    pasts: LruCache<(String, String), Past>,
    /// The tasks whose earlier attachments a model has refused.
    without_attachments: LruCache<(String, String), ()>,
}

impl Default for Learned {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Memory {
            dialects: LruCache::new(REMEMBERED),
            pasts: LruCache::new(REMEMBERED),
            without_attachments: LruCache::new(REMEMBERED),
        })))
    }
}

impl Learned {
    fn lock(&self) -> MutexGuard<'_, Memory> {
        // A panic leaves a valid memory: each change is one insertion.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn dialect(&self, origin: &str, initial: impl FnOnce() -> Dialect) -> Dialect {
        self.lock().dialects.get_or_insert(origin.to_owned(), initial).clone()
    }

    /// Returns whether the next request differs from one in this form.
    pub(super) fn learn(&self, origin: &str, used: &Dialect, lesson: &Lesson) -> bool {
        let mut memory = self.lock();
        let dialect = memory.dialects.get_or_insert_mut(origin.to_owned(), || used.clone());
        // Another call may have learned the same since.
        dialect.learn(lesson) || *dialect != *used
    }

    /// How much of its past a model has taken of a task that it refused whole; all of it for any other task.
    pub(super) fn past(&self, task_id: &str, origin: &str) -> Past {
        let key = (task_id.to_owned(), origin.to_owned());
        self.lock().pasts.get(&key).copied().unwrap_or(Past::Own)
    }

    /// Whether a model gets the attachments of earlier messages of a task.
    pub(super) fn earlier_attachments(&self, task_id: &str, origin: &str) -> Earlier {
        let key = (task_id.to_owned(), origin.to_owned());
        match self.lock().without_attachments.get(&key) {
            Some(()) => Earlier::Told,
            None => Earlier::Sent,
        }
    }

    /// A model answered a task without its earlier attachments, which it had refused.
    pub(super) fn remember_without_attachments(&self, task_id: &str, origin: &str) {
        let key = (task_id.to_owned(), origin.to_owned());
        self.lock().without_attachments.put(key, ());
    }

    pub(super) fn remember_past(&self, task_id: &str, origin: &str, past: Past) {
        let key = (task_id.to_owned(), origin.to_owned());
        self.lock().pasts.put(key, past);
    }
}
