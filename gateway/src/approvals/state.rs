//! Whether an approval is pending, and how it was decided. Pure.

use serde::Serialize;
use steadfast_events::{Decision, Event, EventKind, Verdict};
use utoipa::ToSchema;

/// The state of an approval on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ApprovalState {
    decision: Status,
    /// The user who decided.
    #[serde(skip_serializing_if = "String::is_empty")]
    by: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ApprovalStatus)]
enum Status {
    Pending,
    Approved,
    Rejected,
    /// Nobody decided in time.
    Expired,
    /// The turn ended before a decision.
    Withdrawn,
}

impl ApprovalState {
    pub(crate) const PENDING: Self = Self {
        decision: Status::Pending,
        by: String::new(),
        reason: String::new(),
    };

    pub(crate) const EXPIRED: Self = Self {
        decision: Status::Expired,
        by: String::new(),
        reason: String::new(),
    };

    /// The state of an approval after an event that decides it.
    pub(crate) fn of_event(event: &Event, approval_id: &str) -> Option<Self> {
        match &event.kind {
            EventKind::ApprovalDecided {
                approval_id: id,
                decision,
            } if id == approval_id => Some(decision.into()),
            _ => None,
        }
    }

    /// Whether this is the same decision: the verdict and the user.
    pub(crate) fn repeats(&self, decision: &Decision) -> bool {
        self.decision == decision.verdict.into() && self.by == decision.by
    }

    /// Why the approval cannot be decided any more.
    pub(crate) fn in_words(&self) -> String {
        let by = if self.by.is_empty() {
            String::new()
        } else {
            format!(" by {}", self.by)
        };
        match self.decision {
            Status::Pending => "the approval is pending".to_owned(),
            Status::Approved => format!("the approval was already approved{by}"),
            Status::Rejected => format!("the approval was already rejected{by}"),
            Status::Expired => "the approval has expired: nobody decided in time".to_owned(),
            Status::Withdrawn => "the approval was withdrawn: the turn ended before a decision".to_owned(),
        }
    }
}

impl From<&Decision> for ApprovalState {
    fn from(decision: &Decision) -> Self {
        Self {
            decision: decision.verdict.into(),
            by: decision.by.clone(),
            reason: decision.reason.clone(),
        }
    }
}

impl From<Verdict> for Status {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Approved => Self::Approved,
            Verdict::Rejected => Self::Rejected,
            Verdict::Expired => Self::Expired,
            Verdict::Withdrawn => Self::Withdrawn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_verdict_of_the_same_user_is_a_repetition() {
        let decision = |verdict, by: &str| Decision {
            by: by.to_owned(),
            ..Decision::new(verdict)
        };
        let hers = decision(Verdict::Approved, "alice");
        let repeats = |verdict, by| ApprovalState::from(&decision(verdict, by)).repeats(&hers);
        assert!(repeats(Verdict::Approved, "alice"));
        assert!(!repeats(Verdict::Approved, "bob"));
        assert!(!repeats(Verdict::Rejected, "alice"));
        assert!(!repeats(Verdict::Expired, "alice"));
    }
}
