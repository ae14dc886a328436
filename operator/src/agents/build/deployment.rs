//! The Deployment of the workers of an Agent or of a WorkerPool. It contains nothing of the prompt, the
//! tools or the model: these are in the revision, and pods keep running when
//! they change.

use std::collections::BTreeMap;

use k8s_openapi::{
    DeepMerge as _,
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{
            Capabilities, Container, ContainerPort, HTTPGetAction, PodSecurityContext, PodSpec, PodTemplateSpec, Probe,
            SeccompProfile, SecretVolumeSource, SecurityContext, Volume, VolumeMount,
        },
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use kube::api::ObjectMeta;
use steadfast_crds::names::{
    BUILD_ID_LABEL, CREDENTIALS_HASH_ANNOTATION, MANAGED_BY, MANAGED_BY_LABEL, OLD_VERSION_OF_LABEL,
};

use super::{
    environment,
    metadata::{labels, owned_metadata},
    resources,
};
use crate::{
    agents::{
        identity::{
            ADMIN_PORT, ADMIN_PORT_NAME, ENCRYPTION_KEYS_PATH, ENCRYPTION_VOLUME, WORKER_CONTAINER, WorkerOwner,
        },
        validate::{Workers, grace_period_seconds},
    },
    settings::{Settings, WorkerEncryption},
    versions::{build_id::short_hash, deployments::Version},
};

/// The Deployment of the workers.
pub(super) fn deployment(owner: &WorkerOwner, workers: &Workers, settings: &Settings) -> Deployment {
    Deployment {
        metadata: owned_metadata(owner, owner.worker_name()),
        spec: Some(DeploymentSpec {
            replicas: workers.replicas,
            selector: LabelSelector {
                match_labels: Some(selector(owner)),
                ..LabelSelector::default()
            },
            revision_history_limit: Some(2),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_unavailable: Some(IntOrString::Int(0)),
                    max_surge: Some(IntOrString::String("25%".to_owned())),
                }),
            }),
            template: pod_template(owner, workers, settings),
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    }
}

/// The Deployment of an old version of the workers: their pod template with the image of before. The selector of the
/// owner's Deployment does not select its pods.
pub(super) fn old_version(
    owner: &WorkerOwner,
    workers: &Workers,
    version: &Version,
    settings: &Settings,
) -> Deployment {
    let workers = Workers {
        image: version.image.clone(),
        build_id: Some(version.build_id.clone()),
        replicas: Some(version.replicas),
        ..workers.clone()
    };
    let mut old = deployment(owner, &workers, settings);
    let own = [
        (OLD_VERSION_OF_LABEL, owner.worker_name()),
        (BUILD_ID_LABEL, version.build_id.clone()),
    ]
    .map(|(label, value)| (label.to_owned(), value));
    old.metadata.name = Some(format!("{}-{}", owner.worker_name(), short_hash(&version.build_id)));
    old.metadata.labels.get_or_insert_default().extend(own.clone());
    let spec = old.spec.get_or_insert_default();
    let selector = spec.selector.match_labels.get_or_insert_default();
    selector.remove(owner.kind.label());
    selector.extend(own.clone());
    let pod_labels = spec
        .template
        .metadata
        .get_or_insert_default()
        .labels
        .get_or_insert_default();
    pod_labels.remove(owner.kind.label());
    pod_labels.extend(own);
    old
}

/// The selector of the pods. Kubernetes does not allow a change of it.
fn selector(owner: &WorkerOwner) -> BTreeMap<String, String> {
    BTreeMap::from([
        (owner.kind.label().to_owned(), owner.key.name.clone()),
        (MANAGED_BY_LABEL.to_owned(), MANAGED_BY.to_owned()),
    ])
}

fn pod_template(owner: &WorkerOwner, workers: &Workers, settings: &Settings) -> PodTemplateSpec {
    let mut template = PodTemplateSpec {
        metadata: Some(ObjectMeta::default()),
        spec: Some(PodSpec {
            service_account_name: Some(owner.worker_name()),
            // Otherwise a Service named "redis" would set REDIS_PORT.
            enable_service_links: Some(false),
            termination_grace_period_seconds: Some(grace_period_seconds(workers.drain_timeout)),
            security_context: Some(PodSecurityContext {
                run_as_non_root: Some(true),
                seccomp_profile: Some(SeccompProfile {
                    type_: "RuntimeDefault".to_owned(),
                    ..SeccompProfile::default()
                }),
                ..PodSecurityContext::default()
            }),
            containers: vec![container(owner, workers, settings)],
            volumes: settings
                .worker_encryption
                .as_ref()
                .map(|encryption| vec![key_volume(encryption)]),
            ..PodSpec::default()
        }),
    };
    if let Some(overlay) = workers.overlay.clone() {
        template.merge_from(overlay);
    }
    // After the merge, so that no user can remove the labels and the annotation that tie pods to their owner.
    let metadata = template.metadata.get_or_insert_default();
    let pod_labels = metadata.labels.get_or_insert_default();
    pod_labels.extend(labels(owner));
    let build_id = workers.build_id.clone();
    pod_labels.extend(build_id.map(|build_id| (BUILD_ID_LABEL.to_owned(), build_id)));
    metadata
        .annotations
        .get_or_insert_default()
        .insert(CREDENTIALS_HASH_ANNOTATION.to_owned(), workers.credentials_hash.clone());
    template
}

