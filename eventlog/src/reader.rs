//! Subscriptions. A subscription yields every entry after its start once and in
//! order. Where that is impossible, because entries were trimmed or lost or the
//! log began anew, it yields the messages of the whole log and continues from
//! there. While Redis is away it waits; it never ends by itself.

use std::{pin::Pin, sync::Arc, task, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use futures::Stream;
use tokio::{
    sync::{broadcast::error::RecvError, mpsc, oneshot},
    time::sleep,
};

use steadfast_events::{EntryId, LogId};

use crate::{
    entry::Entry,
    error::LogError,
    fan_out::{self, Join, Live},
    store::{EventLog, Snapshot, is_next},
};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
const WAITING_JOINS: usize = 256;

/// Start of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// The first entry. A log that is missing or incomplete yields [`LogItem::Reset`] first.
    Start,
    /// The first entry of a task that has just begun: its log may be missing yet.
    Beginning,
    /// The entry after this one.
    After(EntryId),
    /// The next entry that is appended.
    Tail,
}

/// One item of a subscription.
#[derive(Clone, Debug, PartialEq)]
pub enum LogItem {
    /// The next entry.
    Entry(Arc<Entry>),
    /// Earlier items may be wrong or incomplete. This is the whole log; the items
    /// that follow come after `last`.
    Reset(Snapshot),
}

/// Reads for all subscriptions of a process over one connection. Cheap to clone.
#[derive(Clone)]
pub struct LogReader {
    log: EventLog,
    joins: mpsc::Sender<Join>,
}

/// The entries of one task; ends only if the reader is stopped.
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

    /// Subscribes to a log. When this returns, the start is fixed: every entry appended
    /// later will be yielded. Fails if Redis does not answer now.
    pub async fn subscribe(&self, id: &LogId, from: From) -> Result<Subscription, LogError> {
        let tail = self.log.tail(id).await?;
        let watch = Watch {
            log: self.log.clone(),
            joins: self.joins.clone(),
            id: id.clone(),
        };
        let (cursor, missing) = match from {
            From::Start => (None, tail.is_none()),
            From::Beginning => (None, false),
            From::After(id) => (Some(id), false),
            From::Tail => (tail, false),
        };
        Ok(Subscription {
            begins_after: cursor,
            items: Box::pin(watch.items(cursor, missing, from == From::Start && tail.is_some())),
        })
    }
}

impl Subscription {
    /// The entry before the first item; `None` if that is the first of the log.
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
    id: LogId,
}

/// Result of reading by range.
enum RangeRead {
    Entries(Vec<Entry>),
    /// No more entries, and none lost.
    End,
    /// Entries between the cursor and the next entry are lost.
    Gap,
}

impl Watch {
    /// `missing`: there is no log. `existed`: there are entries to come, unless the log is lost before they are read.
    fn items(
        self,
        mut cursor: Option<EntryId>,
        missing: bool,
        mut existed: bool,
    ) -> impl Stream<Item = LogItem> + Send {
        async_stream::stream! {
            if missing {
                yield LogItem::Reset(Snapshot::default());
            }
            // Each round: join first, then read what came before, then follow live.
            'rounds: loop {
                let Some(mut live) = Box::pin(self.join()).await else { return };
                'range: loop {
                    // On the heap, like the other reads: live entries need none, and every viewer would carry their size.
                    match Box::pin(until_redis_answers(|| self.after(cursor))).await {
                        RangeRead::Entries(entries) => {
                            for entry in entries.into_iter().map(Arc::new) {
                                if !is_next(cursor, &entry) {
                                    let snapshot = self.whole().await;
                                    cursor = snapshot.last;
                                    yield LogItem::Reset(snapshot);
                                    continue 'range;
                                }
                                cursor = Some(entry.id);
                                yield LogItem::Entry(entry);
                            }
                        }
                        RangeRead::End if existed && cursor.is_none() => {
                            existed = false;
                            yield LogItem::Reset(Snapshot::default());
                        }
                        RangeRead::End => break 'range,
                        RangeRead::Gap => {
                            let snapshot = self.whole().await;
                            cursor = snapshot.last;
                            yield LogItem::Reset(snapshot);
                        }
                    }
                }
                loop {
                    match live.recv().await {
                        Ok(entry) if cursor.is_some_and(|cursor| entry.id <= cursor) => {}
                        Ok(entry) if is_next(cursor, &entry) => {
                            cursor = Some(entry.id);
                            yield LogItem::Entry(entry);
                        }
                        // Reading by range finds the lost entries or the gap.
                        Ok(_) | Err(RecvError::Lagged(_) | RecvError::Closed) => continue 'rounds,
                    }
                }
            }
        }
    }

    /// Joins the fan-out; waits while Redis is away. `None` when the fan-out has stopped.
    async fn join(&self) -> Option<Live> {
        let mut pauses = back_off();
        loop {
            let (joined, live) = oneshot::channel();
            self.joins
                .send(Join {
                    id: self.id.clone(),
                    joined,
                })
                .await
                .ok()?;
            match live.await {
                Ok(live) => return Some(live),
                Err(_) => sleep(pauses.next().unwrap_or(LONGEST_PAUSE)).await,
            }
        }
    }

    async fn after(&self, cursor: Option<EntryId>) -> Result<RangeRead, LogError> {
        let entries = self.log.page_after(&self.id, cursor).await?;
        if !entries.is_empty() {
            return Ok(RangeRead::Entries(entries));
        }
        let tail = self.log.tail(&self.id).await?;
        Ok(match (cursor, tail) {
            (None, None) => RangeRead::End,
            (Some(cursor), Some(tail)) if cursor == tail => RangeRead::End,
            // Appended between the two commands: read again.
            (Some(cursor), Some(tail)) if cursor < tail => RangeRead::Entries(Vec::new()),
            (None, Some(_)) => RangeRead::Entries(Vec::new()),
            (Some(_), _) => RangeRead::Gap,
        })
    }

    async fn whole(&self) -> Snapshot {
        Box::pin(until_redis_answers(|| self.log.snapshot(&self.id))).await
    }
}

/// Repeats a read until Redis answers.
async fn until_redis_answers<T, F: Future<Output = Result<T, LogError>>>(read: impl Fn() -> F) -> T {
    let mut pauses = back_off();
    loop {
        match read().await {
            Ok(value) => return value,
            // The fan-out logs the outage.
            Err(_) => sleep(pauses.next().unwrap_or(LONGEST_PAUSE)).await,
        }
    }
}

fn back_off() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .with_jitter()
        .without_max_times()
        .build()
}
