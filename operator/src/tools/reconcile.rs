//! Reconciles one AgentTool: writes into its status whether agents can use it.
//! Writes nothing else.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use kube::{
    Client,
    runtime::{controller::Action, events::Recorder},
};
use steadfast_crds::AgentTool;

use crate::{
    kube::{
        backoff::Backoff,
        namespaced_name::NamespacedName,
        status_patch::{self, Target},
    },
    malformed,
    metrics::{Metrics, Outcome},
    tools::{GuardedTool, status},
};

/// Label of this controller in metrics.
const CONTROLLER: &str = "agenttool";

/// The clients and the memory of this controller.
pub(crate) struct Context {
    /// Client of the API server.
    pub(crate) client: Client,
    /// Writer of Events.
    pub(crate) recorder: Recorder,
    /// The install id, the beginning of every task queue of the operator.
    pub(crate) install_id: String,
    /// Metrics of the process.
    pub(crate) metrics: Metrics,
    /// Delays after failures.
    pub(crate) backoff: Backoff,
}

/// Why a tool could not be reconciled; it is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The status was not written.
    #[error("write the status of the AgentTool")]
    Status(#[from] kube::Error),
    /// A fault of the operator, which must not stop the reconciliation of other tools.
    #[error("the reconciliation panicked")]
    Panicked,
}

/// Makes a tool's status match its spec.
pub(crate) async fn reconcile(tool: Arc<GuardedTool>, context: Arc<Context>) -> Result<Action, Error> {
    let measurement = context.metrics.begin(CONTROLLER);
    let result = match &tool.0 {
        Ok(tool) => write_status(tool, &context).await,
        Err(invalid) => malformed::report::<AgentTool>(invalid, &context.client, &context.recorder)
            .await
            .map_err(Error::Status),
    };
    measurement.end(if result.is_ok() {
        Outcome::Success
    } else {
        Outcome::Error
    });
    result.map(|()| {
        context.backoff.forget(&NamespacedName::of(tool.as_ref()));
        Action::await_change()
    })
}

async fn write_status(tool: &AgentTool, context: &Context) -> Result<(), Error> {
    let status = status::build(tool, &context.install_id, Timestamp::now());
    if tool.status.as_ref() == Some(&status) {
        return Ok(());
    }
    status_patch::write(&context.client, &Target::of::<AgentTool>(&tool.metadata), &status).await?;
    Ok(())
}
