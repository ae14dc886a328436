//! The part of a WorkerPool that the Agents on it see, and whether it changed. It has
//! nothing that changes during a rollout: a pool of a thousand Agents must not make a
//! thousand writes of each pod that comes and goes.

use std::collections::HashMap;

use steadfast_crds::{WorkerPool, agent::Credential};

use crate::{agents::identity::GuardedPool, kube::namespaced_name::NamespacedName};

/// The part of a WorkerPool that the Agents on it use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolSummary {
    /// The WorkerPool does not exist.
    Missing,
    /// The WorkerPool exists and cannot be decoded, for this reason.
    Invalid(String),
    /// The WorkerPool exists.
    Valid(ValidPool),
}

/// What Agents use of a WorkerPool that can be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidPool {
    /// Its credentials, of which the Agents use names and hosts.
    pub credentials: Vec<Credential>,
    /// Whether anybody serves its Agents.
    pub workers: PoolWorkers,
}

/// Whether anybody serves the Agents of a WorkerPool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolWorkers {
    /// At least one worker, also during a rollout.
    Available,
    /// Nobody, because `replicas` is 0.
    ScaledToZero,
    /// Nobody.
    Unavailable,
}

impl PoolSummary {
    /// The summary of a WorkerPool from the watch.
    #[must_use]
    pub fn of(pool: Option<&GuardedPool>) -> Self {
        match pool.map(|pool| &pool.0) {
            None => Self::Missing,
            Some(Err(invalid)) => Self::Invalid(invalid.to_string()),
            Some(Ok(pool)) => Self::Valid(ValidPool {
                credentials: pool.spec.credentials.clone(),
                workers: PoolWorkers::of(pool),
            }),
        }
    }
}

impl PoolSummary {
    /// Whether anybody serves the Agents of the pool.
    #[must_use]
    pub const fn workers(&self) -> PoolWorkers {
        match self {
            Self::Valid(pool) => pool.workers,
            Self::Missing | Self::Invalid(_) => PoolWorkers::Unavailable,
        }
    }
}

impl PoolWorkers {
    fn of(pool: &WorkerPool) -> Self {
        let counts = pool.status.as_ref().and_then(|status| status.workers.as_ref());
        match counts {
            Some(counts) if counts.available > 0 => Self::Available,
            Some(counts) if counts.desired == 0 => Self::ScaledToZero,
            Some(_) | None => Self::Unavailable,
        }
    }
}

/// The last summary of each WorkerPool.
#[derive(Debug, Default)]
pub(crate) struct PoolSummaries(HashMap<NamespacedName, PoolSummary>);

impl PoolSummaries {
    /// Stores the summary of a WorkerPool. True if it differs from the last one.
    pub(crate) fn update(&mut self, pool: &NamespacedName, summary: PoolSummary) -> bool {
        let changed = self.0.get(pool).unwrap_or(&PoolSummary::Missing) != &summary;
        if summary == PoolSummary::Missing {
            self.0.remove(pool);
        } else if changed {
            self.0.insert(pool.clone(), summary);
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use kube::core::DeserializeGuard;
    use serde_json::json;

    use super::*;

    fn summary(desired: i32, available: i32) -> PoolSummary {
        let pool = json!({
            "apiVersion": "steadfast.dev/v1alpha1", "kind": "WorkerPool",
            "metadata": { "name": "shared", "namespace": "team" },
            "spec": {},
            "status": { "workers": {
                "desired": desired, "updated": 0, "available": available, "ready": format!("{available}/{desired}"),
            } },
        });
        PoolSummary::of(Some(&DeserializeGuard(Ok(serde_json::from_value(pool).unwrap()))))
    }

    #[test]
    fn a_rollout_of_a_pool_that_goes_on_serving_changes_nothing_for_its_agents() {
        let mut summaries = PoolSummaries::default();
        let key = NamespacedName::new("team", "shared");
        for (summary, changed) in [
            (PoolSummary::Missing, false),
            (summary(2, 0), true),
            (summary(2, 1), true),
            (summary(2, 2), false),
            (summary(3, 2), false),
            (summary(0, 0), true),
            (PoolSummary::Missing, true),
        ] {
            assert_eq!(summaries.update(&key, summary.clone()), changed, "{summary:?}");
        }
    }
}
