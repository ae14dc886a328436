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
use steadfast_crds::names::{CREDENTIALS_HASH_ANNOTATION, MANAGED_BY, MANAGED_BY_LABEL};

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
    metadata.labels.get_or_insert_default().extend(labels(owner));
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
