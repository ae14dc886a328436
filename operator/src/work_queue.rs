//! Owners of workers that something is done for now and then, outside of reconciliations: each has a time at which the next
//! pass over it is due. Reconciliations write what is desired, passes write what they found; neither waits for the other.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures::{StreamExt as _, future, stream::FuturesUnordered};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use crate::kube::owner::Owner;

/// The owners, with what is desired of each and what the pass before found.
#[derive(Debug)]
pub(crate) struct WorkQueue<D, F> {
    entries: Mutex<HashMap<Owner, Entry<D, F>>>,
    changed: Notify,
}

#[derive(Debug)]
struct Entry<D, F> {
    desired: D,
    found: F,
    due: Instant,
    is_taken: bool,
}

impl<D, F> Default for WorkQueue<D, F> {
    fn default() -> Self {
        Self {
            entries: Mutex::default(),
            changed: Notify::new(),
        }
    }
}

impl<D: Clone + PartialEq, F: Clone> WorkQueue<D, F> {
    /// Sets what is desired of an owner. Where it is new or differs, a pass is due at once, and `found` says what is known
    /// for it, from what was desired and found before.
    pub(crate) fn set(&self, owner: Owner, desired: D, now: Instant, found: impl FnOnce(Option<(&D, &F)>) -> F) {
        let mut entries = self.lock();
        let before = entries.get(&owner);
        if before.is_some_and(|entry| entry.desired == desired) {
            return;
        }
        let entry = Entry {
            found: found(before.map(|entry| (&entry.desired, &entry.found))),
            desired,
            due: now,
            is_taken: false,
        };
        entries.insert(owner, entry);
        drop(entries);
        self.changed.notify_one();
    }

    /// Forgets an owner.
    pub(crate) fn remove(&self, owner: &Owner) {
        self.lock().remove(owner);
    }

    /// The number of owners.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// What is desired of an owner, and what was found.
    pub(crate) fn get<T>(&self, owner: &Owner, read: impl FnOnce(&D, &F) -> T) -> Option<T> {
        let entries = self.lock();
        entries.get(owner).map(|entry| read(&entry.desired, &entry.found))
    }

    /// Makes a pass over each owner when it is due, at most `concurrency` at a time. Works until dropped.
    pub(crate) async fn run<P: Future<Output = ()>>(&self, concurrency: usize, pass: impl Fn(Owner, D, F) -> P) {
        let mut passes = FuturesUnordered::new();
        loop {
            let mut next = None;
            while passes.len() < concurrency {
                match self.take(Instant::now()) {
                    Ok((owner, desired, found)) => passes.push(pass(owner, desired, found)),
                    Err(due) => {
                        next = due;
                        break;
                    }
                }
            }
            let next_due = async {
                match next {
                    Some(due) => sleep_until(due).await,
                    None => future::pending().await,
                }
            };
            tokio::select! {
                Some(()) = passes.next(), if !passes.is_empty() => {}
                () = self.changed.notified() => {}
                () = next_due => {}
            }
        }
    }

    /// The owner that has been due for longest, which nobody else takes until its pass is done; otherwise the time of the
    /// next one.
    pub(crate) fn take(&self, now: Instant) -> Result<(Owner, D, F), Option<Instant>> {
        let mut entries = self.lock();
        let waiting = entries.iter_mut().filter(|(_, entry)| !entry.is_taken);
        match waiting.min_by_key(|(_, entry)| entry.due) {
            Some((owner, entry)) if entry.due <= now => {
                entry.is_taken = true;
                Ok((owner.clone(), entry.desired.clone(), entry.found.clone()))
            }
            next => Err(next.map(|(_, entry)| entry.due)),
        }
    }

    /// Ends a pass: what it found, and when the next one is due. Returns what was known before; `None` where something else
    /// is desired by now, for which this pass does not count.
    pub(crate) fn done(&self, owner: &Owner, desired: &D, found: F, due: Instant) -> Option<F> {
        let mut entries = self.lock();
        let entry = entries.get_mut(owner).filter(|entry| entry.desired == *desired)?;
        entry.due = due;
        entry.is_taken = false;
        Some(std::mem::replace(&mut entry.found, found))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Owner, Entry<D, F>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
