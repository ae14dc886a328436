//! The requests about versions of workers, on Temporal's raw service.

use std::{sync::Arc, time::Duration};

use steadfast_temporal::{TemporalClient, TemporalError, TemporalSettings};
use temporalio_client::grpc::WorkflowService;
use temporalio_common::protos::temporal::api::{
    deployment::v1::WorkerDeploymentVersion,
    enums::v1::WorkerDeploymentVersionStatus,
    workflowservice::v1::{
        DeleteWorkerDeploymentVersionRequest, DescribeWorkerDeploymentRequest, GetSystemInfoRequest,
        SetWorkerDeploymentCurrentVersionRequest,
    },
};

use crate::{
    MANAGER,
    rate_limit::RateLimit,
    versions::plan::{Seen, State},
};

/// Time limit of a request, with the connection and all retries.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The first server that lets a pinned task continue as new on the current version.
const OLDEST_SERVER: (u32, u32) = (1, 31);

/// Client for the Worker Deployments of one Temporal namespace.
pub(crate) struct VersionClient {
    temporal: TemporalClient,
    rate: Arc<RateLimit>,
}

impl VersionClient {
    /// A client that connects at its first request.
    pub(crate) fn new(settings: TemporalSettings, rate: Arc<RateLimit>) -> Self {
        Self {
            temporal: TemporalClient::new(settings, MANAGER, REQUEST_TIMEOUT),
            rate,
        }
    }

    /// Why the server cannot move tasks between versions: it is too old.
    pub(crate) async fn what_is_missing(&self) -> Result<Option<String>, TemporalError> {
        self.rate.permit().await;
        let request = GetSystemInfoRequest {};
        let answer = self
            .temporal
            .request(request, <dyn WorkflowService>::get_system_info)
            .await?;
        let (major, minor) = OLDEST_SERVER;
        let version = answer.server_version;
        let missing = || format!("the server is {version} and must be {major}.{minor} or newer");
        Ok(is_too_old(&version).then(missing))
    }

    /// The versions of a Worker Deployment; none if no worker of it has polled.
    pub(crate) async fn describe(&self, deployment: &str) -> Result<Seen, TemporalError> {
        self.rate.permit().await;
        let request = DescribeWorkerDeploymentRequest {
            namespace: self.temporal.namespace().to_owned(),
            deployment_name: deployment.to_owned(),
        };
        let described = self
            .temporal
            .request(request, <dyn WorkflowService>::describe_worker_deployment)
            .await;
        let described = match described {
            Err(TemporalError::NotFound) => return Ok(Seen::default()),
            described => described?.worker_deployment_info.unwrap_or_default(),
        };
        let current = described.routing_config.unwrap_or_default().current_deployment_version;
        let versions = described.version_summaries.into_iter().filter_map(|summary| {
            let state = state(summary.status());
            Some((summary.deployment_version?.build_id, state))
        });
        Ok(Seen {
            current: current.map(|version| version.build_id).filter(|id| !id.is_empty()),
            versions: versions.collect(),
        })
    }

    /// Makes a version the one that takes new tasks; `None` for workers without one.
    pub(crate) async fn set_current(&self, deployment: &str, build_id: Option<&str>) -> Result<(), TemporalError> {
        self.rate.permit().await;
        let request = SetWorkerDeploymentCurrentVersionRequest {
            namespace: self.temporal.namespace().to_owned(),
            deployment_name: deployment.to_owned(),
            build_id: build_id.unwrap_or_default().to_owned(),
            identity: self.temporal.identity().to_owned(),
            ..Default::default()
        };
        let set = self
            .temporal
            .request(request, <dyn WorkflowService>::set_worker_deployment_current_version);
        set.await.map(drop)
    }

    /// Deletes a version that nobody needs. Temporal refuses it for some minutes after the last poll.
    pub(crate) async fn delete(&self, deployment: &str, build_id: &str) -> Result<(), TemporalError> {
        self.rate.permit().await;
        let request = DeleteWorkerDeploymentVersionRequest {
            namespace: self.temporal.namespace().to_owned(),
            deployment_version: Some(WorkerDeploymentVersion {
                build_id: build_id.to_owned(),
                deployment_name: deployment.to_owned(),
            }),
            identity: self.temporal.identity().to_owned(),
            ..Default::default()
        };
        let deleted = self
            .temporal
            .request(request, <dyn WorkflowService>::delete_worker_deployment_version);
        deleted.await.map(drop)
    }
}

const fn state(status: WorkerDeploymentVersionStatus) -> State {
    match status {
        WorkerDeploymentVersionStatus::Current | WorkerDeploymentVersionStatus::Ramping => State::InUse,
        // What this program does not know may have tasks.
        WorkerDeploymentVersionStatus::Draining | WorkerDeploymentVersionStatus::Unspecified => State::Draining,
        WorkerDeploymentVersionStatus::Drained
        | WorkerDeploymentVersionStatus::Inactive
        | WorkerDeploymentVersionStatus::Created => State::Unused,
    }
}

/// Whether a version of the server is older than the oldest that will do. One of another form is not judged.
fn is_too_old(version: &str) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().ok());
    let major_minor = numbers.next().flatten().zip(numbers.next().flatten());
    major_minor.is_some_and(|version| version < OLDEST_SERVER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_too_old_by_its_number_alone() {
        for (version, expected) in [
            ("1.30.4", true),
            ("0.99.0", true),
            ("1.31.0", false),
            ("1.32.0-158.1", false),
            ("2.0.0", false),
            ("", false),
            ("cloud", false),
        ] {
            assert_eq!(is_too_old(version), expected, "{version}");
        }
    }
}
