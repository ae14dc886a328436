//! The attempts of model calls that this process runs, in Redis under the name of its pod and agent. A process that takes the
//! place of one that was killed fails the attempts of its predecessor, so that they are repeated at once and not after
//! the heartbeat timeout. Without Redis they are.

use std::time::Duration;

use steadfast_eventlog::EventLog;
use steadfast_process::ErrorChain;
use steadfast_temporal::send;
use temporalio_client::{Client, grpc::WorkflowService};
use temporalio_common::protos::temporal::api::{
    failure::v1::{ApplicationFailureInfo, Failure, failure::FailureInfo},
    workflowservice::v1::RespondActivityTaskFailedRequest,
};
use temporalio_sdk::activities::ActivityContext;
use tokio::task::JoinHandle;

/// Type of the failure with which an attempt of the process before ends.
const FAILURE_TYPE: &str = "worker_restarted";
/// The shortest pause before the next attempt: none at all would be the pause of the retry policy.
const NEXT_ATTEMPT: Duration = Duration::from_millis(1);

/// The attempts of this process.
#[derive(Clone)]
pub(crate) struct RunningAttempts {
    log: EventLog,
    /// Absent where the process has no name that its successor would have too.
    pod: Option<String>,
}

impl RunningAttempts {
    pub(crate) fn new(log: EventLog, pod: Option<String>) -> Self {
        Self { log, pod }
    }

    /// Keeps an attempt until the value is dropped. Never waits.
    pub(super) fn keep(&self, activity: &ActivityContext) -> RunningAttempt {
        let token = activity.info().task_token.clone();
        let put = self.pod.clone().map(|pod| {
            let (log, token) = (self.log.clone(), token.clone());
            tokio::spawn(async move {
                // Without it the server notices the loss of this process by the heartbeats.
                drop(log.put_attempt(&pod, &token).await);
            })
        });
        RunningAttempt {
            attempts: self.clone(),
            token,
            put,
        }
    }

    /// Fails the attempts that the process before this one has left.
    pub(crate) async fn fail_those_before(self, client: Client) {
        let Some(pod) = &self.pod else { return };
        let tokens = match self.log.take_attempts(pod).await {
            Ok(tokens) => tokens,
            Err(error) => {
                tracing::warn!(error = %ErrorChain(&error), "attempts of a process before this one are not known");
                return;
            }
        };
        for task_token in tokens {
            let request = RespondActivityTaskFailedRequest {
                task_token,
                namespace: client.options().namespace.clone(),
                failure: Some(failure()),
                ..RespondActivityTaskFailedRequest::default()
            };
            let fail = <dyn WorkflowService>::respond_activity_task_failed;
            match send(client.connection(), request, fail).await {
                Ok(_) => tracing::info!("an attempt of the process before this one is repeated"),
                // It has ended, or is repeated already.
                Err(status) => tracing::debug!(%status, "an attempt of the process before this one is over"),
            }
        }
    }
}

fn failure() -> Failure {
    Failure {
        message: "the process of this attempt has ended".to_owned(),
        failure_info: Some(FailureInfo::ApplicationFailureInfo(ApplicationFailureInfo {
            r#type: FAILURE_TYPE.to_owned(),
            next_retry_delay: NEXT_ATTEMPT.try_into().ok(),
            ..ApplicationFailureInfo::default()
        })),
        ..Failure::default()
    }
}

/// An attempt that runs.
pub(super) struct RunningAttempt {
    attempts: RunningAttempts,
    token: Vec<u8>,
    put: Option<JoinHandle<()>>,
}

impl Drop for RunningAttempt {
    fn drop(&mut self) {
        let (Some(put), Some(pod)) = (self.put.take(), self.attempts.pod.clone()) else {
            return;
        };
        let (log, token) = (self.attempts.log.clone(), std::mem::take(&mut self.token));
        tokio::spawn(async move {
            drop(put.await);
            drop(log.remove_attempt(&pod, &token).await);
        });
    }
}
