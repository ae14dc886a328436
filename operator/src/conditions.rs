//! From what was found out to the conditions of a status. Decides when a
//! condition counts as changed and how long a message may be. Pure.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use steadfast_crds::conditions::{ConditionType, Reason};

/// Longest message of a condition; seven of them leave room in 4 KiB of status.
const MAXIMUM_MESSAGE_BYTES: usize = 256;

/// Why one of the conditions that speak of the user's own resources is false.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The condition it makes false.
    pub condition: ConditionType,
    /// The reason, for programs.
    pub reason: Reason,
    /// The reason, for people: what is wrong and what to do.
    pub message: String,
}

impl Problem {
    /// A problem of `condition`.
    pub fn new(condition: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            condition,
            reason,
            message: message.into(),
        }
    }
}

/// Value of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    True,
    /// It does not.
    False,
}

impl Verdict {
    /// The wire value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
        }
    }
}

/// A condition without its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it speaks of.
    pub condition: ConditionType,
    /// Whether it holds.
    pub verdict: Verdict,
    /// Why, for programs.
    pub reason: Reason,
    /// Why, for people. Must not change while nothing else does.
    pub message: String,
}

impl Finding {
    /// A condition that holds.
    pub fn holds(condition: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            condition,
            verdict: Verdict::True,
            reason,
            message: message.into(),
        }
    }

    /// A condition that does not.
    pub fn fails(condition: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            condition,
            verdict: Verdict::False,
            reason,
            message: message.into(),
        }
    }

    /// `condition` in the light of all `problems`: the first one gives the reason.
    pub fn from_problems(condition: ConditionType, problems: &[Problem], holds: (Reason, &str)) -> Self {
        let mine: Vec<&Problem> = problems.iter().filter(|p| p.condition == condition).collect();
        match mine.first() {
            None => Self::holds(condition, holds.0, holds.1),
            Some(first) => {
                let messages: Vec<&str> = mine.iter().map(|p| p.message.as_str()).collect();
                Self::fails(condition, first.reason, messages.join("; "))
            }
        }
    }
}

/// The conditions of a status: `findings` in their order, each with the time
/// since which its value has not changed.
#[must_use]
pub fn merge(
    previous: &[Condition],
    findings: Vec<Finding>,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    findings
        .into_iter()
        .map(|finding| {
            let type_ = finding.condition.as_str();
            let status = finding.verdict.as_str();
            let since = previous
                .iter()
                .find(|old| old.type_ == type_ && old.status == status)
                .map_or_else(|| whole_seconds(now), |old| old.last_transition_time.clone());
            Condition {
                type_: type_.to_owned(),
                status: status.to_owned(),
                reason: finding.reason.as_str().to_owned(),
                message: shorten(finding.message, MAXIMUM_MESSAGE_BYTES),
                observed_generation: generation,
                last_transition_time: since,
            }
        })
        .collect()
}

/// The condition of that type.
#[must_use]
pub fn find(conditions: &[Condition], condition: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|c| c.type_ == condition.as_str())
}

/// Cuts at a character boundary and says so.
pub(crate) fn shorten(mut text: String, maximum_bytes: usize) -> String {
    const ELLIPSIS: &str = "…";
    if text.len() > maximum_bytes {
        let mut end = maximum_bytes.saturating_sub(ELLIPSIS.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(ELLIPSIS);
    }
    text
}

/// The API keeps no more; a finer time would differ from what is read back.
fn whole_seconds(now: Timestamp) -> Time {
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_transition_time_moves_only_when_the_value_does() {
        let ready = |verdict, reason| {
            vec![Finding {
                condition: ConditionType::Ready,
                verdict,
                reason,
                message: String::new(),
            }]
        };
        let first = merge(&[], ready(Verdict::False, Reason::RollingOut), Some(1), at(10));
        let second = merge(&first, ready(Verdict::False, Reason::CrashLoop), Some(2), at(20));
        assert_eq!(second[0].last_transition_time, Time(at(10)));
        assert_eq!(second[0].observed_generation, Some(2));
        let third = merge(&second, ready(Verdict::True, Reason::AllConditionsMet), Some(2), at(30));
        assert_eq!(third[0].last_transition_time, Time(at(30)));
    }

    #[test]
    fn several_problems_of_one_condition_are_all_told() {
        let problem = |reason, message: &str| Problem::new(ConditionType::ReferencesResolved, reason, message);
        let problems = [
            problem(Reason::ToolNotFound, "no a"),
            problem(Reason::ConfigMapNotFound, "no b"),
        ];
        assert_eq!(
            Finding::from_problems(ConditionType::ReferencesResolved, &problems, (Reason::Resolved, "")),
            Finding::fails(ConditionType::ReferencesResolved, Reason::ToolNotFound, "no a; no b")
        );
        assert_eq!(
            Finding::from_problems(ConditionType::Accepted, &problems, (Reason::Valid, "valid")),
            Finding::holds(ConditionType::Accepted, Reason::Valid, "valid")
        );
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        assert_eq!(shorten("äöüß".to_owned(), 8), "äöüß");
        assert_eq!(shorten("äöüßx".to_owned(), 8), "äö…");
    }
}
