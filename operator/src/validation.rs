//! The rules for resources beyond those that the API server checks at admission,
//! and what a rule reports. Pure; a rule fetches and calls nothing.

pub(crate) mod json_schema;
pub(crate) mod templates;

use serde::Serialize;
use steadfast_bounds::json;
use steadfast_crds::conditions::{ConditionType, Reason};

/// The error of a spec whose free-form JSON is deeper than what is let in.
pub(crate) fn check_depth(spec: &impl Serialize) -> Result<Option<ValidationError>, serde_json::Error> {
    let is_too_deep = json::is_too_deep(&serde_json::to_value(spec)?);
    let message = || format!("the spec is nested deeper than {} levels", json::MAXIMUM_DEPTH);
    Ok(is_too_deep.then(|| ValidationError::not_accepted(Reason::Malformed, message())))
}

/// Why a resource cannot be used: it makes one condition false.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidationError {
    /// The condition that is false.
    pub condition: ConditionType,
    /// The reason of the condition, for programs.
    pub reason: Reason,
    /// The message of the condition, for people: what is wrong, and what to do.
    pub message: String,
}

impl ValidationError {
    /// An error of `condition`.
    pub fn new(condition: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            condition,
            reason,
            message: message.into(),
        }
    }

    /// The spec itself is wrong: the condition Accepted is false.
    pub(crate) fn not_accepted(reason: Reason, message: impl Into<String>) -> Self {
        Self::new(ConditionType::Accepted, reason, message)
    }
}
