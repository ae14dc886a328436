//! Reconciles one AgentTool: writes into its status whether agents can use it.
//! Writes nothing else.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use kube::{Api, Client, ResourceExt as _, runtime::controller::Action};
use steadfast_crds::AgentTool;

use crate::{
    kube::{
        backoff::Backoff,
        namespaced_name::NamespacedName,
        status_patch::{self, Target},
    },
    metrics::{Metrics, Outcome},
    tools::{GuardedTool, status},
};

/// Label of this controller in metrics.
const CONTROLLER: &str = "agenttool";

/// The clients and the memory of this controller.
pub(crate) struct Context {
    /// Client of the API server.
    pub(crate) client: Client,
    /// Metrics of the process.
    pub(crate) metrics: Metrics,
    /// Delays after failures.
    pub(crate) backoff: Backoff,
}

/// The status of a tool was not written; the reconciliation is tried again.
#[derive(Debug, thiserror::Error)]
#[error("write the status of the AgentTool")]
pub(crate) struct Error(#[from] kube::Error);

/// Makes a tool's status match its spec.
pub(crate) async fn reconcile(tool: Arc<GuardedTool>, context: Arc<Context>) -> Result<Action, Error> {
    let measurement = context.metrics.begin(CONTROLLER);
    let result = match &tool.0 {
        Ok(tool) => write_status(tool, &context).await,
        Err(invalid) => {
            // The Agents that refer to the tool report it in their own status.
            tracing::warn!(
                tool = %NamespacedName::of(tool.as_ref()),
                error = %invalid,
                "the AgentTool cannot be decoded; agents cannot use it"
            );
            Ok(())
        }
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
    let status = status::build(tool, Timestamp::now());
    if tool.status.as_ref() == Some(&status) {
        return Ok(());
    }
    let api: Api<AgentTool> = Api::namespaced(context.client.clone(), &tool.namespace().unwrap_or_default());
    status_patch::write(&api, Target::of::<AgentTool>(&tool.metadata), &status).await?;
    Ok(())
}
