//! What a task can take, decided before it is signalled: a signal stays in the history of a run even when the task
//! rejects it, and Temporal ends a run whose history is full. Pure.

use axum::http::StatusCode;

use crate::{error::ApiError, task::TaskRecord};

/// What Temporal allows the history of a run, `limit.historySize.error` and `limit.historyCount.error` of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryLimits {
    pub bytes: u64,
    pub events: u64,
}

impl Default for HistoryLimits {
    /// The defaults of the server.
    fn default() -> Self {
        Self {
            bytes: 50 * 1024 * 1024,
            events: 51_200,
        }
    }
}

/// What is to be sent to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outgoing {
    /// A message of a user, which waits for its turn.
    Message { size_bytes: usize },
    /// A decision, an interrupt, or the request to complete: what ends a wait has more room than what may wait.
    Control { size_bytes: usize },
}

/// Events up to which a run takes messages, and anything: Temporal allows it 10,000 signals, and without a worker there
/// is nothing but signals in its history. A run that can continue as new does so long before.
const MESSAGE_EVENTS: u64 = 8_000;
const CONTROL_EVENTS: u64 = 9_500;

/// Refuses what a task cannot take now.
pub(crate) fn admit(task: &TaskRecord, limits: HistoryLimits, outgoing: Outgoing) -> Result<(), ApiError> {
    // Parts of the limit, in percent: the rest is for what the task itself still does.
    let (size_bytes, percent, most_events) = match outgoing {
        Outgoing::Message { size_bytes } => (size_bytes, 60, MESSAGE_EVENTS),
        Outgoing::Control { size_bytes } => (size_bytes, 80, CONTROL_EVENTS),
    };
    if let Outgoing::Message { .. } = outgoing
        && task.is_queue_full
    {
        return Err(later(
            "as many messages wait for their turn as the agent allows (limits.maxQueuedMessages); send it again when \
             the agent has answered",
        ));
    }
    let size_bytes = task
        .history_bytes
        .saturating_add(size_bytes.try_into().unwrap_or(u64::MAX));
    let most_events = most_events.min(limits.events / 100 * percent);
    if size_bytes > limits.bytes / 100 * percent || task.history_events >= most_events {
        return Err(later(
            "the task has no room for more at present: the history of its run is nearly full. It goes on in a new run \
             when its running calls have ended; send it again later",
        ));
    }
    Ok(())
}

fn later(message: &str) -> ApiError {
    ApiError::new(StatusCode::TOO_MANY_REQUESTS, message).retryable(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::testing::task;

    const MESSAGE: Outgoing = Outgoing::Message { size_bytes: 1_000 };
    const CONTROL: Outgoing = Outgoing::Control { size_bytes: 1_000 };

    fn refusal(task: &TaskRecord, outgoing: Outgoing) -> Option<(StatusCode, Option<bool>)> {
        let error = admit(task, HistoryLimits::default(), outgoing).err()?;
        Some((error.status, error.retryable))
    }

    const LATER: Option<(StatusCode, Option<bool>)> = Some((StatusCode::TOO_MANY_REQUESTS, Some(true)));

    #[test]
    fn a_full_queue_takes_no_message_but_what_ends_the_wait() {
        let full = TaskRecord {
            is_queue_full: true,
            ..task()
        };
        assert_eq!(refusal(&task(), MESSAGE), None);
        assert_eq!(refusal(&full, MESSAGE), LATER);
        assert_eq!(refusal(&full, CONTROL), None);
    }

    #[test]
    fn a_history_near_its_limit_takes_no_message_and_later_nothing() {
        let with = |history_bytes, history_events| TaskRecord {
            history_bytes,
            history_events,
            ..task()
        };
        for (task, message, control) in [
            (with(20 << 20, 4_000), None, None),
            (with(31 << 20, 10), LATER, None),
            (with(41 << 20, 10), LATER, LATER),
            (with(1 << 20, 8_000), LATER, None),
            (with(1 << 20, 9_500), LATER, LATER),
        ] {
            assert_eq!(refusal(&task, MESSAGE), message, "{task:?}");
            assert_eq!(refusal(&task, CONTROL), control, "{task:?}");
        }
    }
}
