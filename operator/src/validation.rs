//! The rules for resources beyond those that the API server checks at admission,
//! and what a rule reports. Pure; a rule fetches and calls nothing.

pub(crate) mod json_schema;
pub(crate) mod templates;

use steadfast_crds::conditions::{ConditionType, Reason};

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
