//! What of a pod belongs to the operator: a pod template of a user may add to it, and change nothing of it. Pure.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use steadfast_crds::{
    agent::Credential,
    conditions::Reason,
    names::{MANAGED_BY_LABEL, OWN_NAMES_PREFIX},
    worker::WorkerSettings,
};

use crate::{
    agents::{
        identity::{ADMIN_PORT, ADMIN_PORT_NAME, ENCRYPTION_KEYS_PATH, ENCRYPTION_VOLUME, WORKER_CONTAINER},
        validate::grace_period_seconds,
        worker_variables,
    },
    settings::Settings,
    validation::ValidationError,
};

/// Checks what a pod template changes.
pub(super) fn check(
    overlay: &PodTemplateSpec,
    worker: &WorkerSettings,
    credentials: &[Credential],
    settings: &Settings,
    errors: &mut Vec<ValidationError>,
) {
    let mut found = Vec::new();
    check_metadata(overlay, &mut found);
    if let Some(spec) = &overlay.spec {
        check_pod(spec, worker, &mut found);
        let own = spec.containers.iter().filter(|it| it.name == WORKER_CONTAINER);
        own.for_each(|container| check_worker(container, credentials, settings, &mut found));
        if let Some(account) = service_account(spec).filter(|_| !settings.allow_service_account_name) {
            let message = format!(
                "worker.podTemplate names the ServiceAccount \"{account}\", whose permissions its pods would have: \
                 remove it, or ask the administrator of the operator for --allow-service-account-name"
            );
            errors.push(ValidationError::not_accepted(Reason::ServiceAccountNotAllowed, message));
        }
    }
    let reserved = found.into_iter().map(|(what, remedy)| {
        let message = format!("worker.podTemplate sets {what}, which the operator sets: {remedy}");
        ValidationError::not_accepted(Reason::PodTemplateFieldReserved, message)
    });
    errors.extend(reserved);
}

