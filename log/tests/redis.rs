//! The log against a real Redis that is shared by many writers, flushed, killed
//! and frozen.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use steadfast_log::{
    Appended, Batch, Content, EntryId, Event, EventKind, EventLog, Genesis, LogError, LogItem, LogReader, LogSettings,
    Message, MessageStatus, Numbered, Snapshot, SpillPlace, Subscription, TextFormat, reader::From,
};
use steadfast_platform::{Redis, RedisData};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);
const TASK: &str = "01999999-0000-7000-8000-000000000001";

fn event(kind: EventKind) -> Event {
    Event {
        kind,
        turn: 1,
        attempt: 1,
        agent: "haiku".to_owned(),
        time: jiff::Timestamp::UNIX_EPOCH,
    }
}

fn message(id: &str, text: &str) -> Message {
    Message {
        id: id.to_owned(),
        turn: 1,
        agent: "haiku".to_owned(),
        author: steadfast_log::Author::Agent,
        content: Content::Text {
            text: text.to_owned(),
            format: TextFormat::Plain,
        },
        status: MessageStatus::Done,
        created_at: jiff::Timestamp::UNIX_EPOCH,
        updated_at: jiff::Timestamp::UNIX_EPOCH,
    }
}

fn done(id: &str) -> Event {
    event(EventKind::MessageDone {
        message: message(id, id),
    })
}

/// Events numbered from `first` on.
fn numbered(first: u64, events: impl IntoIterator<Item = Event>) -> Vec<Numbered> {
    events
        .into_iter()
        .zip(first..)
        .map(|(event, counter)| Numbered { counter, event })
        .collect()
}

async fn append(
    log: &EventLog,
    producer: &str,
    events: &[Numbered],
    seen: Option<EntryId>,
) -> Result<Appended, LogError> {
    log.append(
        TASK,
        Batch {
            producer,
            events,
            seen,
            genesis: Genesis::No,
        },
    )
    .await
}

async fn begin(log: &EventLog, events: &[Numbered]) -> Appended {
    log.append(
        TASK,
        Batch {
            producer: "outbox",
            events,
            seen: None,
            genesis: Genesis::Yes,
        },
    )
    .await
    .unwrap()
}

async fn redis_and_log() -> (Redis, EventLog) {
    let redis = Redis::start().await.unwrap();
    let log = EventLog::new(&redis.url(), LogSettings::default()).unwrap();
    (redis, log)
}

async fn command<T: redis::FromRedisValue>(redis: &Redis, words: &[&str]) -> T {
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut command = redis::cmd(words[0]);
    for word in &words[1..] {
        command.arg(word);
    }
    command.query_async(&mut connection).await.unwrap()
}

async fn next(subscription: &mut Subscription) -> LogItem {
    timeout(PATIENCE, subscription.next())
        .await
        .expect("an item in time")
        .expect("a stream that goes on")
}

async fn next_entry(subscription: &mut Subscription) -> (EntryId, EventKind) {
    match next(subscription).await {
        LogItem::Entry(entry) => (entry.id, entry.event.kind.clone()),
        LogItem::Reset(snapshot) => panic!("an unexpected reset: {snapshot:?}"),
    }
}

fn ids(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| message.id.as_str()).collect()
}

