//! What a writer needs of the log. Tests have one of their own.

use std::sync::Arc;

use futures::future::BoxFuture;
use steadfast_eventlog::{Appended, Batch, EventLog, FirstBatch, LogError, LogRun, Numbered, Part};
use steadfast_events::EntryId;

use super::WriterScope;

/// One call that appends.
#[derive(Debug)]
pub(super) struct Append {
    pub(super) scope: Arc<WriterScope>,
    pub(super) cursor: Option<EntryId>,
    pub(super) first_batch: FirstBatch,
    /// The events of the task's outbox: the runs of each producer, in order.
    pub(super) outbox: Vec<(String, Vec<Numbered>)>,
    /// The events of the attempt.
    pub(super) attempt: Vec<Numbered>,
    /// The events with which the attempt ends the turn.
    pub(super) end: Vec<Numbered>,
}

impl Append {
    /// What is appended, in order.
    pub(super) fn parts(&self) -> Vec<Part<'_>> {
        let outbox = self.outbox.iter().map(|(producer, events)| Part { producer, events });
        let own = [
            (self.scope.producer.as_str(), self.attempt.as_slice()),
            (self.scope.end_producer.as_str(), self.end.as_slice()),
        ];
        let own = own.into_iter().filter(|(_, events)| !events.is_empty());
        outbox
            .chain(own.map(|(producer, events)| Part { producer, events }))
            .collect()
    }
}

/// Appends to logs.
pub(super) trait Store: Send + 'static {
    /// Hands back what was to be appended, with the outcome.
    fn append(&self, append: Append) -> BoxFuture<'static, (Append, Result<Appended, LogError>)>;
}

impl Store for EventLog {
    fn append(&self, append: Append) -> BoxFuture<'static, (Append, Result<Appended, LogError>)> {
        let log = self.clone();
        Box::pin(async move {
            let scope = &append.scope;
            let (id, follows) = &scope.runs;
            let parts = append.parts();
            let batch = Batch {
                parts: &parts,
                cursor: append.cursor,
                first_batch: append.first_batch,
                run: LogRun { id, follows },
                expiry: scope.expiry,
            };
            let appended = EventLog::append(&log, &scope.log, batch).await;
            drop(parts);
            (append, appended)
        })
    }
}
