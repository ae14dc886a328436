//! What a rule finds wrong with a resource.

use steadfast_crds::conditions::Reason;

/// Why a resource cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defect {
    /// For programs.
    pub reason: Reason,
    /// For people.
    pub message: String,
}
