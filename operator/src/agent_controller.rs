//! Reconciles Agents: dereference, validate, build, apply, status.
//!
//! Decides the order of the steps and what happens between them; each step is
//! a module. A missing reference is a condition, never an error; errors are
//! for what is worth trying again.

pub mod apply;
pub mod build;
pub mod context;
pub mod dereference;
pub mod housekeeping;
pub mod introduction;
pub mod malformed;
pub mod run;
pub mod status;
pub mod transitions;
pub mod validate;
pub mod workers;

use std::sync::Arc;

use kube::{core::DeserializeGuard, runtime::controller::Action};
use steadfast_crds::{Agent, conditions::Reason};

use crate::{
    agent_controller::{context::Context, status::Outcome},
    cache::ObjectKey,
    metrics, schedules,
};

/// Label of this controller in metrics.
pub const CONTROLLER: &str = "agent";

/// An Agent as the watch delivers it, readable or not.
pub type GuardedAgent = DeserializeGuard<Agent>;

/// Why an Agent could not be reconciled for now.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// See [`dereference`].
    #[error("read what the Agent refers to")]
    Dereference(#[from] dereference::Error),
    /// See [`validate`].
    #[error("resolve the Agent")]
    Validate(#[from] validate::Error),
    /// See [`apply`].
    #[error("apply what belongs to the Agent")]
    Apply(#[from] apply::Error),
    /// See [`status`].
    #[error("write the Agent's status")]
    Status(#[source] kube::Error),
}

impl Error {
    /// A short fixed word, for logs and labels.
    #[must_use]
    pub const fn category(&self) -> &'static str {
        match self {
            Self::Dereference(_) => "dereference",
            Self::Validate(_) => "validate",
            Self::Apply(_) => "apply",
            Self::Status(_) => "status",
        }
    }
}

/// What an Agent waits for after it was reconciled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Something that is watched changes.
    Change,
    /// Something that is not watched changes: an object of somebody else.
    LookAgain,
}

/// Brings one Agent's objects and status in line with its spec.
pub async fn reconcile(agent: Arc<GuardedAgent>, context: Arc<Context>) -> Result<Action, Error> {
    let measurement = context.metrics.begin(CONTROLLER);
    let result = match &agent.0 {
        Ok(agent) => reconcile_readable(agent, &context).await,
        Err(invalid) => malformed::report(invalid, &context)
            .await
            .map(|()| Next::Change)
            .map_err(Error::Status),
    };
    measurement.end(match &result {
        Ok(_) => metrics::Outcome::Success,
        Err(_) => metrics::Outcome::Error,
    });
    let key = ObjectKey::of(agent.as_ref());
    result.map(|next| match next {
        Next::Change => {
            context.backoff.forget(&key);
            Action::await_change()
        }
        Next::LookAgain => Action::requeue(context.backoff.after_failure(&key)),
    })
}

async fn reconcile_readable(agent: &Agent, context: &Context) -> Result<Next, Error> {
    if agent.metadata.deletion_timestamp.is_some() {
        // Everything that belongs to it is owned by it.
        return Ok(Next::Change);
    }
    let result = pipeline(agent, context).await;
    let changed = status::write(context, agent, &result).await.map_err(Error::Status)?;
    transitions::announce(context, agent, &result, changed).await;
    let outcome = result?;
    housekeeping::remove_leftovers(context, agent, &outcome.applied).await;
    let taken = outcome
        .applied
        .refusal
        .is_some_and(|problem| problem.reason == Reason::NameTaken);
    Ok(if taken { Next::LookAgain } else { Next::Change })
}

async fn pipeline(agent: &Agent, context: &Context) -> Result<Outcome, Error> {
    let found = dereference::dereference(context, agent).await?;
    let validated = validate::validate(agent, &found, &context.settings, context.contents.hash())?;
    let desired = build::build(agent, &validated, &found.history);
    let key = ObjectKey::of(agent);
    if validated.revision.is_some() {
        let wanted = schedules::desired::of_agent(agent, &context.settings.install_id);
        context.schedules.want(&key, wanted);
    }
    // Boxed: whole manifests live across its awaits.
    let applied = Box::pin(apply::apply(context, agent, desired)).await?;
    Ok(Outcome {
        problems: validated.problems,
        applied,
        schedules: context.schedules.finding(&key),
    })
}
