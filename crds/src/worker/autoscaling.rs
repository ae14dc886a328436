//! How many worker pods the operator keeps: by what waits at Temporal, and none at rest if that is allowed.

use kube_derive::KubeSchema;
use serde::{Deserialize, Serialize};

use super::MAXIMUM_REPLICAS;
use crate::duration::Duration;

/// Bounds of the number of pods, and what changes it. The names are those of HorizontalPodAutoscalers and of KEDA's
/// ScaledObjects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.minReplicas) || self.minReplicas <= self.maxReplicas")
    .message("minReplicas is at most maxReplicas"))]
#[x_kube(validation = Rule::new("!has(self.cooldownPeriod) || (duration(self.cooldownPeriod) >= duration('1m') && \
    duration(self.cooldownPeriod) <= duration('24h'))")
    .message("cooldownPeriod is at least 1m and at most 24h"))]
#[serde(rename_all = "camelCase")]
pub struct AutoscalingSettings {
    /// The fewest pods. With 0, no pod runs while there is nothing to do: a message or a schedule starts one.
    #[serde(default = "default_min_replicas")]
    #[schemars(range(min = 0, max = MAXIMUM_REPLICAS))]
    pub min_replicas: i32,
    /// The most pods.
    #[schemars(range(min = 1, max = MAXIMUM_REPLICAS))]
    pub max_replicas: i32,
    /// Tasks on the Temporal task queue that one pod is to have waiting for it: with more, there are more pods. A task
    /// here is a step of a conversation, for example a model call.
    #[serde(default = "default_target_queue_size")]
    #[schemars(range(min = 1, max = 100_000))]
    pub target_queue_size: i32,
    /// How long fewer pods must be enough before there are fewer, and how long the last pod must have nothing to do
    /// before it goes. From 1m to 24h.
    #[serde(default = "default_cooldown_period")]
    pub cooldown_period: Duration,
}

const fn default_min_replicas() -> i32 {
    1
}

const fn default_target_queue_size() -> i32 {
    5
}

const fn default_cooldown_period() -> Duration {
    Duration::from_seconds(300)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_most_pods_must_be_given() {
        let settings: AutoscalingSettings = serde_json::from_value(json!({ "maxReplicas": 4 })).unwrap();
        assert_eq!(
            serde_json::to_value(settings).unwrap(),
            json!({ "minReplicas": 1, "maxReplicas": 4, "targetQueueSize": 5, "cooldownPeriod": "5m" })
        );
    }
}
