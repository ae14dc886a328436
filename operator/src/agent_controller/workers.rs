//! How an Agent's workers fare, from its Deployment and pods. Decides what a
//! person is told when a rollout does not finish. Pure; messages hold nothing
//! that changes by itself.

use std::sync::Arc;

use k8s_openapi::api::{
    apps::v1::{Deployment, DeploymentStatus},
    core::v1::{ContainerStatus, Pod},
};
use steadfast_crds::{
    agent::WorkersStatus,
    conditions::{ConditionType, Reason},
};

use crate::{agent_controller::build::deployment::WORKER_CONTAINER, conditions::Finding};

/// What became of the workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessment {
    /// The condition WorkersAvailable.
    pub finding: Finding,
    /// Whether things still move by themselves.
    pub progress: Progress,
    /// Counts; none without a Deployment.
    pub counts: Option<WorkersStatus>,
}

/// Whether things still move by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// As wanted.
    Done,
    /// Not yet.
    Moving,
    /// No longer.
    Stuck,
}

/// Looks at the Deployment and, when it is not as wanted, at its pods.
#[must_use]
pub fn assess(deployment: Option<&Deployment>, pods: &[Arc<Pod>]) -> Assessment {
    let Some(deployment) = deployment else {
        return Assessment {
            finding: fails(Reason::NotDeployed, "no workers have been deployed"),
            progress: Progress::Moving,
            counts: None,
        };
    };
    let status = deployment.status.clone().unwrap_or_default();
    let desired = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let observed = status.observed_generation >= deployment.metadata.generation;
    let total = status.replicas.unwrap_or(0);
    let updated = if observed {
        status.updated_replicas.unwrap_or(0)
    } else {
        0
    };
    let available = status.available_replicas.unwrap_or(0);
    let counts = WorkersStatus {
        desired,
        updated,
        available,
        ready: format!("{available}/{desired}"),
    };
    let complete = observed && updated == desired && total == updated && available == desired;
    let (finding, progress) = if complete {
        (complete_finding(desired), Progress::Done)
    } else {
        incomplete(&status, &counts, observed && total == updated, pods)
    };
    Assessment {
        finding,
        progress,
        counts: Some(counts),
    }
}

fn complete_finding(desired: i32) -> Finding {
    match desired {
        0 => Finding::holds(ConditionType::WorkersAvailable, Reason::ScaledToZero, "replicas is 0"),
        1 => holds("1 worker is available"),
        _ => holds(&format!("{desired} workers are available")),
    }
}

fn incomplete(
    status: &DeploymentStatus,
    counts: &WorkersStatus,
    rolled_out: bool,
    pods: &[Arc<Pod>],
) -> (Finding, Progress) {
    let stuck = condition(status, "Progressing").is_some_and(|(value, _)| value == "False");
    let progress = if stuck { Progress::Stuck } else { Progress::Moving };
    if let Some(finding) = newest_first(pods).into_iter().find_map(trouble) {
        return (finding, progress);
    }
    if let Some(("True", message)) = condition(status, "ReplicaFailure") {
        return (
            fails(Reason::PodsNotCreated, &format!("pods are refused: {message}")),
            progress,
        );
    }
    let WorkersStatus {
        desired,
        updated,
        available,
        ..
    } = counts;
    let finding = if stuck {
        fails(
            Reason::RolloutStuck,
            &format!(
                "the rollout makes no progress: {updated} of {desired} workers are of the newest pod template, {available} available"
            ),
        )
    } else if rolled_out && updated == desired {
        fails(
            Reason::WorkersUnavailable,
            &format!("{available} of {desired} workers are available"),
        )
    } else {
        fails(
            Reason::RollingOut,
            &format!("{updated} of {desired} workers are of the newest pod template, {available} available"),
        )
    };
    (finding, progress)
}

fn condition<'a>(status: &'a DeploymentStatus, type_: &str) -> Option<(&'a str, &'a str)> {
    let found = status.conditions.iter().flatten().find(|c| c.type_ == type_)?;
    Some((found.status.as_str(), found.message.as_deref().unwrap_or_default()))
}

