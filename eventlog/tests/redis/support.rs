//! A log on a Redis of its own, and builders of batches.

use std::{sync::LazyLock, time::Duration};

use futures::StreamExt as _;
use steadfast_eventlog::{
    Appended, Batch, EventLog, FirstBatch, LogError, LogItem, LogRun, LogSettings, Numbered, Part, RedisConnector,
    Subscription,
};
use steadfast_events::{
    EntryId, Event, EventKind, LogId, Message,
    testing::{event, text_done},
};
use steadfast_testkit::Redis;
use tokio::time::timeout;

pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);
pub(crate) static TASK: LazyLock<LogId> =
    LazyLock::new(|| LogId::new("01999999-0000-7000-8000-000000000001", "first-run"));
/// The first run of the task.
pub(crate) const RUN: LogRun<'_> = LogRun {
    id: "first-run",
    follows: "",
};

/// The finished message `id`, whose text is its id.
pub(crate) fn done(id: &str) -> Event {
    event(text_done(id, id))
}

/// Events numbered from `first` on.
pub(crate) fn numbered(first: u64, events: impl IntoIterator<Item = Event>) -> Vec<Numbered> {
    events
        .into_iter()
        .zip(first..)
        .map(|(event, counter)| Numbered { counter, event })
        .collect()
}

pub(crate) async fn append(
    log: &EventLog,
    producer: &str,
    events: &[Numbered],
    cursor: Option<EntryId>,
) -> Result<Appended, LogError> {
    log.append(
        &TASK,
        Batch {
            parts: &[Part { producer, events }],
            cursor,
            first_batch: FirstBatch::No,
            run: RUN,
            expiry: None,
        },
    )
    .await
}

pub(crate) async fn begin(log: &EventLog, events: &[Numbered]) -> Appended {
    log.append(
        &TASK,
        Batch {
            parts: &[Part {
                producer: "outbox",
                events,
            }],
            cursor: None,
            first_batch: FirstBatch::Yes,
            run: RUN,
            expiry: None,
        },
    )
    .await
    .unwrap()
}

pub(crate) async fn redis_and_log() -> (Redis, EventLog) {
    let redis = Redis::start().await.unwrap();
    let log = log_on(&redis, LogSettings::default());
    (redis, log)
}

pub(crate) fn log_on(redis: &Redis, settings: LogSettings) -> EventLog {
    EventLog::new(RedisConnector::from_url(&redis.url()).unwrap(), settings)
}

pub(crate) async fn command<T: redis::FromRedisValue>(redis: &Redis, words: &[&str]) -> T {
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut command = redis::cmd(words[0]);
    for word in &words[1..] {
        command.arg(word);
    }
    command.query_async(&mut connection).await.unwrap()
}

pub(crate) async fn next(subscription: &mut Subscription) -> LogItem {
    timeout(TIMEOUT, subscription.next())
        .await
        .expect("an item in time")
        .expect("a stream that goes on")
}

pub(crate) async fn next_entry(subscription: &mut Subscription) -> (EntryId, EventKind) {
    match next(subscription).await {
        LogItem::Entry(entry) => (entry.id, entry.event.kind.clone()),
        LogItem::Reset(snapshot) => panic!("an unexpected reset: {snapshot:?}"),
    }
}

pub(crate) fn ids(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| message.id.as_str()).collect()
}