#[tokio::test]
async fn the_first_entry_says_whether_the_log_is_complete() {
    let (redis, log) = redis_and_log().await;
    let appended = begin(&log, &numbered(1, [done("a"), done("b")])).await;
    assert_eq!(
        (appended.last.number, appended.added, appended.opened_epoch),
        (3, 3, true)
    );
    let entries: Vec<(String, Vec<String>)> =
        command(&redis, &["XRANGE", &format!("stream:{{{TASK}}}"), "-", "+"]).await;
    assert_eq!(entries[0].0, format!("{}-1", appended.last.epoch));
    assert_eq!(entries[0].1[0], "data");
    assert!(
        entries[0].1[1].starts_with(r#"{"type":"log_opened","complete":true,"#),
        "{}",
        entries[0].1[1]
    );
    let snapshot = log.snapshot(TASK).await.unwrap();
    assert_eq!(
        snapshot,
        Snapshot {
            messages: vec![message("a", "a"), message("b", "b")],
            complete: true,
            last: Some(appended.last)
        }
    );

    log.append(
        "other",
        Batch {
            producer: "model",
            events: &numbered(1, [done("c")]),
            seen: None,
            genesis: Genesis::No,
        },
    )
    .await
    .unwrap();
    assert!(!log.snapshot("other").await.unwrap().complete);
    assert_eq!(log.snapshot("nowhere").await.unwrap(), Snapshot::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_producers_at_once_leave_no_gap_and_no_duplicate() {
    const PRODUCERS: u64 = 8;
    const BATCHES: u64 = 50;
    let (_redis, log) = redis_and_log().await;
    begin(&log, &[]).await;
    let writers = (0..PRODUCERS).map(|producer| {
        let log = log.clone();
        tokio::spawn(async move {
            let name = format!("model/{producer}");
            for batch in 0..BATCHES {
                let events = numbered(
                    batch * 3 + 1,
                    (0..3).map(|index| done(&format!("{producer}/{}", batch * 3 + index))),
                );
                append(&log, &name, &events, None).await.unwrap();
                // As after a lost answer.
                let repeated = append(&log, &name, &events, None).await.unwrap();
                assert_eq!(repeated.added, 0);
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let mut last: Option<EntryId> = None;
    let mut count = 0;
    loop {
        let page = log.page_after(TASK, last).await.unwrap();
        if page.is_empty() {
            break;
        }
        for entry in page {
            if let Some(last) = last {
                assert!(last.is_followed_by(entry.id), "{last} then {}", entry.id);
            }
            last = Some(entry.id);
            count += 1;
        }
    }
    assert_eq!(count, 1 + PRODUCERS * BATCHES * 3);
    assert_eq!(
        log.snapshot(TASK).await.unwrap().messages.len(),
        usize::try_from(PRODUCERS * BATCHES * 3).unwrap()
    );
}

#[tokio::test]
async fn only_what_is_new_of_an_overlapping_batch_is_added() {
    let (_redis, log) = redis_and_log().await;
    begin(&log, &numbered(1, [done("a"), done("b")])).await;
    let appended = append(&log, "outbox", &numbered(1, [done("a"), done("b"), done("c")]), None)
        .await
        .unwrap();
    assert_eq!((appended.last.number, appended.added), (4, 1));
    let late = append(&log, "outbox", &numbered(1, [done("a")]), None).await.unwrap();
    assert_eq!((late.last, late.added), (appended.last, 0));
}

#[tokio::test]
async fn a_log_behind_what_its_producer_saw_opens_a_new_epoch() {
    let (redis, log) = redis_and_log().await;
    let first = begin(&log, &numbered(1, [done("a"), done("b")])).await;
    // The tail is lost, as in a failover.
    let _: i64 = command(&redis, &["XDEL", &log.key(TASK), &first.last.to_string()]).await;
    let second = append(&log, "model", &numbered(1, [done("c")]), Some(first.last))
        .await
        .unwrap();
    assert!(second.opened_epoch);
    assert!(second.last.epoch > first.last.epoch);
    assert_eq!((second.last.number, second.added), (2, 2));
    let snapshot = log.snapshot(TASK).await.unwrap();
    assert_eq!((ids(&snapshot.messages), snapshot.complete), (vec!["a", "c"], false));

    let third = append(&log, "model", &numbered(2, [done("d")]), Some(second.last))
        .await
        .unwrap();
    assert_eq!(
        (third.opened_epoch, third.last),
        (
            false,
            EntryId {
                epoch: second.last.epoch,
                number: 3
            }
        )
    );
}

#[tokio::test]
async fn an_epoch_is_above_the_one_seen_even_if_the_clock_went_back() {
    let (_redis, log) = redis_and_log().await;
    let future = EntryId {
        epoch: 99_999_999_999_999,
        number: 7,
    };
    let appended = append(&log, "model", &numbered(1, [done("a")]), Some(future))
        .await
        .unwrap();
    assert_eq!(
        appended.last,
        EntryId {
            epoch: 100_000_000_000_000,
            number: 2
        }
    );
}

#[tokio::test]
async fn old_entries_and_silent_producers_are_forgotten() {
    let redis = Redis::start().await.unwrap();
    let settings = LogSettings {
        max_entries: 100,
        expiry: Duration::from_mins(1),
        ..LogSettings::default()
    };
    let log = EventLog::new(&redis.url(), settings).unwrap();
    begin(&log, &[]).await;
    for producer in 0..600 {
        append(
            &log,
            &format!("model/{producer}"),
            &numbered(1, [done("a"), done("b")]),
            None,
        )
        .await
        .unwrap();
    }
    let key = log.key(TASK);
    let length: usize = command(&redis, &["XLEN", &key]).await;
    assert!((100..=300).contains(&length), "{length}");
    let producers: usize = command(&redis, &["HLEN", &format!("{key}:producers")]).await;
    assert!((1..=512).contains(&producers), "{producers}");
    for key in [key.clone(), format!("{key}:producers")] {
        let expiry: i64 = command(&redis, &["PTTL", &key]).await;
        assert!((1..=60_000).contains(&expiry), "{expiry}");
    }
    assert!(!log.snapshot(TASK).await.unwrap().complete);
}

#[tokio::test]
async fn a_spill_is_read_back() {
    let (_redis, log) = redis_and_log().await;
    let place = SpillPlace {
        task_id: TASK,
        turn: 2,
        step: 3,
    };
    assert_eq!(log.get_spill(place).await.unwrap(), None);
    log.put_spill(place, b"\x00whole answer\xff").await.unwrap();
    assert_eq!(log.get_spill(place).await.unwrap().unwrap(), b"\x00whole answer\xff");
    assert_eq!(log.get_spill(SpillPlace { step: 4, ..place }).await.unwrap(), None);
}

#[tokio::test]
async fn a_subscription_yields_what_was_and_what_comes_once_and_in_order() {
    let (_redis, log) = redis_and_log().await;
    let reader = LogReader::start(log.clone());
    let first = begin(&log, &numbered(1, [done("a"), done("b")])).await;
    let mut whole = reader.subscribe(TASK, From::Start).await.unwrap();
    let mut resumed = reader
        .subscribe(
            TASK,
            From::After(EntryId {
                number: 2,
                ..first.last
            }),
        )
        .await
        .unwrap();
    let mut live = reader.subscribe(TASK, From::Tail).await.unwrap();
    for counter in 3..100 {
        append(&log, "outbox", &numbered(counter, [done("c")]), Some(first.last))
            .await
            .unwrap();
    }
    for (subscription, from) in [(&mut whole, 1), (&mut resumed, 3), (&mut live, 4)] {
        for number in from..=100 {
            assert_eq!(
                next_entry(subscription).await.0,
                EntryId {
                    epoch: first.last.epoch,
                    number
                }
            );
        }
    }
}

#[tokio::test]
async fn a_subscription_that_joins_while_others_wait_hears_at_once() {
    let (_redis, log) = redis_and_log().await;
    let reader = LogReader::start(log.clone());
    let other = begin(&log, &[]).await.last;
    let mut waiting = reader.subscribe(TASK, From::Tail).await.unwrap();
    append(&log, "model", &numbered(1, [done("a")]), None).await.unwrap();
    assert_eq!(next_entry(&mut waiting).await.0.number, other.number + 1);

    let mut second = reader.subscribe("second", From::Tail).await.unwrap();
    let batch = Batch {
        producer: "model",
        events: &numbered(1, [done("b")]),
        seen: None,
        genesis: Genesis::Yes,
    };
    let begun = Instant::now();
    log.append("second", batch).await.unwrap();
    next_entry(&mut second).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_slow_viewer_catches_up_without_a_gap() {
    let (_redis, log) = redis_and_log().await;
    let reader = LogReader::start(log.clone());
    let epoch = begin(&log, &[]).await.last.epoch;
    let mut slow = reader.subscribe(TASK, From::Start).await.unwrap();
    next_entry(&mut slow).await;
    // More than a channel holds, while nobody listens.
    for batch in 0..10 {
        append(
            &log,
            "model",
            &numbered(batch * 300 + 1, (0..300).map(|_| done("a"))),
            None,
        )
        .await
        .unwrap();
    }
    for number in 2..=3001 {
        assert_eq!(next_entry(&mut slow).await.0, EntryId { epoch, number });
    }
}

#[tokio::test]
async fn a_missing_log_is_told_to_who_wants_it_from_the_start() {
    let (_redis, log) = redis_and_log().await;
    let reader = LogReader::start(log.clone());
    let mut subscription = reader.subscribe(TASK, From::Start).await.unwrap();
    assert_eq!(next(&mut subscription).await, LogItem::Reset(Snapshot::default()));
    let appended = begin(&log, &numbered(1, [done("a")])).await;
    assert_eq!(
        next_entry(&mut subscription).await.1,
        EventKind::LogOpened { complete: true }
    );
    assert_eq!(next_entry(&mut subscription).await.0, appended.last);
}

#[tokio::test]
async fn stale_unknown_and_trimmed_ids_get_a_reset_then_live_events() {
    let redis = Redis::start().await.unwrap();
    let log = EventLog::new(
        &redis.url(),
        LogSettings {
            max_entries: 100,
            ..LogSettings::default()
        },
    )
    .unwrap();
    let reader = LogReader::start(log.clone());
    let first = begin(&log, &numbered(1, [done("a")])).await.last;
    for batch in 0..5 {
        append(
            &log,
            "model",
            &numbered(batch * 100 + 1, (0..100).map(|_| done("b"))),
            None,
        )
        .await
        .unwrap();
    }
    let tail = log.tail(TASK).await.unwrap().unwrap();
    let stale = EntryId {
        epoch: first.epoch - 1,
        number: 1,
    };
    let ahead = EntryId {
        epoch: tail.epoch,
        number: tail.number + 5,
    };
    for from in [From::Start, From::After(first), From::After(stale), From::After(ahead)] {
        let mut subscription = reader.subscribe(TASK, from).await.unwrap();
        match next(&mut subscription).await {
            LogItem::Reset(snapshot) => {
                assert_eq!(
                    (ids(&snapshot.messages), snapshot.complete, snapshot.last),
                    (vec!["b"], false, Some(tail)),
                    "{from:?}"
                );
            }
            LogItem::Entry(entry) => panic!("{from:?}: {entry:?}"),
        }
    }
    let mut subscription = reader.subscribe(TASK, From::After(first)).await.unwrap();
    assert!(matches!(next(&mut subscription).await, LogItem::Reset(_)));
    let appended = append(&log, "model", &numbered(1001, [done("c")]), None).await.unwrap();
    assert_eq!(next_entry(&mut subscription).await.0, appended.last);
}

#[tokio::test]
async fn a_flush_resets_a_connected_viewer() {
    let (redis, log) = redis_and_log().await;
    let reader = LogReader::start(log.clone());
    let first = begin(&log, &numbered(1, [done("a")])).await;
    let mut viewer = reader.subscribe(TASK, From::After(first.last)).await.unwrap();
    append(&log, "model", &numbered(1, [done("b")]), Some(first.last))
        .await
        .unwrap();
    next_entry(&mut viewer).await;

    let _: String = command(&redis, &["FLUSHALL"]).await;
    let second = append(&log, "model", &numbered(2, [done("c")]), Some(first.last))
        .await
        .unwrap();
    assert!(second.opened_epoch);
    match next(&mut viewer).await {
        LogItem::Reset(snapshot) => {
            assert_eq!(
                (ids(&snapshot.messages), snapshot.complete, snapshot.last),
                (vec!["c"], false, Some(second.last))
            );
        }
        LogItem::Entry(entry) => panic!("{entry:?}"),
    }
    let third = append(&log, "model", &numbered(3, [done("d")]), Some(second.last))
        .await
        .unwrap();
    assert_eq!(next_entry(&mut viewer).await.0, third.last);
}

#[tokio::test]
async fn a_viewer_outlives_a_redis_that_comes_back_with_its_data() {
    let (redis, log) = redis_and_log().await;
    let reader = LogReader::start(log.clone());
    let first = begin(&log, &numbered(1, [done("a")])).await;
    let mut viewer = reader.subscribe(TASK, From::Tail).await.unwrap();
    redis.kill().await.unwrap();
    let begun = Instant::now();
    let error = append(&log, "model", &numbered(1, [done("b")]), Some(first.last))
        .await
        .unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(
        matches!(error, LogError::Connect(_) | LogError::Command(_)),
        "{error:?}"
    );

    redis.restart(RedisData::Keep).await.unwrap();
    let appended = append(&log, "model", &numbered(1, [done("b")]), Some(first.last))
        .await
        .unwrap();
    assert_eq!(next_entry(&mut viewer).await.0, appended.last);
}

#[tokio::test]
async fn a_viewer_of_a_redis_that_comes_back_empty_is_told() {
    let (redis, log) = redis_and_log().await;
    let reader = LogReader::start(log.clone());
    let first = begin(&log, &numbered(1, [done("a")])).await;
    let mut viewer = reader.subscribe(TASK, From::Start).await.unwrap();
    next_entry(&mut viewer).await;
    next_entry(&mut viewer).await;
    redis.restart(RedisData::Empty).await.unwrap();
    assert_eq!(next(&mut viewer).await, LogItem::Reset(Snapshot::default()));

    let second = append(&log, "model", &numbered(1, [done("b")]), Some(first.last))
        .await
        .unwrap();
    match next(&mut viewer).await {
        LogItem::Reset(snapshot) => {
            assert_eq!((ids(&snapshot.messages), snapshot.last), (vec!["b"], Some(second.last)));
        }
        LogItem::Entry(entry) => panic!("{entry:?}"),
    }
}

#[tokio::test]
async fn a_frozen_redis_fails_an_append_fast_and_loses_nothing_after() {
    let (redis, log) = redis_and_log().await;
    let reader = LogReader::start(log.clone());
    let first = begin(&log, &[]).await;
    let mut viewer = reader.subscribe(TASK, From::Tail).await.unwrap();
    redis.freeze().unwrap();
    for _ in 0..2 {
        let begun = Instant::now();
        let error = append(&log, "model", &numbered(1, [done("a")]), Some(first.last))
            .await
            .unwrap_err();
        assert!(
            matches!(error, LogError::TimedOut(_) | LogError::Connect(_)),
            "{error:?}"
        );
        assert!(begun.elapsed() < Duration::from_millis(2_500), "{:?}", begun.elapsed());
    }
    redis.thaw().unwrap();
    // What was sent while it was frozen may have arrived after all: once, either way.
    append(&log, "model", &numbered(1, [done("a"), done("b")]), Some(first.last))
        .await
        .unwrap();
    for number in 2..=3 {
        assert_eq!(
            next_entry(&mut viewer).await.0,
            EntryId {
                epoch: first.last.epoch,
                number
            }
        );
    }
    assert_eq!(
        log.tail(TASK).await.unwrap(),
        Some(EntryId {
            epoch: first.last.epoch,
            number: 3
        })
    );
}