fn newest_first(pods: &[Arc<Pod>]) -> Vec<&Pod> {
    let mut pods: Vec<&Pod> = pods
        .iter()
        .map(Arc::as_ref)
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .collect();
    let created = |pod: &Pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    pods.sort_by(|a, b| {
        created(b)
            .cmp(&created(a))
            .then_with(|| a.metadata.name.cmp(&b.metadata.name))
    });
    pods
}

/// Why a pod will not become ready by waiting.
fn trouble(pod: &Pod) -> Option<Finding> {
    let status = pod.status.as_ref()?;
    let statuses = status
        .init_container_statuses
        .iter()
        .chain(&status.container_statuses)
        .flatten();
    statuses
        .filter(|container| !container.ready)
        .find_map(container_trouble)
        .or_else(|| {
            let unscheduled = status.conditions.iter().flatten().find(|c| {
                c.type_ == "PodScheduled" && c.status == "False" && c.reason.as_deref() == Some("Unschedulable")
            })?;
            let message = unscheduled.message.as_deref().unwrap_or_default();
            Some(fails(
                Reason::Unschedulable,
                &format!("no node takes a worker: {message}"),
            ))
        })
}

fn container_trouble(container: &ContainerStatus) -> Option<Finding> {
    let state = container.state.as_ref();
    let waiting = state.and_then(|state| state.waiting.as_ref());
    let waiting_reason = waiting
        .and_then(|waiting| waiting.reason.as_deref())
        .unwrap_or_default();
    let waiting_message = waiting
        .and_then(|waiting| waiting.message.as_deref())
        .unwrap_or_default();
    let image = &container.image;
    match waiting_reason {
        // The kubelet goes back and forth between these two.
        "ErrImagePull" | "ImagePullBackOff" => {
            return Some(fails(
                Reason::ImagePullFailed,
                &format!("image \"{image}\" cannot be pulled (ImagePullBackOff)"),
            ));
        }
        "ErrImageNeverPull" => {
            return Some(fails(
                Reason::ImagePullFailed,
                &format!("image \"{image}\" is not on the node and may not be pulled (ErrImageNeverPull)"),
            ));
        }
        "InvalidImageName" => {
            return Some(fails(
                Reason::ImagePullFailed,
                &format!("\"{image}\" is not the name of an image (InvalidImageName)"),
            ));
        }
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            return Some(fails(
                Reason::ContainerNotStarted,
                &format!(
                    "{} cannot start ({waiting_reason}): {waiting_message}",
                    told_name(container)
                ),
            ));
        }
        _ => {}
    }
    // Between two crashes a container runs for a while: its restarts tell.
    let last = container
        .last_state
        .as_ref()
        .and_then(|state| state.terminated.as_ref());
    let now = state.and_then(|state| state.terminated.as_ref());
    let ended = now.or(last).filter(|ended| ended.exit_code != 0);
    match ended {
        Some(ended) if container.restart_count > 0 || waiting_reason == "CrashLoopBackOff" => {
            let reason = ended.reason.as_deref().filter(|reason| *reason != "Error");
            let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
            Some(fails(
                Reason::CrashLoop,
                &format!(
                    "{} ends soon after it starts: exit code {}{reason}; its log says more",
                    told_name(container),
                    ended.exit_code
                ),
            ))
        }
        _ if waiting_reason == "CrashLoopBackOff" => Some(fails(
            Reason::CrashLoop,
            &format!("{} ends soon after it starts; its log says more", told_name(container)),
        )),
        _ => None,
    }
}

fn told_name(container: &ContainerStatus) -> String {
    if container.name == WORKER_CONTAINER {
        "the worker".to_owned()
    } else {
        format!("container \"{}\"", container.name)
    }
}

fn holds(message: &str) -> Finding {
    Finding::holds(ConditionType::WorkersAvailable, Reason::Available, message)
}

fn fails(reason: Reason, message: &str) -> Finding {
    Finding::fails(ConditionType::WorkersAvailable, reason, message)
}

#[cfg(test)]
mod tests;
