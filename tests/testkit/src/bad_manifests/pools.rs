//! WorkerPools that are wrong.

use serde_json::{Value, json};
use steadfast_crds::conditions::Reason;

use super::{BadManifest, Verdict::Refused, no_credential, not_accepted, pool, table};

fn credential(variable: &str, secret: &str, key: &str) -> Value {
    json!({"envVarName": variable, "secretName": secret, "secretKey": key})
}

/// By the API server.
pub(super) fn refused() -> Vec<BadManifest> {
    table(
        pool,
        [
            (
                "a-pool-whose-name-has-more-than-forty-characters",
                json!({}),
                Refused("a WorkerPool's name is a DNS label of at most 40 characters"),
            ),
            (
                "negative-pool",
                json!({"worker": {"replicas": -1}}),
                Refused("spec.worker.replicas"),
            ),
            (
                "pool-of-an-agent",
                json!({"instructions": "Answer."}),
                Refused("unknown field \"spec.instructions\""),
            ),
            (
                "pool-that-drains-in-days",
                json!({"worker": {"replicas": 0, "drainTimeout": "1d"}}),
                Refused("spec.worker.drainTimeout"),
            ),
            (
                "pool-with-an-unknown-rollout",
                json!({"worker": {"replicas": 0, "rollout": "Canary"}}),
                Refused("spec.worker.rollout"),
            ),
            (
                "pool-with-a-reserved-variable",
                json!({"credentials": [credential("REDIS_URL", "present", "key")]}),
                Refused("spec.credentials[0].envVarName"),
            ),
            (
                "pool-with-a-variable-twice",
                json!({"credentials": [credential("TOKEN", "present", "key"), credential("TOKEN", "present", "key")]}),
                Refused("spec.credentials"),
            ),
        ],
    )
}

/// By the operator.
pub(super) fn unmet() -> Vec<BadManifest> {
    table(
        pool,
        [
            (
                "pool-with-a-broken-pod-template",
                json!({"worker": {"replicas": 0, "podTemplate": {"spec": {"containers": "none"}}}}),
                not_accepted(Reason::InvalidPodTemplate, "worker.podTemplate is not a pod template: "),
            ),
            (
                "pool-with-rights-of-another-account",
                json!({"worker": {"replicas": 0, "podTemplate": {"spec": {
                    "containers": [], "serviceAccountName": "admin",
                }}}}),
                not_accepted(
                    Reason::ServiceAccountNotAllowed,
                    "worker.podTemplate names the ServiceAccount \"admin\"",
                ),
            ),
            (
                "pool-with-another-image",
                json!({"worker": {"replicas": 0, "podTemplate": {"spec": {"containers": [{"name": "worker", "image": "x"}]}}}}),
                not_accepted(
                    Reason::PodTemplateFieldReserved,
                    "worker.podTemplate sets image of the container \"worker\"",
                ),
            ),
            (
                "pool-without-its-secret",
                json!({"credentials": [credential("TOKEN", "none", "key")]}),
                no_credential(
                    Reason::SecretNotFound,
                    "Secret \"none\" does not exist; create it with: ",
                ),
            ),
            (
                "pool-without-its-key",
                json!({"credentials": [credential("TOKEN", "present", "none")]}),
                no_credential(
                    Reason::SecretKeyNotFound,
                    "Secret \"present\" has no key \"none\", from which TOKEN is read",
                ),
            ),
        ],
    )
}