fn container(owner: &WorkerOwner, workers: &Workers, settings: &Settings) -> Container {
    Container {
        name: WORKER_CONTAINER.to_owned(),
        image: Some(workers.image.clone()),
        image_pull_policy: Some(settings.image_pull_policy.as_str().to_owned()),
        env: Some(environment::variables(owner, workers, settings)),
        ports: Some(vec![ContainerPort {
            name: Some(ADMIN_PORT_NAME.to_owned()),
            container_port: ADMIN_PORT,
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        resources: Some(resources::requirements(workers.resources.as_ref())),
        // A rollout waits for readiness, so the probe is frequent.
        readiness_probe: Some(probe("/readyz", 2)),
        liveness_probe: Some(probe("/livez", 10)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                ..Capabilities::default()
            }),
            ..SecurityContext::default()
        }),
        volume_mounts: settings.worker_encryption.as_ref().map(|_| {
            vec![VolumeMount {
                name: ENCRYPTION_VOLUME.to_owned(),
                mount_path: ENCRYPTION_KEYS_PATH.to_owned(),
                read_only: Some(true),
                ..VolumeMount::default()
            }]
        }),
        ..Container::default()
    }
}

fn key_volume(encryption: &WorkerEncryption) -> Volume {
    Volume {
        name: ENCRYPTION_VOLUME.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(encryption.secret.clone()),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}

fn probe(path: &str, period_seconds: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(ADMIN_PORT_NAME.to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(2),
        failure_threshold: Some(3),
        ..Probe::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use steadfast_crds::worker::{Rollout, WorkerSettings};

    use super::*;
    use crate::{agents::identity::OwnerKind, kube::namespaced_name::NamespacedName, stages};

    fn owner() -> WorkerOwner {
        WorkerOwner {
            kind: OwnerKind::Agent,
            key: NamespacedName::new("team", "weather"),
            uid: None,
            owner_reference: None,
        }
    }

    fn workers(image: &str) -> Workers {
        let settings = WorkerSettings {
            image: Some(image.to_owned()),
            rollout: Some(Rollout::Pinned),
            ..WorkerSettings::default()
        };
        Workers::new(&settings, None, &[], String::new(), &stages::settings("demo"))
    }

    fn variables(deployment: &Value) -> BTreeMap<String, String> {
        let variables = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
            .as_array()
            .unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        variables
            .iter()
            .map(|variable| (text(&variable["name"]), text(&variable["value"])))
            .collect()
    }

    #[test]
    fn an_old_version_is_the_template_of_today_with_the_image_of_before_and_no_selector_has_both() {
        let settings = stages::settings("demo");
        let before = deployment(&owner(), &workers("worker:1"), &settings);
        let version = Version::of(&before, WORKER_CONTAINER).unwrap();
        let newest = workers("worker:2");
        let old = old_version(&owner(), &newest, &version, &settings);
        assert_eq!(Version::of(&old, WORKER_CONTAINER), Some(version.clone()));

        let (newest, old) = (json!(deployment(&owner(), &newest, &settings)), json!(old));
        assert_eq!(newest["metadata"]["name"], "agent-weather");
        let name = format!("agent-weather-{}", short_hash(&version.build_id));
        assert_eq!(old["metadata"]["name"], name.as_str());
        // The watch finds the owner by it.
        assert_eq!(old["metadata"]["labels"]["steadfast.dev/agent"], "weather");
        let selects = |deployment: &Value, of: &Value| {
            let selector = deployment["spec"]["selector"]["matchLabels"]
                .as_object()
                .unwrap()
                .clone();
            let labels = &of["spec"]["template"]["metadata"]["labels"];
            selector.iter().all(|(label, value)| labels[label] == *value)
        };
        assert!(selects(&newest, &newest) && selects(&old, &old));
        assert!(!selects(&newest, &old) && !selects(&old, &newest));
        let [of_newest, of_old] = [variables(&newest), variables(&old)];
        assert_eq!(of_old["TEMPORAL_DEPLOYMENT_NAME"], "demo/team/agent/weather");
        assert_eq!(of_old["TEMPORAL_WORKER_BUILD_ID"], version.build_id);
        assert_ne!(of_newest["TEMPORAL_WORKER_BUILD_ID"], version.build_id);
    }

    #[test]
    fn workers_that_are_not_pinned_have_no_version() {
        let settings = stages::settings("demo");
        let workers = Workers::new(&WorkerSettings::default(), None, &[], String::new(), &settings);
        let built = deployment(&owner(), &workers, &settings);
        assert_eq!(Version::of(&built, WORKER_CONTAINER), None);
        assert!(!json!(built).to_string().contains("BUILD_ID"));
    }
}
