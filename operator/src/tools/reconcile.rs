//! Reconciles one AgentTool: writes into its status whether agents can use it.
//! Writes nothing else.

use std::{sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use kube::{Client, runtime::controller::Action};
use steadfast_crds::AgentTool;
use steadfast_process::{BlockingError, BlockingWork};

use crate::{
    kube::{
        backoff::Backoff,
        namespaced_name::NamespacedName,
        status_patch::{self, Target},
    },
    malformed,
    metrics::{Metrics, Outcome},
    tools::{GuardedTool, offers::KnownOffers, status},
};

/// Limit for the validation of a tool; it takes milliseconds.
const VALIDATION_DEADLINE: Duration = Duration::from_secs(10);
/// Label of this controller in metrics.
const CONTROLLER: &str = "agenttool";

/// The clients and the memory of this controller.
pub(crate) struct Context {
    /// Client of the API server.
    pub(crate) client: Client,
    /// The install id, the beginning of every task queue of the operator.
    pub(crate) install_id: String,
    /// What the MCP servers of tools offered.
    pub(crate) offers: Arc<KnownOffers>,
    /// Metrics of the process.
    pub(crate) metrics: Metrics,
    /// Delays after failures.
    pub(crate) backoff: Backoff,
    /// Threads for validation: parsers of users' texts, which nobody can stop.
    pub(crate) blocking: BlockingWork,
}

/// Why a tool could not be reconciled; it is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The validation is late or has no thread.
    #[error("validate the AgentTool")]
    Validate(#[from] BlockingError),
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
        Err(invalid) => malformed::report::<AgentTool>(invalid, &context.client)
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
    let (owned, install_id) = (tool.clone(), context.install_id.clone());
    let name = NamespacedName::of(tool);
    let offer = context.offers.get(&name);
    let build = move || status::build(&owned, &install_id, offer.as_ref(), Timestamp::now());
    let status = context
        .blocking
        .run(&name.to_string(), VALIDATION_DEADLINE, build)
        .await?;
    if tool.status.as_ref() == Some(&status) {
        return Ok(());
    }
    status_patch::write(&context.client, &Target::of::<AgentTool>(&tool.metadata), &status).await?;
    Ok(())
}
