//! What a worker remembers of the model servers that it calls, until it ends.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lru::LruCache;

use super::{
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
    /// Tasks whose own items a model has refused.
    plain: LruCache<(String, String), ()>,
}

impl Default for Learned {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Memory {
            dialects: LruCache::new(REMEMBERED),
            plain: LruCache::new(REMEMBERED),
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

    pub(super) fn past(&self, task_id: &str, origin: &str) -> Past {
        let key = (task_id.to_owned(), origin.to_owned());
        if self.lock().plain.get(&key).is_some() {
            Past::Plain
        } else {
            Past::Own
        }
    }

    pub(super) fn remember_plain(&self, task_id: &str, origin: &str) {
        let key = (task_id.to_owned(), origin.to_owned());
        self.lock().plain.put(key, ());
    }
}
