//! The owners of workers that are scaled, and when Temporal is polled for each. Reconciliations write which owners there
//! are and who is to wake; the autoscaler takes what is due. Neither waits for the other.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::api::core::v1::ObjectReference;
use steadfast_crds::worker::AutoscalingSettings;
use tokio::{sync::Notify, time::Instant};

use crate::{
    agents::identity::{OwnerKind, WorkerOwner},
    kube::{namespaced_name::NamespacedName, owner::Owner},
    rate_limit,
    scaling::{plan::Memory, wake::Wakes},
};

/// A poll asks for the tasks of workflows and for those of activities.
const QUERIES_PER_POLL: u32 = 2;
/// Before the first poll after the last worker went: a message that came at that moment woke nobody.
const AFTER_SLEEP: Duration = Duration::from_secs(3);

/// Who sets the number of an owner's pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SetBy {
    /// The autoscaler of the operator.
    Autoscaler,
    /// Somebody else.
    Others,
}

/// The Deployments whose manifest leaves `replicas` out, by owner, as this process knows them.
#[derive(Debug, Default)]
pub(crate) struct UnmanagedReplicas(Mutex<HashMap<Owner, ReplicasOwner>>);

/// The uid of a Deployment, and who sets its number of pods.
pub(super) type ReplicasOwner = (Option<String>, SetBy);

impl UnmanagedReplicas {
    /// Forgets an owner that is gone.
    pub(crate) fn forget(&self, kind: OwnerKind, owner: &NamespacedName) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.remove(&(kind, owner.clone()));
    }

    pub(super) fn is_known(&self, owner: &WorkerOwner, state: &ReplicasOwner) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(owner.kind, owner.key.clone())) == Some(state)
    }

    pub(super) fn set(&self, owner: &WorkerOwner, state: ReplicasOwner) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert((owner.kind, owner.key.clone()), state);
    }
}

/// An owner whose workers are scaled.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scaled {
    /// The owner.
    pub(crate) owner: WorkerOwner,
    /// The owner, for Events.
    pub(crate) object_reference: ObjectReference,
    /// What its spec says.
    pub(crate) settings: AutoscalingSettings,
}

impl Scaled {
    fn key(&self) -> Owner {
        (self.owner.kind, self.owner.key.clone())
    }
}

/// The owners whose workers are scaled.
#[derive(Debug)]
pub(crate) struct Scaling {
    /// The least time between two polls for one owner.
    interval: Duration,
    inner: Mutex<Inner>,
    due: Notify,
    woken: Notify,
    /// The annotations of Agents.
    pub(crate) wakes: Wakes,
}

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<Owner, Entry>,
    woken: HashSet<Owner>,
}

#[derive(Debug)]
struct Entry {
    scaled: Scaled,
    memory: Memory,
    at: Instant,
    is_taken: bool,
}

impl Scaling {
    /// Without owners. `interval` is the least time between two polls for one.
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            interval,
            inner: Mutex::default(),
            due: Notify::new(),
            woken: Notify::new(),
            wakes: Wakes::default(),
        }
    }

    /// Scales the workers of an owner from now on. New settings are acted on at once.
    pub(crate) fn set(&self, scaled: Scaled, now: Instant) {
        let mut inner = self.lock();
        let key = scaled.key();
        if inner.entries.get(&key).is_some_and(|entry| entry.scaled == scaled) {
            return;
        }
        let entry = Entry {
            scaled,
            memory: Memory::default(),
            at: now,
            is_taken: false,
        };
        inner.entries.insert(key, entry);
        drop(inner);
        self.due.notify_one();
    }

    /// Leaves the number of an owner's workers to others.
    pub(crate) fn remove(&self, kind: OwnerKind, owner: &NamespacedName) {
        let mut inner = self.lock();
        let key = (kind, owner.clone());
        inner.entries.remove(&key);
        inner.woken.remove(&key);
    }

    /// Whether the operator scales the workers of an owner.
    pub(crate) fn has(&self, kind: OwnerKind, owner: &NamespacedName) -> bool {
        self.lock().entries.contains_key(&(kind, owner.clone()))
    }

    /// A message came for an Agent that these workers run.
    pub(crate) fn wake(&self, kind: OwnerKind, owner: &NamespacedName) {
        let mut inner = self.lock();
        let key = (kind, owner.clone());
        if inner.entries.contains_key(&key) && inner.woken.insert(key) {
            drop(inner);
            self.woken.notify_one();
        }
    }

    /// The owners that were woken since the last call.
    pub(super) fn take_woken(&self) -> Vec<Scaled> {
        let mut inner = self.lock();
        let woken = std::mem::take(&mut inner.woken);
        let entries = woken.iter().filter_map(|key| inner.entries.get(key));
        entries.map(|entry| entry.scaled.clone()).collect()
    }

    /// The owner that has waited longest for a poll; otherwise the time of the next one.
    pub(super) fn take_due(&self, now: Instant) -> Result<(Scaled, Memory), Option<Instant>> {
        let mut inner = self.lock();
        let waiting = inner.entries.values_mut().filter(|entry| !entry.is_taken);
        match waiting.min_by_key(|entry| entry.at) {
            Some(entry) if entry.at <= now => {
                entry.is_taken = true;
                Ok((entry.scaled.clone(), entry.memory))
            }
            next => Err(next.map(|entry| entry.at)),
        }
    }

    /// Ends a poll. What was seen under other settings is forgotten.
    pub(super) fn polled(&self, scaled: &Scaled, memory: Memory, next: Next, now: Instant) {
        let mut inner = self.lock();
        let interval = match next {
            Next::Regular => interval(inner.entries.len(), self.interval),
            Next::AfterSleep => AFTER_SLEEP,
        };
        if let Some(entry) = inner.entries.get_mut(&scaled.key())
            && entry.scaled == *scaled
        {
            entry.memory = memory;
            entry.at = now + interval;
            entry.is_taken = false;
        }
    }

    /// Returns when another owner may be due than at the last call.
    pub(super) async fn changed(&self) {
        self.due.notified().await;
    }

    /// Returns when somebody was woken.
    pub(super) async fn somebody_woken(&self) {
        self.woken.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When Temporal is polled for an owner again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// After the interval.
    Regular,
    /// Soon, because the last worker went.
    AfterSleep,
}