/// A field, and what to do.
type Reserved = (String, &'static str);

const REMOVE: &str = "remove it";

fn check_metadata(overlay: &PodTemplateSpec, found: &mut Vec<Reserved>) {
    let Some(metadata) = &overlay.metadata else { return };
    let is_ours = |name: &&String| name.starts_with(OWN_NAMES_PREFIX) || *name == MANAGED_BY_LABEL;
    let labels = metadata.labels.iter().flat_map(|labels| labels.keys()).filter(is_ours);
    found.extend(labels.map(|name| (format!("the label {name}"), REMOVE)));
    let annotations = metadata.annotations.iter().flat_map(|annotations| annotations.keys());
    found.extend(
        annotations
            .filter(is_ours)
            .map(|name| (format!("the annotation {name}"), REMOVE)),
    );
}

fn check_pod(spec: &PodSpec, worker: &WorkerSettings, found: &mut Vec<Reserved>) {
    let least = grace_period_seconds(worker.drain_timeout);
    if let Some(seconds) = spec.termination_grace_period_seconds.filter(|seconds| *seconds < least) {
        found.push((
            format!("terminationGracePeriodSeconds to {seconds}, below the {least} that worker.drainTimeout needs"),
            "shorten worker.drainTimeout, or remove it",
        ));
    }
    let mut volumes = spec.volumes.iter().flatten();
    if volumes.any(|volume| volume.name == ENCRYPTION_VOLUME) {
        found.push((format!("the volume \"{ENCRYPTION_VOLUME}\""), "give yours another name"));
    }
    let ports = spec
        .containers
        .iter()
        .flat_map(|container| container.ports.iter().flatten());
    for port in ports {
        let is_named = port.name.as_deref() == Some(ADMIN_PORT_NAME);
        if port.container_port == ADMIN_PORT || is_named {
            found.push((
                format!("the port {ADMIN_PORT} or its name \"{ADMIN_PORT_NAME}\""),
                "use another port",
            ));
        }
    }
}

fn check_worker(container: &Container, credentials: &[Credential], settings: &Settings, found: &mut Vec<Reserved>) {
    let fields = [
        ("image", container.image.is_some(), "set worker.image"),
        (
            "command",
            container.command.is_some(),
            "set worker.image to an image with that command",
        ),
        (
            "args",
            container.args.is_some(),
            "set worker.image to an image with those arguments",
        ),
        ("readinessProbe", container.readiness_probe.is_some(), REMOVE),
        ("livenessProbe", container.liveness_probe.is_some(), REMOVE),
    ];
    let set = fields.into_iter().filter(|(_, is_set, _)| *is_set);
    found.extend(set.map(|(field, _, remedy)| (format!("{field} of the container \"{WORKER_CONTAINER}\""), remedy)));
    let ours: BTreeSet<&str> = worker_variables::ALL
        .into_iter()
        .chain(settings.worker_variables())
        .chain(credentials.iter().map(|credential| credential.env_var_name.as_str()))
        .collect();
    let variables = container.env.iter().flatten().map(|variable| variable.name.as_str());
    found.extend(variables.filter(|name| ours.contains(name)).map(|name| {
        (
            format!("the variable {name} of the container \"{WORKER_CONTAINER}\""),
            "remove it; the variable of a credential comes from its Secret",
        )
    }));
    let mounts = container.volume_mounts.iter().flatten();
    let over_keys = mounts.filter(|mount| mount.mount_path.trim_end_matches('/') == ENCRYPTION_KEYS_PATH);
    found.extend(over_keys.map(|_| (format!("a mount at {ENCRYPTION_KEYS_PATH}"), "use another path")));
}

fn service_account(spec: &PodSpec) -> Option<&String> {
    // The older name of the field counts where the newer one is empty.
    let names = [&spec.service_account_name, &spec.service_account];
    names.into_iter().flatten().find(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::stages;

    fn settings() -> Settings {
        Settings {
            worker_env: vec!["STEADFAST_ALLOW_LOCAL_MODELS=false".parse().unwrap()],
            worker_secret_env: vec!["REDIS_URL=redis/url".parse().unwrap()],
            ..stages::settings("demo")
        }
    }

    fn errors(template: Value, settings: &Settings) -> Vec<(Reason, String)> {
        let worker: WorkerSettings = serde_json::from_value(json!({ "drainTimeout": "30s" })).unwrap();
        let credentials: Vec<Credential> =
            serde_json::from_value(json!([{ "envVarName": "KEY", "secretName": "s", "secretKey": "k" }])).unwrap();
        let mut errors = Vec::new();
        let overlay = serde_json::from_value(template).unwrap();
        check(&overlay, &worker, &credentials, settings, &mut errors);
        errors.into_iter().map(|error| (error.reason, error.message)).collect()
    }

    fn worker(mut container: Value) -> Value {
        container["name"] = json!("worker");
        json!({ "spec": { "containers": [container] } })
    }

    #[test]
    fn what_the_operator_sets_is_refused_with_what_to_do() {
        for (template, says) in [
            (
                json!({ "metadata": { "labels": { "steadfast.dev/agent": "other" } } }),
                "the label steadfast.dev/agent",
            ),
            (
                json!({ "metadata": { "labels": { "app.kubernetes.io/managed-by": "me" } } }),
                "the label app.kubernetes.io/managed-by",
            ),
            (
                json!({ "metadata": { "annotations": { "steadfast.dev/credentials-hash": "x" } } }),
                "the annotation steadfast.dev/credentials-hash",
            ),
            (
                worker(json!({ "image": "evil:1" })),
                "image of the container \"worker\", which the operator sets: set worker.image",
            ),
            (worker(json!({ "command": ["sh"] })), "command of the container"),
            (worker(json!({ "args": ["--agent=other"] })), "args of the container"),
            (
                worker(json!({ "readinessProbe": { "exec": { "command": ["true"] } } })),
                "readinessProbe",
            ),
            (
                worker(json!({ "livenessProbe": { "exec": { "command": ["true"] } } })),
                "livenessProbe",
            ),
            (
                worker(json!({ "env": [{ "name": "STEADFAST_TASK_QUEUE", "value": "q" }] })),
                "the variable STEADFAST_TASK_QUEUE",
            ),
            (
                worker(json!({ "env": [{ "name": "STEADFAST_ALLOW_LOCAL_MODELS", "value": "true" }] })),
                "STEADFAST_ALLOW_LOCAL_MODELS",
            ),
            (
                worker(json!({ "env": [{ "name": "REDIS_URL", "value": "redis://mine" }] })),
                "REDIS_URL",
            ),
            (
                worker(json!({ "env": [{ "name": "KEY", "value": "x" }] })),
                "the variable KEY",
            ),
            (worker(json!({ "ports": [{ "containerPort": 8081 }] })), "the port 8081"),
            (
                worker(json!({ "ports": [{ "containerPort": 9000, "name": "admin" }] })),
                "the port 8081",
            ),
            (
                worker(json!({ "volumeMounts": [{ "name": "mine", "mountPath": "/etc/steadfast/encryption-keys/" }] })),
                "a mount at",
            ),
            (
                json!({ "spec": { "containers": [], "volumes": [{ "name": "encryption-keys", "emptyDir": {} }] } }),
                "the volume \"encryption-keys\"",
            ),
            (
                json!({ "spec": { "containers": [], "terminationGracePeriodSeconds": 39 } }),
                "terminationGracePeriodSeconds to 39, below the 40 that worker.drainTimeout needs",
            ),
        ] {
            let found = errors(template.clone(), &settings());
            let [(reason, message)] = found.as_slice() else {
                panic!("{template}: {found:?}")
            };
            assert_eq!(*reason, Reason::PodTemplateFieldReserved);
            assert!(message.contains(says), "{template}: {message}");
        }
    }

    #[test]
    fn another_service_account_needs_a_setting_of_the_operator() {
        for field in ["serviceAccountName", "serviceAccount"] {
            let template = json!({ "spec": { "containers": [], field: "admin" } });
            let found = errors(template.clone(), &settings());
            let [(reason, message)] = found.as_slice() else {
                panic!("{found:?}")
            };
            assert_eq!(*reason, Reason::ServiceAccountNotAllowed);
            assert!(
                message.contains("\"admin\"") && message.contains("--allow-service-account-name"),
                "{message}"
            );
            let allowing = Settings {
                allow_service_account_name: true,
                ..settings()
            };
            assert_eq!(errors(template, &allowing), []);
        }
    }

    #[test]
    fn what_is_added_to_the_pod_is_accepted() {
        for template in [
            json!({ "metadata": { "labels": { "team": "a" }, "annotations": { "note": "kept" } } }),
            worker(json!({
                "env": [{ "name": "RUST_BACKTRACE", "value": "1" }, { "name": "STEADFAST_CACHE_MIB", "value": "64" }],
                "ports": [{ "containerPort": 9000, "name": "other" }],
                "volumeMounts": [{ "name": "ca", "mountPath": "/etc/ssl/own" }],
                "startupProbe": { "httpGet": { "path": "/livez", "port": "admin" } },
            })),
            json!({ "spec": { "terminationGracePeriodSeconds": 40, "containers": [
                { "name": "proxy", "image": "proxy:1", "command": ["proxy"], "env": [{ "name": "KEY", "value": "own" }] },
            ] } }),
        ] {
            assert_eq!(errors(template.clone(), &settings()), [], "{template}");
        }
    }
}
