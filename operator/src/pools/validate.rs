//! Turns a WorkerPool and its Secrets into workers, or into errors. Pure.

use steadfast_crds::WorkerPool;

use crate::{
    agents::{
        dereference::Secrets,
        validate::{Workers, credentials, pod_template},
    },
    hashing::keyed_hash::KeyedHash,
    settings::Settings,
    validation::{ValidationError, check_depth},
};

/// The workers of a WorkerPool; `None` if there is any error.
pub fn validate(
    pool: &WorkerPool,
    secrets: &Secrets,
    settings: &Settings,
    hash: &KeyedHash,
) -> Result<(Option<Workers>, Vec<ValidationError>), serde_json::Error> {
    let spec = &pool.spec;
    let namespace = pool.metadata.namespace.as_deref().unwrap_or_default();
    let mut errors = Vec::new();
    errors.extend(check_depth(spec)?);
    credentials::check_names(&spec.credentials, &mut errors);
    let overlay = pod_template::check(&spec.worker, &spec.credentials, settings, &mut errors);
    let hashes = credentials::check_secrets(&spec.credentials, namespace, secrets, settings, &mut errors);
    let workers = errors.is_empty().then(|| {
        let hash = hash.digest_all(&hashes);
        Workers::new(&spec.worker, overlay, &spec.credentials, hash, settings)
    });
    Ok((workers, errors))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use serde_json::json;

    use super::*;
    use crate::{
        agents::{build::worker_objects, identity::WorkerOwner},
        hashing::secret_value::SecretValue,
        stages,
    };

    fn pool() -> WorkerPool {
        serde_json::from_value(json!({
            "apiVersion": "steadfast.dev/v1alpha1",
            "kind": "WorkerPool",
            "metadata": { "name": "shared", "namespace": "team", "uid": "u" },
            "spec": {
                "worker": { "replicas": 3 },
                "credentials": [{ "envVarName": "KEY", "secretName": "openai", "secretKey": "key" }],
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_pool_has_one_deployment_with_its_credentials_and_nothing_of_an_agent() {
        let hash = KeyedHash::new(b"key").unwrap();
        let keys = BTreeMap::from([("key".to_owned(), SecretValue::of(b"sk-1", &hash))]);
        let secrets = BTreeMap::from([("openai".to_owned(), Some(Arc::new(keys)))]);
        let settings = stages::settings("demo");
        let (workers, errors) = validate(&pool(), &secrets, &settings, &hash).unwrap();
        assert_eq!(errors, []);
        let objects = worker_objects(&WorkerOwner::of_pool(&pool()), &workers.unwrap(), &settings);
        let deployment = serde_json::to_value(objects.deployment).unwrap();
        assert_eq!(deployment["metadata"]["name"], "pool-shared");
        assert_eq!(deployment["metadata"]["ownerReferences"][0]["kind"], "WorkerPool");
        assert_eq!(deployment["spec"]["replicas"], 3);
        assert_eq!(
            deployment["spec"]["selector"]["matchLabels"],
            json!({ "steadfast.dev/worker-pool": "shared", "app.kubernetes.io/managed-by": "steadfast" })
        );
        let pod = &deployment["spec"]["template"]["spec"];
        assert_eq!(pod["serviceAccountName"], "pool-shared");
        assert_eq!(
            pod["containers"][0]["env"],
            json!([
                { "name": "STEADFAST_INSTALL", "value": "demo" },
                { "name": "STEADFAST_NAMESPACE", "value": "team" },
                { "name": "STEADFAST_WORKER_POOL", "value": "shared" },
                { "name": "STEADFAST_TASK_QUEUE", "value": "demo/team/pool/shared" },
                { "name": "STEADFAST_ADMIN_ADDRESS", "value": "0.0.0.0:8081" },
                { "name": "STEADFAST_DRAIN_TIMEOUT_SECONDS", "value": "120" },
                { "name": "KEY", "valueFrom": { "secretKeyRef": { "name": "openai", "key": "key" } } },
            ])
        );
    }

    #[test]
    fn a_pool_without_its_secret_has_no_workers() {
        let (settings, hash) = (stages::settings("demo"), KeyedHash::new(b"key").unwrap());
        let (workers, errors) = validate(&pool(), &BTreeMap::new(), &settings, &hash).unwrap();
        assert_eq!(workers, None);
        assert_eq!(errors[0].reason.as_str(), "SecretNotFound");
    }
}
