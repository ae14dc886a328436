//! The owners of workers that are scaled, when Temporal is polled for each, and who is to wake.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::api::core::v1::ObjectReference;
use steadfast_crds::worker::AutoscalingSettings;
use tokio::{sync::Notify, time::Instant};

use crate::{
    agents::identity::WorkerOwner,
    kube::owner::Owner,
    rate_limit,
    scaling::{plan::Memory, wake::Wakes},
    work_queue::WorkQueue,
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
    pub(crate) fn forget(&self, owner: &Owner) {
        self.lock().remove(owner);
    }

    pub(super) fn is_known(&self, owner: &Owner, state: &ReplicasOwner) -> bool {
        self.lock().get(owner) == Some(state)
    }

    pub(super) fn set(&self, owner: Owner, state: ReplicasOwner) {
        self.lock().insert(owner, state);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Owner, ReplicasOwner>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

/// The owners whose workers are scaled.
#[derive(Debug)]
pub(crate) struct Scaling {
    /// The least time between two polls for one owner.
    interval: Duration,
    polls: WorkQueue<Scaled, Memory>,
    woken: Mutex<HashSet<Owner>>,
    somebody_woken: Notify,
    /// The annotations of Agents.
    pub(crate) wakes: Wakes,
}

impl Scaling {
    /// Without owners. `interval` is the least time between two polls for one.
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            interval,
            polls: WorkQueue::default(),
            woken: Mutex::default(),
            somebody_woken: Notify::new(),
            wakes: Wakes::default(),
        }
    }

    /// Scales the workers of an owner from now on. New settings are acted on at once.
    pub(crate) fn set(&self, scaled: Scaled, now: Instant) {
        self.polls
            .set(scaled.owner.as_key(), scaled, now, |_| Memory::default());
    }

    /// Leaves the number of an owner's workers to others.
    pub(crate) fn remove(&self, owner: &Owner) {
        self.polls.remove(owner);
        self.lock_woken().remove(owner);
    }

    /// Whether the operator scales the workers of an owner.
    pub(crate) fn has(&self, owner: &Owner) -> bool {
        self.polls.get(owner, |_, _| ()).is_some()
    }

    /// A message came for an Agent that these workers run.
    pub(crate) fn wake(&self, owner: &Owner) {
        if self.has(owner) && self.lock_woken().insert(owner.clone()) {
            self.somebody_woken.notify_one();
        }
    }

    /// The owners that were woken since the last call.
    pub(super) fn take_woken(&self) -> Vec<Scaled> {
        let woken = std::mem::take(&mut *self.lock_woken());
        let scaled = |owner| self.polls.get(owner, |scaled, _| scaled.clone());
        woken.iter().filter_map(scaled).collect()
    }

    /// Polls for each owner when it is due, at most `concurrency` at a time. Works until dropped.
    pub(super) async fn poll_all<P: Future<Output = ()>>(
        &self,
        concurrency: usize,
        poll: impl Fn(Scaled, Memory) -> P,
    ) {
        let poll = |_, scaled, memory| poll(scaled, memory);
        self.polls.run(concurrency, poll).await;
    }

    /// Ends a poll. What was seen under other settings is forgotten.
    pub(super) fn polled(&self, scaled: &Scaled, memory: Memory, next: Next, now: Instant) {
        let pause = match next {
            Next::Regular => interval(self.polls.len(), self.interval),
            Next::AfterSleep => AFTER_SLEEP,
        };
        self.polls.done(&scaled.owner.as_key(), scaled, memory, now + pause);
    }

    /// Returns when somebody was woken.
    pub(super) async fn somebody_woken(&self) {
        self.somebody_woken.notified().await;
    }

    fn lock_woken(&self) -> MutexGuard<'_, HashSet<Owner>> {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner)
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
    use crate::kube::{namespaced_name::NamespacedName, owner::OwnerKind};

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
        let take = |now| scaling.polls.take(now).map(|(_, scaled, memory)| (scaled, memory));
        let (first, memory) = take(now).unwrap();
        assert_eq!(first, scaled("a", 1));
        let later = now + Duration::from_secs(1);
        assert_eq!(take(now), Err(Some(later)));
        assert_eq!(take(later).unwrap().0, scaled("b", 1));
        assert_eq!(take(later), Err(None), "both are polled for");
        scaling.polled(&first, memory, Next::Regular, now);
        assert_eq!(take(later), Err(Some(now + INTERVAL)));
        // The same again changes nothing, other settings are due at once.
        scaling.set(scaled("a", 1), later);
        assert_eq!(take(later), Err(Some(now + INTERVAL)));
        scaling.set(scaled("a", 2), later);
        let (second, _) = take(later).unwrap();
        assert_eq!(second, scaled("a", 2));
        // The end of a poll under earlier settings does not count.
        scaling.polled(&first, memory, Next::Regular, later);
        assert_eq!(take(later), Err(None));
        scaling.polled(&second, memory, Next::AfterSleep, later);
        assert_eq!(take(later), Err(Some(later + AFTER_SLEEP)));
        scaling.remove(&first.owner.as_key());
        assert_eq!(take(later), Err(None));
    }

    #[tokio::test]
    async fn many_messages_wake_an_owner_once_and_only_one_that_is_scaled() {
        let scaling = Scaling::new(INTERVAL);
        let key = scaled("a", 1).owner.as_key();
        scaling.wake(&key);
        assert_eq!(scaling.take_woken(), []);
        scaling.set(scaled("a", 1), Instant::now());
        for _ in 0..3 {
            scaling.wake(&key);
        }
        scaling.wake(&(OwnerKind::Pool, key.1));
        scaling.somebody_woken().await;
        assert_eq!(scaling.take_woken(), [scaled("a", 1)]);
        assert_eq!(scaling.take_woken(), []);
    }
}
