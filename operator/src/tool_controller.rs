//! Reconciles AgentTools: says in their status whether agents can use them.
//! It writes nothing else; Agents look at the tools themselves.

pub mod run;
pub mod status;

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use kube::{Api, Client, ResourceExt as _, core::DeserializeGuard, runtime::controller::Action};
use steadfast_crds::AgentTool;

use crate::{
    backoff::Backoff,
    cache::ObjectKey,
    metrics::{Metrics, Outcome},
    status_patch::{self, Target},
};

/// Label of this controller in metrics.
pub const CONTROLLER: &str = "agenttool";

/// An AgentTool as the watch delivers it, readable or not.
pub type GuardedTool = DeserializeGuard<AgentTool>;

/// What a reconciliation works with.
pub struct Context {
    /// Connection to the API server.
    pub client: Client,
    /// What is counted.
    pub metrics: Metrics,
    /// How long failed tools wait.
    pub backoff: Backoff,
}

/// Why a tool could not be reconciled for now.
#[derive(Debug, thiserror::Error)]
#[error("write the status of an AgentTool")]
pub struct Error(#[from] kube::Error);

/// Brings one tool's status in line with its spec.
pub async fn reconcile(tool: Arc<GuardedTool>, context: Arc<Context>) -> Result<Action, Error> {
    let measurement = context.metrics.begin(CONTROLLER);
    let result = match &tool.0 {
        Ok(tool) => write_status(tool, &context).await,
        Err(invalid) => {
            // The Agents that use it tell so in their own status.
            tracing::warn!(tool = %ObjectKey::of(tool.as_ref()), %invalid, "an AgentTool cannot be read");
            Ok(())
        }
    };
    measurement.end(if result.is_ok() {
        Outcome::Success
    } else {
        Outcome::Error
    });
    result.map(|()| {
        context.backoff.forget(&ObjectKey::of(tool.as_ref()));
        Action::await_change()
    })
}

async fn write_status(tool: &AgentTool, context: &Context) -> Result<(), Error> {
    let status = status::build(tool, Timestamp::now());
    if tool.status.as_ref() == Some(&status) {
        return Ok(());
    }
    let api: Api<AgentTool> = Api::namespaced(context.client.clone(), &tool.namespace().unwrap_or_default());
    status_patch::write(&api, Target::new::<AgentTool>(&tool.metadata), &status).await?;
    Ok(())
}
