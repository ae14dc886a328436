//! The queue between an activity and its writer.

use std::sync::{Mutex, PoisonError};

use steadfast_events::EventKind;
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::attempt::merge;

/// A request of the activity.
#[derive(Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all commands are events; boxing would allocate for each delta"
)]
pub(super) enum Command {
    Publish(EventKind),
    /// Retract every message that the attempt has published.
    RetractAll,
}

/// Commands in order, for one reader. Its size is bounded by the response: consecutive deltas of a message are
/// merged, so that a slow reader makes entries longer and not more numerous.
#[derive(Default)]
pub(super) struct Inbox {
    commands: Mutex<Vec<Command>>,
    changed: Notify,
    closed: CancellationToken,
}

impl Inbox {
    /// Never waits.
    pub(super) fn push(&self, command: Command) {
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(Command::Publish(last)), Command::Publish(event)) = (commands.last_mut(), &command)
            && merge(last, event)
        {
            return;
        }
        commands.push(command);
        drop(commands);
        self.changed.notify_one();
    }

    /// No command follows.
    pub(super) fn close(&self) {
        self.closed.cancel();
        self.changed.notify_one();
    }

    /// Waits for the first command and then until `slice_end`, or until the inbox is closed; moves the commands into
    /// `batch`, which is empty. Returns false when there is none and none will follow.
    pub(super) async fn receive(&self, slice_end: Instant, batch: &mut Vec<Command>) -> bool {
        while self.is_empty() {
            if self.closed.is_cancelled() && self.is_empty() {
                return false;
            }
            self.changed.notified().await;
        }
        drop(timeout_at(slice_end, self.closed.cancelled()).await);
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *commands, batch);
        true
    }

    fn is_empty(&self) -> bool {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt as _;

    use super::*;

    fn delta(text: &str) -> Command {
        Command::Publish(EventKind::TextDelta {
            message_id: "m".into(),
            delta: text.into(),
        })
    }

    #[tokio::test]
    async fn deltas_are_merged_and_a_closed_inbox_is_drained_before_it_ends() {
        let inbox = Inbox::default();
        let mut batch = Vec::new();
        for text in ["Hel", "lo"] {
            inbox.push(delta(text));
        }
        inbox.push(Command::RetractAll);
        inbox.close();
        let later = Instant::now() + Duration::from_hours(1);
        assert!(inbox.receive(later, &mut batch).await);
        assert_eq!(batch, [delta("Hello"), Command::RetractAll]);
        batch.clear();
        assert!(!inbox.receive(later, &mut batch).await);
    }

    #[tokio::test]
    async fn a_batch_waits_for_the_end_of_its_slice() {
        let inbox = Inbox::default();
        let mut batch = Vec::new();
        inbox.push(delta("a"));
        let later = Instant::now() + Duration::from_hours(1);
        assert!(inbox.receive(later, &mut batch).now_or_never().is_none());
        inbox.push(delta("b"));
        assert!(inbox.receive(Instant::now(), &mut batch).await);
        assert_eq!(batch, [delta("ab")]);
    }
}
