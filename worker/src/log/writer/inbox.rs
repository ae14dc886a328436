//! The queue between an activity and its writer.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use steadfast_eventlog::Numbered;
use steadfast_events::EventKind;
use tokio::sync::Notify;

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
    /// Publish these events, which end the turn, after all others.
    EndTurn(Vec<Numbered>),
}

/// Commands in order, for one reader. Its size is bounded by the response: consecutive deltas of a message are
/// merged, so that a slow reader makes entries longer and not more numerous.
#[derive(Default)]
pub(super) struct Inbox {
    commands: Mutex<Vec<Command>>,
    changed: Notify,
    closed: AtomicBool,
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
        self.closed.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    /// Moves the commands into `batch`, which is empty. Returns false when none will follow.
    pub(super) fn take(&self, batch: &mut Vec<Command>) -> bool {
        // Before the commands are read: none is pushed after it.
        let open = !self.closed.load(Ordering::Acquire);
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *commands, batch);
        open
    }

    /// Waits for a command, or until the inbox is closed.
    pub(super) async fn ready(&self) {
        while self.is_empty() && !self.closed.load(Ordering::Acquire) {
            self.changed.notified().await;
        }
    }

    fn is_empty(&self) -> bool {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

#[cfg(test)]
mod tests {
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
        assert!(inbox.ready().now_or_never().is_none());
        for text in ["Hel", "lo"] {
            inbox.push(delta(text));
        }
        inbox.push(Command::RetractAll);
        inbox.ready().await;
        assert!(inbox.take(&mut batch));
        assert_eq!(batch, [delta("Hello"), Command::RetractAll]);
        batch.clear();
        inbox.push(delta("!"));
        inbox.close();
        inbox.ready().await;
        assert!(!inbox.take(&mut batch));
        assert_eq!(batch, [delta("!")]);
    }
}
