//! When objects reach a state, seen by a watch as any client of the API server sees it.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _};
use kube::{
    Api, ResourceExt as _,
    api::DynamicObject,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant as Deadline, timeout_at},
};

/// Whether an object has reached a state.
pub(super) type State = Arc<dyn Fn(&DynamicObject) -> bool + Send + Sync>;

pub(super) fn state(reached: impl Fn(&DynamicObject) -> bool + Send + Sync + 'static) -> State {
    Arc::new(reached)
}

/// When each object, by `namespace/name`, was first seen in each of the states.
type Seen = Vec<BTreeMap<String, Instant>>;

/// A watch of one kind. It ends with the value.
#[derive(Debug)]
pub(super) struct Arrivals {
    seen: watch::Receiver<Seen>,
    task: JoinHandle<()>,
}

impl Arrivals {
    /// Watches for these states from now on.
    pub(super) fn watch(api: Api<DynamicObject>, states: Vec<State>) -> Self {
        let (sender, seen) = watch::channel(vec![BTreeMap::new(); states.len()]);
        let task = tokio::spawn(async move {
            let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
            loop {
                match events.try_next().await {
                    Ok(Some(Event::Apply(object) | Event::InitApply(object))) => note(&sender, &object, &states),
                    Ok(Some(_)) => {}
                    Ok(None) => return,
                    // The watcher begins again by itself.
                    Err(error) => tracing::debug!("a watch: {:#}", anyhow::Error::from(error)),
                }
            }
        });
        Self { seen, task }
    }

    /// Waits until so many objects have reached the state with this index, and returns when each has.
    pub(super) async fn until(
        &mut self,
        state: usize,
        count: usize,
        limit: Duration,
    ) -> anyhow::Result<BTreeMap<String, Instant>> {
        let is_enough = |seen: &Seen| seen.get(state).is_some_and(|reached| reached.len() >= count);
        let deadline = Deadline::now() + limit;
        let reached = match timeout_at(deadline, self.seen.wait_for(is_enough)).await {
            Ok(seen) => seen.context("the watch has ended")?.get(state).cloned(),
            Err(_elapsed) => None,
        };
        let so_far = self.count(state);
        reached.with_context(|| format!("{so_far} of {count} objects have reached the state after {limit:?}"))
    }

    /// How many objects have reached the state with this index.
    pub(super) fn count(&self, state: usize) -> usize {
        self.seen.borrow().get(state).map_or(0, BTreeMap::len)
    }
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn note(sender: &watch::Sender<Seen>, object: &DynamicObject, states: &[State]) {
    let now = Instant::now();
    let key = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
    sender.send_if_modified(|seen| {
        let mut changed = false;
        for (reached, state) in seen.iter_mut().zip(states) {
            if !reached.contains_key(&key) && state(object) {
                reached.insert(key.clone(), now);
                changed = true;
            }
        }
        changed
    });
}

/// Whether a condition of the newest generation is true.
pub(super) fn has_condition(object: &DynamicObject, condition: &str) -> bool {
    let status = &object.data["status"];
    let observed = status["observedGeneration"].as_i64() == object.metadata.generation;
    let conditions = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    observed
        && conditions
            .iter()
            .any(|one| one["type"] == condition && one["status"] == "True")
}

/// Whether all pods of a Deployment are of its newest template, and available.
pub(super) fn is_available(object: &DynamicObject) -> bool {
    let (spec, status) = (&object.data["spec"], &object.data["status"]);
    let wanted = spec["replicas"].as_i64();
    status["observedGeneration"].as_i64() == object.metadata.generation
        && status["updatedReplicas"].as_i64() == wanted
        && status["availableReplicas"].as_i64() == wanted
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(data: serde_json::Value) -> DynamicObject {
        let mut object = DynamicObject {
            types: None,
            metadata: kube::core::ObjectMeta::default(),
            data,
        };
        object.metadata.generation = Some(2);
        object
    }

    #[test]
    fn a_condition_of_an_older_generation_does_not_count() {
        let status = |generation: i64| {
            let conditions = json!([{ "type": "Ready", "status": "True" }]);
            object(json!({ "status": { "observedGeneration": generation, "conditions": conditions } }))
        };
        assert!(has_condition(&status(2), "Ready"));
        assert!(!has_condition(&status(1), "Ready"));
        assert!(!has_condition(&status(2), "Accepted"));
    }

    #[test]
    fn a_deployment_with_an_old_pod_is_not_available() {
        let status = |updated: i64| {
            object(json!({
                "spec": { "replicas": 2 },
                "status": { "observedGeneration": 2, "availableReplicas": 2, "updatedReplicas": updated },
            }))
        };
        assert!(is_available(&status(2)));
        assert!(!is_available(&status(1)));
    }
}
