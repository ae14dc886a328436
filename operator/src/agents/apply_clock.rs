//! How long Agents take from an apply until they are Ready. The time begins when the watch tells of a generation that no
//! operator has seen, so the wait in the queue of the controller is a part of it. The clock is that of this process: an
//! operator that starts does not know since when what it finds is waiting, and counts from its own beginning.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use steadfast_crds::{Agent, AgentStatus, conditions::ConditionType};

use crate::{conditions::find, kube::namespaced_name::NamespacedName};

/// The Agents that were applied and are not Ready yet.
#[derive(Debug, Default)]
pub(crate) struct ApplyClock(Mutex<HashMap<NamespacedName, Applied>>);

#[derive(Clone, Copy, Debug)]
struct Applied {
    generation: Option<i64>,
    at: Instant,
}

impl ApplyClock {
    /// The watch tells of an Agent. A generation counts once: the time of the next one begins anew.
    pub(crate) fn observe(&self, key: &NamespacedName, agent: &Agent, now: Instant) {
        let generation = agent.metadata.generation;
        let observed = agent.status.as_ref().and_then(|status| status.observed_generation);
        if generation == observed {
            return;
        }
        let mut waiting = self.lock();
        if waiting.get(key).is_none_or(|applied| applied.generation != generation) {
            waiting.insert(key.clone(), Applied { generation, at: now });
        }
    }

    /// How long the Agent took, when this status is the first that says that it is Ready.
    pub(crate) fn ready(&self, key: &NamespacedName, status: &AgentStatus, now: Instant) -> Option<Duration> {
        let ready = find(&status.conditions, ConditionType::Ready)?;
        let mut waiting = self.lock();
        let applied = waiting.get(key)?;
        if ready.status != "True" || status.observed_generation != applied.generation {
            return None;
        }
        waiting.remove(key).map(|applied| now.duration_since(applied.at))
    }

    /// Forgets an Agent that is gone.
    pub(crate) fn forget(&self, key: &NamespacedName) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<NamespacedName, Applied>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn agent(generation: i64, observed: i64) -> Agent {
        serde_json::from_value(json!({
            "apiVersion": "steadfast.dev/v1alpha1",
            "kind": "Agent",
            "metadata": {"name": "weather", "namespace": "team", "generation": generation},
            "spec": {"instructions": "Answer.", "model": {"name": "m", "apiKeyEnvVar": ""}},
            "status": {"observedGeneration": observed},
        }))
        .unwrap()
    }

    fn status(observed: i64, ready: &str) -> AgentStatus {
        let condition = json!({
            "type": "Ready", "status": ready, "reason": "R", "message": "", "lastTransitionTime": "2026-11-28T00:00:00Z",
        });
        serde_json::from_value(json!({"observedGeneration": observed, "conditions": [condition]})).unwrap()
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_apply_is_counted_once_from_the_watch_until_its_own_generation_is_ready() {
        let (clock, key) = (ApplyClock::default(), NamespacedName::new("team", "weather"));
        let start = Instant::now();
        clock.observe(&key, &agent(1, -1), start);
        // The watch tells of the operator's own writes too.
        clock.observe(&key, &agent(1, -1), start + seconds(2));
        assert_eq!(clock.ready(&key, &status(1, "False"), start + seconds(2)), None);
        let ready = status(1, "True");
        assert_eq!(clock.ready(&key, &ready, start + seconds(5)), Some(seconds(5)));
        assert_eq!(clock.ready(&key, &ready, start + seconds(6)), None);
        clock.observe(&key, &agent(1, 1), start + seconds(6));
        assert_eq!(
            clock.ready(&key, &ready, start + seconds(7)),
            None,
            "it was Ready before"
        );
    }

    #[test]
    fn the_time_of_an_edit_begins_anew_and_what_is_gone_is_forgotten() {
        let (clock, key) = (ApplyClock::default(), NamespacedName::new("team", "weather"));
        let start = Instant::now();
        clock.observe(&key, &agent(1, -1), start);
        clock.observe(&key, &agent(2, 1), start + seconds(60));
        let now = start + seconds(61);
        assert_eq!(
            clock.ready(&key, &status(1, "True"), now),
            None,
            "the edit is not seen yet"
        );
        assert_eq!(clock.ready(&key, &status(2, "True"), now), Some(seconds(1)));

        clock.observe(&key, &agent(3, 2), now);
        clock.forget(&key);
        assert_eq!(clock.ready(&key, &status(3, "True"), now), None);
    }
}
