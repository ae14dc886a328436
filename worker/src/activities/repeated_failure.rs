//! Ends the retries of a model call early where every attempt fails in the same way:
//! such a failure is an answer, and a further attempt would cost time and money. Each
//! attempt leaves a note for the next one in the details of its last heartbeat.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde::{Deserialize, Serialize};
use temporalio_sdk::activities::ActivityContext;

use crate::{
    failure::{ActivityFailure, CallFailure, RetryClass},
    model::failures::is_outage,
};

/// The same failure this often in a row is final: with the default intervals after half a minute.
const MOST_IN_A_ROW: u32 = 6;

/// What the attempts so far failed with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RepeatedFailure {
    /// Of the category and the message; the note holds no words of the provider.
    fingerprint: String,
    in_a_row: u32,
}

impl RepeatedFailure {
    /// The note of the attempt before; none at the first one.
    fn before(activity: &ActivityContext) -> Option<Self> {
        activity.heartbeat_details().deserialize().ok().flatten()
    }

    fn next(before: Option<&Self>, failure: &CallFailure) -> Self {
        let fingerprint = fingerprint(failure);
        let in_a_row = match before {
            Some(before) if before.fingerprint == fingerprint => before.in_a_row.saturating_add(1),
            _ => 1,
        };
        Self { fingerprint, in_a_row }
    }
}

/// The failure of an attempt: permanent if the attempts before failed in the same way, often enough. A provider that is
/// busy or away is waited for as long as `model.retry` says.
pub(super) fn judge(activity: &ActivityContext, failure: CallFailure) -> CallFailure {
    judged(RepeatedFailure::before(activity).as_ref(), failure)
}

fn judged(before: Option<&RepeatedFailure>, failure: CallFailure) -> CallFailure {
    let in_a_row = RepeatedFailure::next(before, &failure).in_a_row;
    if failure.retry == RetryClass::Permanent || is_outage(&failure) || in_a_row < MOST_IN_A_ROW {
        return failure;
    }
    let message = format!("{} (the same failure {in_a_row} times in a row)", failure.message);
    CallFailure::permanent(failure.category, message)
}

/// Leaves the note for the next attempt. No other heartbeat may follow.
pub(super) async fn leave_note<T>(activity: &ActivityContext, outcome: &Result<T, ActivityFailure>) {
    let Err(ActivityFailure::Failed(failure)) = outcome else {
        return;
    };
    if failure.retry == RetryClass::Permanent {
        return;
    }
    let note = RepeatedFailure::next(RepeatedFailure::before(activity).as_ref(), failure);
    if let Err(error) = activity.record_heartbeat(note).await {
        tracing::warn!(%error, "the note for the next attempt was not recorded");
    }
}

/// Words with a digit are left out: request IDs, times and ports differ between failures that are the same.
fn fingerprint(failure: &CallFailure) -> String {
    let mut hasher = DefaultHasher::new();
    failure.category.hash(&mut hasher);
    let words = failure.message.split(|character: char| !character.is_alphanumeric());
    for word in words.filter(|word| !word.contains(|character: char| character.is_ascii_digit())) {
        word.hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many attempts are made, of at most 20.
    fn attempts(failure: impl Fn(u32) -> CallFailure) -> u32 {
        let mut note = None;
        for attempt in 1..=20 {
            let failure = judged(note.as_ref(), failure(attempt));
            if failure.retry == RetryClass::Permanent {
                return attempt;
            }
            note = Some(RepeatedFailure::next(note.as_ref(), &failure));
        }
        20
    }

    #[test]
    fn the_same_failure_is_final_after_some_attempts_and_an_outage_never_is() {
        let ended = |_| CallFailure::transient("model_stream_ended", "the stream ended");
        assert_eq!(attempts(ended), MOST_IN_A_ROW);
        let with_id = |attempt| {
            let message = format!("the model API answered 500: template (request id req_{attempt}f)");
            CallFailure::transient("model_server_error", message)
        };
        assert_eq!(attempts(with_id), MOST_IN_A_ROW);
        let in_turn = |attempt| match attempt % 3 {
            0 => CallFailure::transient("model_idle", "the model API sent nothing for 60 s"),
            _ => CallFailure::transient("model_stream_ended", "the stream ended"),
        };
        assert_eq!(attempts(in_turn), 20);
        for category in ["model_rate_limit", "model_unavailable", "model_connection"] {
            assert_eq!(attempts(|_| CallFailure::transient(category, "busy")), 20, "{category}");
        }
        for category in ["model_unknown_host", "model_tls"] {
            assert_eq!(
                attempts(|_| CallFailure::transient(category, "no")),
                MOST_IN_A_ROW,
                "{category}"
            );
        }
        assert_eq!(attempts(|_| CallFailure::permanent("model_not_found", "no")), 1);
    }

    #[test]
    fn the_last_failure_says_that_it_is_the_same() {
        let failure = CallFailure::transient("model_stream_ended", "the stream ended");
        let note = RepeatedFailure {
            in_a_row: MOST_IN_A_ROW - 1,
            ..RepeatedFailure::next(None, &failure)
        };
        let last = judged(Some(&note), failure);
        assert_eq!(last.message, "the stream ended (the same failure 6 times in a row)");
        assert_eq!(last.category, "model_stream_ended");
    }
}
