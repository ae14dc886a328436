//! Reconciles one Agent: dereference, validate, build, apply, status.
//!
//! Decides the order of the stages and what a failed stage means. A missing
//! reference is a condition, never an error; an error is worth another attempt.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use kube::runtime::controller::Action;
use steadfast_crds::{Agent, conditions::Reason};

use crate::{
    agents::{
        apply::apply,
        build::{self, RevisionPlan, build},
        cluster_source::fetch_revision,
        context::Context,
        deletion,
        dereference::{self, Dereferenced, dereference},
        error::Error,
        events, garbage_collection,
        grants::Referent,
        identity::{AgentIdentity, GuardedAgent},
        moving,
        next::Next,
        pool_summary::PoolSummary,
        revision_history::{RevisionHistory, digest_content},
        scaling,
        status::{self, Reconciled},
        validate::{self, RevisionContent, ValidatedAgent, validate},
        versions, withdrawal,
    },
    kube::namespaced_name::NamespacedName,
    malformed, metrics,
};

/// Label of this controller in metrics.
const CONTROLLER: &str = "agent";
/// Limit for the validation of an Agent; it takes milliseconds.
const VALIDATION_DEADLINE: Duration = Duration::from_secs(10);

/// Makes one Agent's objects and status match its spec.
pub(crate) async fn reconcile(agent: Arc<GuardedAgent>, context: Arc<Context>) -> Result<Action, Error> {
    let measurement = context.metrics.begin(CONTROLLER);
    let result = match &agent.0 {
        Ok(agent) => reconcile_valid(agent, &context).await,
        Err(invalid) if invalid.metadata.deletion_timestamp.is_some() => {
            // Nobody can read what its spec says about its tasks.
            let released = deletion::release(&context.client, &invalid.metadata).await;
            released.map(|()| Next::Change).map_err(Error::Finalizer)
        }
        Err(invalid) => malformed::report::<Agent>(invalid, &context.client)
            .await
            .map(|()| Next::Change)
            .map_err(Error::Status),
    };
    measurement.end(match &result {
        Ok(_) => metrics::Outcome::Success,
        Err(_) => metrics::Outcome::Error,
    });
    let key = NamespacedName::of(agent.as_ref());
    result.map(|next| next.into_action(&context.agent_backoff, &key))
}

async fn reconcile_valid(agent: &Agent, context: &Arc<Context>) -> Result<Next, Error> {
    if agent.metadata.deletion_timestamp.is_some() {
        return deletion::reconcile(agent, context).await;
    }
    context.deletions.forget(&NamespacedName::of(agent));
    deletion::keep_finalizer(context, agent)
        .await
        .map_err(Error::Finalizer)?;
    let identity = AgentIdentity::of(agent);
    let previous = agent.status.as_ref();
    let result = run_stages(agent, &identity, context).await;
    let written = status::write(context, &identity, previous, &result).await;
    if let Ok(written) = &written {
        events::publish(context, &identity, previous, &result, written.as_ref()).await;
        let current = written.as_ref().or(previous);
        let now = Instant::now();
        if let Some(took) = current.and_then(|status| context.apply_clock.ready(&identity.key, status, now)) {
            context.metrics.became_ready(took);
        }
    }
    let reconciled = match (result, written) {
        (Ok(reconciled), Ok(_)) => reconciled,
        (Ok(_), Err(status)) => return Err(Error::Status(status)),
        (Err(first), Ok(_)) => return Err(first),
        (Err(first), Err(status)) => {
            return Err(Error::StatusAfterFailure {
                first: Box::new(first),
                status,
            });
        }
    };
    if status::can_serve(context, &identity, &reconciled) {
        moving::keep(context, &identity).await;
    }
    garbage_collection::delete_leftovers(context, &identity, &reconciled.applied).await;
    let refusal = reconciled.applied.refusal;
    Ok(match refusal {
        Some(error) if error.reason == Reason::NameTaken => Next::Retry,
        _ => Next::Change,
    })
}

async fn run_stages(agent: &Agent, identity: &AgentIdentity, context: &Arc<Context>) -> Result<Reconciled, Error> {
    let dereferenced = dereference(context.as_ref(), agent, &context.settings).await?;
    let history = dereferenced.history.clone();
    let pool = dereferenced.pool.as_ref().map(PoolSummary::workers);
    let permitted = dereferenced.permitted();
    let validated = validate_in_time(agent, dereferenced, context).await?;
    let mut desired = build(&validated, &history, &context.settings);
    if validated.revision.is_none() {
        let withdrawn = withdraw(context, identity, &history, &permitted).await?;
        desired.revision = withdrawn.unwrap_or(desired.revision);
    }
    scaling::keep(agent, identity, context);
    let owner = identity.as_owner();
    let mut old = Vec::new();
    if let (Some(workers), Some(objects)) = (&validated.workers, &mut desired.workers) {
        old = versions::old_versions(context, &owner, workers);
        objects.old_versions = build::old_versions(&owner, workers, &old, &context.settings);
    }
    // Boxed: whole manifests live across its awaits.
    let applied = Box::pin(apply(context, identity, desired)).await?;
    if let Some(workers) = &validated.workers
        && applied.refusal.is_none()
    {
        versions::keep(context, &owner, workers, &old);
        garbage_collection::delete_old_versions(context, &owner, &old).await;
    }
    Ok(Reconciled {
        errors: validated.errors,
        tools: validated.tools,
        applied,
        pool,
        schedules: context.schedules.condition(&identity.key),
        versions: context
            .versions
            .condition(&owner.as_key())
            .filter(|_| identity.pool.is_none()),
    })
}

/// The next revision of an Agent with errors: the newest one without the references to other namespaces that are not
/// permitted any more. `None` if it has no such.
async fn withdraw(
    context: &Context,
    identity: &AgentIdentity,
    history: &RevisionHistory,
    permitted: &BTreeSet<Referent>,
) -> Result<Option<RevisionPlan>, Error> {
    let newest = history.current.as_ref();
    let Some(newest) = newest.filter(|newest| newest.summary.has_foreign_references) else {
        return Ok(None);
    };
    let fetched = fetch_revision(context, &identity.key, newest.sequence).await;
    let newest = fetched.map_err(|source| dereference::Error::Revisions(source.into()))?;
    let left = newest.and_then(|newest| withdrawal::without_unpermitted(&newest, permitted));
    let Some(spec) = left else { return Ok(None) };
    let digest = digest_content(&spec).map_err(validate::Error::Encode)?;
    let rest = RevisionContent { spec, digest };
    Ok(Some(build::revision::plan(identity, Some(&rest), history)))
}

/// Validates on a thread of its own: a parser that does not return must not stop the reconciliation of other Agents.
async fn validate_in_time(
    agent: &Agent,
    dereferenced: Dereferenced,
    context: &Arc<Context>,
) -> Result<ValidatedAgent, Error> {
    let (owned, shared) = (agent.clone(), Arc::clone(context));
    let work = move || validate(&owned, &dereferenced, &shared.settings, shared.secrets.hash());
    let object = NamespacedName::of(agent).to_string();
    Ok(context.blocking.run(&object, VALIDATION_DEADLINE, work).await??)
}

#[cfg(test)]
mod tests;