/// The time between two polls for each of so many owners: the rate of requests bounds it from below.
fn interval(owners: usize, least: Duration) -> Duration {
    let owners = u32::try_from(owners).unwrap_or(u32::MAX);
    let by_rate = rate_limit::INTERVAL.saturating_mul(owners.saturating_mul(QUERIES_PER_POLL));
    by_rate.max(least)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(15);

    fn scaled(name: &str, max: i32) -> Scaled {
        Scaled {
            owner: WorkerOwner {
                kind: OwnerKind::Agent,
                key: NamespacedName::new("team", name),
                uid: None,
                owner_reference: None,
            },
            object_reference: ObjectReference::default(),
            settings: serde_json::from_value(json!({ "maxReplicas": max })).unwrap(),
        }
    }

    #[test]
    fn a_thousand_owners_are_polled_for_within_a_minute_and_few_as_often_as_by_an_hpa() {
        assert_eq!(interval(375, INTERVAL), INTERVAL);
        assert_eq!(interval(1_000, INTERVAL), Duration::from_secs(40));
        assert_eq!(interval(1_500, INTERVAL), Duration::from_mins(1));
    }

    #[test]
    fn an_owner_is_due_at_once_then_after_the_interval_and_never_twice_at_a_time() {
        let scaling = Scaling::new(INTERVAL);
        let now = Instant::now();
        scaling.set(scaled("a", 1), now);
        scaling.set(scaled("b", 1), now + Duration::from_secs(1));
        let (first, memory) = scaling.take_due(now).unwrap();
        assert_eq!(first, scaled("a", 1));
        let later = now + Duration::from_secs(1);
        assert_eq!(scaling.take_due(now), Err(Some(later)));
        assert_eq!(scaling.take_due(later).unwrap().0, scaled("b", 1));
        assert_eq!(scaling.take_due(later), Err(None), "both are polled for");
        scaling.polled(&first, memory, Next::Regular, now);
        assert_eq!(scaling.take_due(later), Err(Some(now + INTERVAL)));
        // The same again changes nothing, other settings are due at once.
        scaling.set(scaled("a", 1), later);
        assert_eq!(scaling.take_due(later), Err(Some(now + INTERVAL)));
        scaling.set(scaled("a", 2), later);
        let (second, _) = scaling.take_due(later).unwrap();
        assert_eq!(second, scaled("a", 2));
        // The end of a poll under earlier settings does not count.
        scaling.polled(&first, memory, Next::Regular, later);
        assert_eq!(scaling.take_due(later), Err(None));
        scaling.polled(&second, memory, Next::AfterSleep, later);
        assert_eq!(scaling.take_due(later), Err(Some(later + AFTER_SLEEP)));
        scaling.remove(OwnerKind::Agent, &NamespacedName::new("team", "a"));
        assert_eq!(scaling.take_due(later), Err(None));
    }

    #[tokio::test]
    async fn many_messages_wake_an_owner_once_and_only_one_that_is_scaled() {
        let scaling = Scaling::new(INTERVAL);
        let key = NamespacedName::new("team", "a");
        scaling.wake(OwnerKind::Agent, &key);
        assert_eq!(scaling.take_woken(), []);
        scaling.set(scaled("a", 1), Instant::now());
        for _ in 0..3 {
            scaling.wake(OwnerKind::Agent, &key);
        }
        scaling.wake(OwnerKind::Pool, &key);
        scaling.somebody_woken().await;
        assert_eq!(scaling.take_woken(), [scaled("a", 1)]);
        assert_eq!(scaling.take_woken(), []);
    }
}
