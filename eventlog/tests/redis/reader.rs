//! Watching live, through floods, flushes, restarts and freezes.

use std::time::{Duration, Instant};

use steadfast_eventlog::{Batch, FirstBatch, LogError, LogItem, LogReader, LogSettings, Part, Snapshot, reader::From};
use steadfast_events::{EntryId, EventKind, LogId};
use steadfast_testkit::{Redis, RedisData};

use super::support::{RUN, TASK, append, begin, command, done, ids, log_on, next, next_entry, numbered, redis_and_log};

#[tokio::test]
async fn a_subscription_yields_earlier_and_later_entries_once_and_in_order() {
    let (_redis, log) = redis_and_log().await;
    let reader = LogReader::start(log.clone());
    let first = begin(&log, &numbered(1, [done("a"), done("b")])).await;
    let mut whole = reader.subscribe(&TASK, From::Start).await.unwrap();
    let mut resumed = reader
        .subscribe(
            &TASK,
            From::After(EntryId {
                number: 2,
                ..first.last
            }),
        )
        .await
        .unwrap();
    let mut live = reader.subscribe(&TASK, From::Tail).await.unwrap();
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
async fn a_subscription_that_joins_while_others_wait_gets_entries_at_once() {
    let (_redis, log) = redis_and_log().await;
    let reader = LogReader::start(log.clone());
    let other = begin(&log, &[]).await.last;
    let mut waiting = reader.subscribe(&TASK, From::Tail).await.unwrap();
    append(&log, "model", &numbered(1, [done("a")]), None).await.unwrap();
    assert_eq!(next_entry(&mut waiting).await.0.number, other.number + 1);

    let second_task = LogId::new("second", "first-run");
    let mut second = reader.subscribe(&second_task, From::Tail).await.unwrap();
    let batch = Batch {
        parts: &[Part {
            producer: "model",
            events: &numbered(1, [done("b")]),
        }],
        cursor: None,
        first_batch: FirstBatch::Yes,
        run: RUN,
        expiry: None,
    };
    let begun = Instant::now();
    log.append(&second_task, batch).await.unwrap();
    next_entry(&mut second).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_key_of_another_type_stops_its_own_subscribers_alone() {
    let (redis, log) = redis_and_log().await;
    let reader = LogReader::start(log.clone());
    begin(&log, &[]).await;
    let batch = |parts| Batch {
        parts,
        cursor: None,
        first_batch: FirstBatch::Yes,
        run: RUN,
        expiry: None,
    };
    let (before, after) = (numbered(1, [done("before")]), numbered(2, [done("after")]));
    let [before, after] = [&before, &after].map(|events| {
        [Part {
            producer: "model",
            events,
        }]
    });
    let other = LogId::new("spoilt", "first-run");
    log.append(&other, batch(&before)).await.unwrap();
    let mut good = reader.subscribe(&TASK, From::Tail).await.unwrap();
    let mut spoilt = reader.subscribe(&other, From::Start).await.unwrap();
    next_entry(&mut spoilt).await;
    next_entry(&mut spoilt).await;

    let key = log.key(&other);
    command::<()>(&redis, &["SET", &key, "no stream"]).await;
    for counter in 1..=20 {
        append(&log, "model", &numbered(counter, [done("a")]), None)
            .await
            .unwrap();
        let begun = Instant::now();
        next_entry(&mut good).await;
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    }

    command::<()>(&redis, &["DEL", &key]).await;
    log.append(&other, batch(&after)).await.unwrap();
    match next(&mut spoilt).await {
        LogItem::Reset(snapshot) => assert_eq!(ids(&snapshot.messages), ["after"]),
        entry @ LogItem::Entry(_) => panic!("{entry:?}"),
    }
}

#[tokio::test]
async fn a_slow_subscription_catches_up_without_a_gap() {
    let (_redis, log) = redis_and_log().await;
    let reader = LogReader::start(log.clone());
    let epoch = begin(&log, &[]).await.last.epoch;
    let mut slow = reader.subscribe(&TASK, From::Start).await.unwrap();
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
async fn a_subscription_from_the_start_of_a_missing_log_gets_a_reset() {
    let (_redis, log) = redis_and_log().await;
    let reader = LogReader::start(log.clone());
    let mut subscription = reader.subscribe(&TASK, From::Start).await.unwrap();
    assert_eq!(next(&mut subscription).await, LogItem::Reset(Snapshot::default()));
    let appended = begin(&log, &numbered(1, [done("a")])).await;
    assert_eq!(
        next_entry(&mut subscription).await.1,
        EventKind::LogOpened { complete: true }
    );
    assert_eq!(next_entry(&mut subscription).await.0, appended.last);
}

#[tokio::test]
async fn a_log_that_is_lost_before_its_first_entry_is_read_gets_a_reset() {
    let (redis, log) = redis_and_log().await;
    let reader = LogReader::start(log.clone());
    begin(&log, &numbered(1, [done("a")])).await;
    let mut subscription = reader.subscribe(&TASK, From::Start).await.unwrap();
    command::<()>(&redis, &["FLUSHALL"]).await;
    assert_eq!(next(&mut subscription).await, LogItem::Reset(Snapshot::default()));
    begin(&log, &numbered(2, [done("b")])).await;
    assert_eq!(
        next_entry(&mut subscription).await.1,
        EventKind::LogOpened { complete: true }
    );
}

#[tokio::test]
async fn stale_unknown_and_trimmed_ids_get_a_reset_then_live_events() {
    let redis = Redis::start().await.unwrap();
    let log = log_on(
        &redis,
        LogSettings {
            max_entries: 100,
            ..LogSettings::default()
        },
    );
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
    let tail = log.tail(&TASK).await.unwrap().unwrap();
    let stale = EntryId {
        epoch: first.epoch - 1,
        number: 1,
    };
    let ahead = EntryId {
        epoch: tail.epoch,
        number: tail.number + 5,
    };
    for from in [From::Start, From::After(first), From::After(stale), From::After(ahead)] {
        let mut subscription = reader.subscribe(&TASK, from).await.unwrap();
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
    let mut subscription = reader.subscribe(&TASK, From::After(first)).await.unwrap();
    assert!(matches!(next(&mut subscription).await, LogItem::Reset(_)));
    let appended = append(&log, "model", &numbered(1001, [done("c")]), None).await.unwrap();
    assert_eq!(next_entry(&mut subscription).await.0, appended.last);
}

#[tokio::test]
async fn a_flush_resets_a_live_subscription() {
    let (redis, log) = redis_and_log().await;
    let reader = LogReader::start(log.clone());
    let first = begin(&log, &numbered(1, [done("a")])).await;
    let mut viewer = reader.subscribe(&TASK, From::After(first.last)).await.unwrap();
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
async fn a_subscription_continues_after_redis_comes_back_with_its_data() {
    let (redis, log) = redis_and_log().await;
    let reader = LogReader::start(log.clone());
    let first = begin(&log, &numbered(1, [done("a")])).await;
    let mut viewer = reader.subscribe(&TASK, From::Tail).await.unwrap();
    redis.kill().await.unwrap();
    let begun = Instant::now();
    let error = append(&log, "model", &numbered(1, [done("b")]), Some(first.last))
        .await
        .unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(
        matches!(error, LogError::Connect(_) | LogError::ConnectionLost(_)),
        "{error:?}"
    );

    redis.restart(RedisData::Keep).await.unwrap();
    let appended = append(&log, "model", &numbered(1, [done("b")]), Some(first.last))
        .await
        .unwrap();
    assert_eq!(next_entry(&mut viewer).await.0, appended.last);
}

#[tokio::test]
async fn a_subscription_gets_a_reset_after_redis_comes_back_empty() {
    let (redis, log) = redis_and_log().await;
    let reader = LogReader::start(log.clone());
    let first = begin(&log, &numbered(1, [done("a")])).await;
    let mut viewer = reader.subscribe(&TASK, From::Start).await.unwrap();
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
async fn an_append_to_a_frozen_redis_fails_fast_and_a_repeat_loses_nothing() {
    let (redis, log) = redis_and_log().await;
    let reader = LogReader::start(log.clone());
    let first = begin(&log, &[]).await;
    let mut viewer = reader.subscribe(&TASK, From::Tail).await.unwrap();
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
        log.tail(&TASK).await.unwrap(),
        Some(EntryId {
            epoch: first.last.epoch,
            number: 3
        })
    );
}
