//! Assesses the rollout of the workers of an Agent or of a WorkerPool from their Deployment and pods, and
//! names the cause when the rollout does not finish. Pure; a message contains
//! nothing that changes by itself.

use std::sync::Arc;

use k8s_openapi::api::{
    apps::v1::{Deployment, DeploymentStatus},
    core::v1::{ContainerStatus, Pod},
};
use steadfast_crds::{
    agent::WorkersStatus,
    conditions::{ConditionType, Reason},
};

use crate::{
    agents::{identity::WORKER_CONTAINER, pool_summary::PoolWorkers},
    conditions::ConditionUpdate,
};

/// The state of a rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RolloutStatus {
    /// The condition WorkersAvailable.
    pub(crate) condition: ConditionUpdate,
    /// Whether the rollout still moves.
    pub(crate) progress: Progress,
    /// The number of pods; `None` without a Deployment.
    pub(crate) counts: Option<WorkersStatus>,
}

/// Whether a rollout still moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// All workers are of the newest pod template and available.
    Complete,
    /// The rollout is under way.
    Progressing,
    /// The Deployment's progress deadline has passed.
    Stuck,
}

/// The workers of an Agent on a WorkerPool. The status of the pool counts them and says what is wrong with them.
pub(crate) fn of_pool(name: &str, workers: PoolWorkers) -> RolloutStatus {
    let (condition, progress) = match workers {
        PoolWorkers::Available => (
            available(Reason::Available, &format!("WorkerPool \"{name}\" has workers")),
            Progress::Complete,
        ),
        PoolWorkers::ScaledToZero => (
            available(Reason::ScaledToZero, &format!("replicas of WorkerPool \"{name}\" is 0")),
            Progress::Complete,
        ),
        PoolWorkers::Unavailable => (
            not_available(
                Reason::WorkersUnavailable,
                &format!("WorkerPool \"{name}\" has no worker that is available; its conditions say why"),
            ),
            Progress::Progressing,
        ),
    };
    RolloutStatus {
        condition,
        progress,
        counts: None,
    }
}

/// Assesses the Deployment and, if its rollout is not complete, its pods.
pub(crate) fn assess(deployment: Option<&Deployment>, pods: &[Arc<Pod>]) -> RolloutStatus {
    let Some(deployment) = deployment else {
        return RolloutStatus {
            condition: not_available(Reason::NotDeployed, "no workers have been deployed"),
            progress: Progress::Progressing,
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
    let (condition, progress) = if complete {
        (complete_condition(desired), Progress::Complete)
    } else {
        incomplete(&status, &counts, observed && total == updated, pods)
    };
    RolloutStatus {
        condition,
        progress,
        counts: Some(counts),
    }
}

fn complete_condition(desired: i32) -> ConditionUpdate {
    match desired {
        0 => available(Reason::ScaledToZero, "replicas is 0"),
        1 => available(Reason::Available, "1 worker is available"),
        _ => available(Reason::Available, &format!("{desired} workers are available")),
    }
}

fn incomplete(
    status: &DeploymentStatus,
    counts: &WorkersStatus,
    rolled_out: bool,
    pods: &[Arc<Pod>],
) -> (ConditionUpdate, Progress) {
    let stuck = deployment_condition(status, "Progressing").is_some_and(|(value, _)| value == "False");
    let progress = if stuck { Progress::Stuck } else { Progress::Progressing };
    if let Some(failure) = newest_first(pods).into_iter().find_map(pod_failure) {
        return (failure, progress);
    }
    if let Some(("True", message)) = deployment_condition(status, "ReplicaFailure") {
        return (
            not_available(Reason::PodsNotCreated, &format!("pods are refused: {message}")),
            progress,
        );
    }
    let WorkersStatus {
        desired,
        updated,
        available,
        ..
    } = counts;
    let condition = if stuck {
        not_available(
            Reason::RolloutStuck,
            &format!(
                "the rollout makes no progress: {updated} of {desired} workers are of the newest pod template, {available} available"
            ),
        )
    } else if rolled_out && updated == desired {
        not_available(
            Reason::WorkersUnavailable,
            &format!("{available} of {desired} workers are available"),
        )
    } else {
        not_available(
            Reason::RollingOut,
            &format!("{updated} of {desired} workers are of the newest pod template, {available} available"),
        )
    };
    (condition, progress)
}

fn deployment_condition<'a>(status: &'a DeploymentStatus, type_: &str) -> Option<(&'a str, &'a str)> {
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

/// Why a pod does not become ready by itself.
fn pod_failure(pod: &Pod) -> Option<ConditionUpdate> {
    let status = pod.status.as_ref()?;
    let statuses = status
        .init_container_statuses
        .iter()
        .chain(&status.container_statuses)
        .flatten();
    statuses
        .filter(|container| !container.ready)
        .find_map(container_failure)
        .or_else(|| {
            let unscheduled = status.conditions.iter().flatten().find(|c| {
                c.type_ == "PodScheduled" && c.status == "False" && c.reason.as_deref() == Some("Unschedulable")
            })?;
            let message = unscheduled.message.as_deref().unwrap_or_default();
            Some(not_available(
                Reason::Unschedulable,
                &format!("no node can run a worker: {message}"),
            ))
        })
}

fn container_failure(container: &ContainerStatus) -> Option<ConditionUpdate> {
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
        // The kubelet alternates between these two.
        "ErrImagePull" | "ImagePullBackOff" => {
            return Some(not_available(
                Reason::ImagePullFailed,
                &format!("image \"{image}\" cannot be pulled (ImagePullBackOff)"),
            ));
        }
        "ErrImageNeverPull" => {
            return Some(not_available(
                Reason::ImagePullFailed,
                &format!("image \"{image}\" is not on the node and may not be pulled (ErrImageNeverPull)"),
            ));
        }
        "InvalidImageName" => {
            return Some(not_available(
                Reason::ImagePullFailed,
                &format!("\"{image}\" is not the name of an image (InvalidImageName)"),
            ));
        }
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            return Some(not_available(
                Reason::ContainerNotStarted,
                &format!(
                    "{} cannot start ({waiting_reason}): {waiting_message}",
                    display_name(container)
                ),
            ));
        }
        _ => {}
    }
    // Between two crashes a container runs for a while; the number of restarts is the evidence.
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
            Some(not_available(
                Reason::CrashLoop,
                &format!(
                    "{} exits soon after its start: exit code {}{reason}; see its log",
                    display_name(container),
                    ended.exit_code
                ),
            ))
        }
        _ if waiting_reason == "CrashLoopBackOff" => Some(not_available(
            Reason::CrashLoop,
            &format!("{} exits soon after its start; see its log", display_name(container)),
        )),
        _ => None,
    }
}

fn display_name(container: &ContainerStatus) -> String {
    if container.name == WORKER_CONTAINER {
        "the worker".to_owned()
    } else {
        format!("container \"{}\"", container.name)
    }
}

fn available(reason: Reason, message: &str) -> ConditionUpdate {
    ConditionUpdate::met(ConditionType::WorkersAvailable, reason, message)
}

fn not_available(reason: Reason, message: &str) -> ConditionUpdate {
    ConditionUpdate::not_met(ConditionType::WorkersAvailable, reason, message)
}

#[cfg(test)]
mod tests;
