//! The conditions of a status. Decides when a condition counts as changed and
//! how long a message may be. Pure.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use steadfast_crds::conditions::{ConditionType, Reason};

use crate::validation::ValidationError;

/// The longest message of a condition; seven of them leave room in a status of 4 KiB.
const MAXIMUM_MESSAGE_BYTES: usize = 256;
/// The message of the condition Stalled.
pub(crate) const STALLED_MESSAGE: &str = "a person must change something; see the condition Ready";

/// The status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionStatus {
    /// The condition is met.
    True,
    /// The condition is not met.
    False,
}

impl ConditionStatus {
    /// The wire value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
        }
    }
}

/// A condition to be written, without generation and transition time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionUpdate {
    /// The type of the condition.
    pub condition: ConditionType,
    /// Whether the condition is met.
    pub status: ConditionStatus,
    /// The reason, for programs.
    pub reason: Reason,
    /// The reason, for people. Must stay the same as long as nothing else changes.
    pub message: String,
}

impl ConditionUpdate {
    /// A condition with status True.
    pub(crate) fn met(condition: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            condition,
            status: ConditionStatus::True,
            reason,
            message: message.into(),
        }
    }

    /// A condition with status False.
    pub(crate) fn not_met(condition: ConditionType, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            condition,
            status: ConditionStatus::False,
            reason,
            message: message.into(),
        }
    }

    /// False with the first reason and all messages of the errors of `condition`; true with `met` if there are none.
    pub(crate) fn from_errors(condition: ConditionType, errors: &[ValidationError], met: (Reason, &str)) -> Self {
        let own: Vec<&ValidationError> = errors.iter().filter(|error| error.condition == condition).collect();
        match own.first() {
            None => Self::met(condition, met.0, met.1),
            Some(first) => {
                let messages: Vec<&str> = own.iter().map(|error| error.message.as_str()).collect();
                Self::not_met(condition, first.reason, messages.join("; "))
            }
        }
    }
}

/// The conditions of a status, in the order of `updates`, each with the time since which its status has not changed.
pub(crate) fn merge(
    previous: &[Condition],
    updates: Vec<ConditionUpdate>,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    updates
        .into_iter()
        .map(|update| {
            let type_ = update.condition.as_str();
            let status = update.status.as_str();
            let since = previous
                .iter()
                .find(|old| old.type_ == type_ && old.status == status)
                .map_or_else(|| whole_seconds(now), |old| old.last_transition_time.clone());
            Condition {
                type_: type_.to_owned(),
                status: status.to_owned(),
                reason: update.reason.as_str().to_owned(),
                message: shorten(update.message, MAXIMUM_MESSAGE_BYTES),
                observed_generation: generation,
                last_transition_time: since,
            }
        })
        .collect()
}

/// The condition of this type.
#[must_use]
pub fn find(conditions: &[Condition], condition: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|c| c.type_ == condition.as_str())
}

/// Cuts a text between two characters and ends it with an ellipsis.
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

/// The API server stores whole seconds; a finer time would differ from the stored one.
fn whole_seconds(now: Timestamp) -> Time {
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_transition_time_changes_only_with_the_status() {
        let ready = |status, reason| {
            vec![ConditionUpdate {
                condition: ConditionType::Ready,
                status,
                reason,
                message: String::new(),
            }]
        };
        let first = merge(&[], ready(ConditionStatus::False, Reason::RollingOut), Some(1), at(10));
        let second = merge(
            &first,
            ready(ConditionStatus::False, Reason::CrashLoop),
            Some(2),
            at(20),
        );
        assert_eq!(second[0].last_transition_time, Time(at(10)));
        assert_eq!(second[0].observed_generation, Some(2));
        let third = merge(
            &second,
            ready(ConditionStatus::True, Reason::AllConditionsMet),
            Some(2),
            at(30),
        );
        assert_eq!(third[0].last_transition_time, Time(at(30)));
    }

    #[test]
    fn all_errors_of_one_condition_are_in_its_message() {
        let error = |reason, message: &str| ValidationError::new(ConditionType::ReferencesResolved, reason, message);
        let errors = [
            error(Reason::ToolNotFound, "no a"),
            error(Reason::ConfigMapNotFound, "no b"),
        ];
        assert_eq!(
            ConditionUpdate::from_errors(ConditionType::ReferencesResolved, &errors, (Reason::Resolved, "")),
            ConditionUpdate::not_met(ConditionType::ReferencesResolved, Reason::ToolNotFound, "no a; no b")
        );
        assert_eq!(
            ConditionUpdate::from_errors(ConditionType::Accepted, &errors, (Reason::Valid, "valid")),
            ConditionUpdate::met(ConditionType::Accepted, Reason::Valid, "valid")
        );
    }

    #[test]
    fn a_long_message_is_cut_between_two_characters() {
        assert_eq!(shorten("äöüß".to_owned(), 8), "äöüß");
        assert_eq!(shorten("äöüßx".to_owned(), 8), "äö…");
    }
}
