//! The Deployment of an Agent's workers. Nothing of the prompt, the tools or
//! the model is in it: those are in the revision, and pods stay up when they change.

use std::collections::BTreeMap;

use k8s_openapi::{
    DeepMerge as _,
    api::{
        apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment},
        core::v1::{
            Capabilities, Container, ContainerPort, HTTPGetAction, PodSecurityContext, PodSpec, PodTemplateSpec, Probe,
            SeccompProfile, SecurityContext,
        },
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use kube::{ResourceExt as _, api::ObjectMeta};
use steadfast_crds::{
    Agent,
    names::{AGENT_LABEL, CREDENTIALS_HASH_ANNOTATION, MANAGED_BY, MANAGED_BY_LABEL},
};

use crate::agent_controller::{
    build::{labels, owned_metadata, worker_name},
    validate::Workers,
};

/// Name of the container that is ours.
pub const WORKER_CONTAINER: &str = "worker";
/// Where a worker answers probes and shows metrics.
pub const ADMIN_PORT: i32 = 8081;
const ADMIN_PORT_NAME: &str = "admin";
/// What a worker needs after its drain to hand over and end.
const HANDOVER_SECONDS: i64 = 10;

/// The Deployment.
#[must_use]
pub fn deployment(agent: &Agent, workers: &Workers) -> Deployment {
    Deployment {
        metadata: owned_metadata(agent, worker_name(&agent.name_any())),
        spec: Some(DeploymentSpec {
            replicas: Some(workers.replicas),
            selector: LabelSelector {
                match_labels: Some(selector(agent)),
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
            template: pod_template(agent, workers),
            ..DeploymentSpec::default()
        }),
        ..Deployment::default()
    }
}

/// Cannot change once the Deployment exists.
fn selector(agent: &Agent) -> BTreeMap<String, String> {
    BTreeMap::from([
        (AGENT_LABEL.to_owned(), agent.name_any()),
        (MANAGED_BY_LABEL.to_owned(), MANAGED_BY.to_owned()),
    ])
}

fn pod_template(agent: &Agent, workers: &Workers) -> PodTemplateSpec {
    let mut template = PodTemplateSpec {
        metadata: Some(ObjectMeta::default()),
        spec: Some(PodSpec {
            service_account_name: Some(worker_name(&agent.name_any())),
            // A Service called "redis" would otherwise set REDIS_PORT.
            enable_service_links: Some(false),
            termination_grace_period_seconds: Some(grace_period_seconds(workers)),
            security_context: Some(PodSecurityContext {
                run_as_non_root: Some(true),
                seccomp_profile: Some(SeccompProfile {
                    type_: "RuntimeDefault".to_owned(),
                    ..SeccompProfile::default()
                }),
                ..PodSecurityContext::default()
            }),
            containers: vec![container(workers)],
            ..PodSpec::default()
        }),
    };
    if let Some(overlay) = workers.overlay.clone() {
        template.merge_from(overlay);
    }
    // Last, so that no overlay can take them away: they tie pods to the Agent.
    let metadata = template.metadata.get_or_insert_default();
    metadata.labels.get_or_insert_default().extend(labels(agent));
    metadata
        .annotations
        .get_or_insert_default()
        .insert(CREDENTIALS_HASH_ANNOTATION.to_owned(), workers.credentials_hash.clone());
    template
}

fn grace_period_seconds(workers: &Workers) -> i64 {
    i64::try_from(workers.drain_timeout.whole_seconds())
        .unwrap_or(i64::MAX)
        .saturating_add(HANDOVER_SECONDS)
}

fn container(workers: &Workers) -> Container {
    Container {
        name: WORKER_CONTAINER.to_owned(),
        image: Some(workers.image.clone()),
        image_pull_policy: Some(workers.image_pull_policy.to_owned()),
        env: Some(workers.environment.clone()),
        ports: Some(vec![ContainerPort {
            name: Some(ADMIN_PORT_NAME.to_owned()),
            container_port: ADMIN_PORT,
            protocol: Some("TCP".to_owned()),
            ..ContainerPort::default()
        }]),
        resources: Some(workers.resources.clone()),
        // A worker says quickly when it is ready; that is what a rollout waits for.
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
        ..Container::default()
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
