//! Watching logs live. A subscription yields every entry after its start once
//! and in order; where that is impossible, because entries were trimmed, lost or
//! the log began anew, it yields the whole log folded and goes on from there.
//! It outlives Redis: while Redis is away it waits, it never ends by itself.

use std::{pin::Pin, sync::Arc, task, time::Duration};

use futures::Stream;
use tokio::{
    sync::{broadcast::error::RecvError, mpsc, oneshot},
    time::sleep,
};

use steadfast_events::EntryId;

use crate::{
    entry::Entry,
    error::LogError,
    fan_out::{self, Join, Live},
    store::{EventLog, Snapshot, is_next},
};

const RETRY_AFTER: Duration = Duration::from_millis(500);
const WAITING_JOINS: usize = 256;

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// With the first entry; a log that is missing or does not hold the task from
    /// its beginning yields [`LogItem::Reset`] first.
    Start,
    /// With what follows this entry.
    After(EntryId),
    /// With what is appended from now on.
    Tail,
}

#[derive(Clone, Debug, PartialEq)]
pub enum LogItem {
    Entry(Arc<Entry>),
    /// What the viewer has may be wrong or incomplete: this is all there is, and
    /// the items that follow come after `last`.
    Reset(Snapshot),
}

/// Reads for all viewers of a process over one connection. Cheap to clone.
#[derive(Clone)]
pub struct LogReader {
    log: EventLog,
    joins: mpsc::Sender<Join>,
}

/// The entries of one task as they come; ends only if the reader is stopped.
pub struct Subscription {
    begins_after: Option<EntryId>,
    items: Pin<Box<dyn Stream<Item = LogItem> + Send>>,
}

impl LogReader {
    /// Starts the reading task; it ends when all handles and subscriptions are gone.
    pub fn start(log: EventLog) -> Self {
        let (joins, receiver) = mpsc::channel(WAITING_JOINS);
        tokio::spawn(fan_out::run(log.clone(), receiver));
        Self { log, joins }
    }

    /// Watches a task. When this returns, the start is fixed: everything appended
    /// later is going to be yielded. An error means that Redis is away now.
    pub async fn subscribe(&self, task_id: &str, from: From) -> Result<Subscription, LogError> {
        let tail = self.log.tail(task_id).await?;
        let watch = Watch {
            log: self.log.clone(),
            joins: self.joins.clone(),
            task_id: task_id.to_owned(),
        };
        let (cursor, missing) = match from {
            From::Start => (None, tail.is_none()),
            From::After(id) => (Some(id), false),
            From::Tail => (tail, false),
        };
        Ok(Subscription {
            begins_after: cursor,
            items: Box::pin(watch.items(cursor, missing)),
        })
    }
}

impl Subscription {
    /// The entry that the first item follows; none if that is the first of the log.
    pub fn begins_after(&self) -> Option<EntryId> {
        self.begins_after
    }
}

impl Stream for Subscription {
    type Item = LogItem;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> task::Poll<Option<LogItem>> {
        self.items.as_mut().poll_next(context)
    }
}

struct Watch {
    log: EventLog,
    joins: mpsc::Sender<Join>,
    task_id: String,
}

/// What reading by range found.
enum Found {
    Entries(Vec<Entry>),
    /// Nothing more, and nothing lost.
    End,
    /// Something between the cursor and the next entry is gone.
    Gap,
}

impl Watch {
    fn items(self, mut cursor: Option<EntryId>, missing: bool) -> impl Stream<Item = LogItem> + Send {
        async_stream::stream! {
            if missing {
                yield LogItem::Reset(Snapshot::default());
            }
            // Each round: join first, then read what came before, then follow live.
            'rounds: loop {
                let Some(mut live) = self.join().await else { return };
                'range: loop {
                    match self.after(cursor).await {
                        Ok(Found::Entries(entries)) => {
                            for entry in entries {
                                if !is_next(cursor, &entry) {
                                    let snapshot = self.whole().await;
                                    cursor = snapshot.last;
                                    yield LogItem::Reset(snapshot);
                                    continue 'range;
                                }
                                cursor = Some(entry.id);
                                yield LogItem::Entry(Arc::new(entry));
                            }
                        }
                        Ok(Found::End) => break 'range,
                        Ok(Found::Gap) => {
                            let snapshot = self.whole().await;
                            cursor = snapshot.last;
                            yield LogItem::Reset(snapshot);
                        }
                        Err(_) => sleep(RETRY_AFTER).await,
                    }
                }
                loop {
                    match live.recv().await {
                        Ok(entry) if cursor.is_some_and(|cursor| entry.id <= cursor) => {}
                        Ok(entry) if is_next(cursor, &entry) => {
                            cursor = Some(entry.id);
                            yield LogItem::Entry(entry);
                        }
                        // Reading by range tells what happened.
                        Ok(_) | Err(RecvError::Lagged(_) | RecvError::Closed) => continue 'rounds,
                    }
                }
            }
        }
    }

    /// Joins the fan-out; waits while Redis is away. `None` when it has stopped.
    async fn join(&self) -> Option<Live> {
        loop {
            let (joined, live) = oneshot::channel();
            self.joins
                .send(Join {
                    task_id: self.task_id.clone(),
                    joined,
                })
                .await
                .ok()?;
            match live.await {
                Ok(live) => return Some(live),
                Err(_) => sleep(RETRY_AFTER).await,
            }
        }
    }

    async fn after(&self, cursor: Option<EntryId>) -> Result<Found, LogError> {
        let entries = self.log.page_after(&self.task_id, cursor).await?;
        if !entries.is_empty() {
            return Ok(Found::Entries(entries));
        }
        let tail = self.log.tail(&self.task_id).await?;
        Ok(match (cursor, tail) {
            (None, None) => Found::End,
            (Some(cursor), Some(tail)) if cursor == tail => Found::End,
            // Appended between the two questions: ask again.
            (Some(cursor), Some(tail)) if cursor < tail => Found::Entries(Vec::new()),
            (None, Some(_)) => Found::Entries(Vec::new()),
            (Some(_), _) => Found::Gap,
        })
    }

    async fn whole(&self) -> Snapshot {
        loop {
            match self.log.snapshot(&self.task_id).await {
                Ok(snapshot) => return snapshot,
                Err(_) => sleep(RETRY_AFTER).await,
            }
        }
    }
}
