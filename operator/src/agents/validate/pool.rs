//! Checks an Agent against the WorkerPool that runs it. The pool is the trust boundary:
//! all its Agents run in the same processes, so the credentials are those of the pool.
//! Pure.

use steadfast_crds::{
    Agent,
    conditions::{ConditionType, Reason},
};

use super::credentials::Provided;
use crate::{agents::pool_summary::PoolSummary, validation::ValidationError};

/// What the pool provides; `None` with an error if it cannot be used.
pub(super) fn check<'a>(
    agent: &'a Agent,
    pool: &'a PoolSummary,
    errors: &mut Vec<ValidationError>,
) -> Option<Provided<'a>> {
    let name = agent.spec.pool().unwrap_or_default();
    if !agent.spec.credentials.is_empty() {
        let message = format!(
            "an Agent on a WorkerPool has no credentials of its own: move them to the credentials of WorkerPool \
             \"{name}\", or remove workerPool"
        );
        errors.push(ValidationError::not_accepted(Reason::CredentialsBelongToPool, message));
    }
    let (reason, message) = match pool {
        PoolSummary::Valid(pool) => return Some(Provided::by_pool(name, &pool.credentials)),
        PoolSummary::Missing => (
            Reason::WorkerPoolNotFound,
            format!("WorkerPool \"{name}\" does not exist in the namespace of the Agent"),
        ),
        PoolSummary::Invalid(reason) => (
            Reason::WorkerPoolNotAccepted,
            format!("WorkerPool \"{name}\" cannot be decoded: {reason}"),
        ),
    };
    errors.push(ValidationError::new(ConditionType::ReferencesResolved, reason, message));
    None
}
