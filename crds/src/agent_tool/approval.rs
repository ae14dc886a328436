//! The approval of tool calls by people: whether it is required, and what happens
//! when nobody decides.

use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::Duration;

/// Whether a person must approve a call before it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalPolicy {
    /// Whether each call waits for a decision. The call runs with exactly the approved arguments.
    #[serde(default)]
    pub required: bool,
    /// How long a call waits for a decision.
    #[serde(default = "default_decision_timeout")]
    pub timeout: Duration,
    /// What happens when nobody decides in time.
    #[serde(default)]
    pub on_timeout: OnTimeout,
}

impl Default for ApprovalPolicy {
    fn default() -> Self {
        Self {
            required: false,
            timeout: default_decision_timeout(),
            on_timeout: OnTimeout::default(),
        }
    }
}

impl ApprovalPolicy {
    /// The stricter of both policies: an Agent can tighten the policy of a tool and not loosen it.
    #[must_use]
    pub fn tightened_by(&self, other: &Self) -> Self {
        match (self.required, other.required) {
            (true, true) => Self {
                required: true,
                timeout: self.timeout.min(other.timeout),
                on_timeout: self.on_timeout.min(other.on_timeout),
            },
            (true, false) => self.clone(),
            (false, _) => other.clone(),
        }
    }
}

/// What happens when nobody decides in time; the strictest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum OnTimeout {
    /// The turn fails.
    Fail,
    /// The call does not run; the model receives a rejection.
    #[default]
    Reject,
    /// The call runs as if it were approved.
    Proceed,
}

/// 24 hours: a working day and a night.
pub(super) const fn default_decision_timeout() -> Duration {
    Duration::from_seconds(24 * 60 * 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(required: bool, seconds: u64, on_timeout: OnTimeout) -> ApprovalPolicy {
        ApprovalPolicy {
            required,
            timeout: Duration::from_seconds(seconds),
            on_timeout,
        }
    }

    #[test]
    fn an_agent_can_tighten_the_policy_of_a_tool_and_not_loosen_it() {
        let none = policy(false, 60, OnTimeout::Reject);
        let short = policy(true, 10, OnTimeout::Proceed);
        let strict = policy(true, 99, OnTimeout::Fail);
        assert_eq!(none.tightened_by(&short), short);
        assert_eq!(short.tightened_by(&none), short);
        assert_eq!(short.tightened_by(&strict), policy(true, 10, OnTimeout::Fail));
    }
}
