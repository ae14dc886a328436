//! Appending and reading by range.

use std::time::Duration;

use steadfast_eventlog::{Batch, FirstBatch, LogRun, LogSettings, Part, Snapshot, SpillPlace};
use steadfast_events::{
    EntryId, LogId,
    testing::{event, message, text, text_done},
};
use steadfast_testkit::Redis;

use super::support::{RUN, TASK, append, begin, command, done, ids, log_on, numbered, redis_and_log};

#[tokio::test]
async fn the_first_entry_says_whether_the_log_is_complete() {
    let (redis, log) = redis_and_log().await;
    let appended = begin(&log, &numbered(1, [done("a"), done("b")])).await;
    assert_eq!(
        (appended.last.number, appended.added, appended.opened_epoch),
        (3, 3, true)
    );
    let entries: Vec<(String, Vec<String>)> = command(
        &redis,
        &[
            "XRANGE",
            &format!("stream:{{{}}}:{}", TASK.task_id, TASK.first_run_id),
            "-",
            "+",
        ],
    )
    .await;
    assert_eq!(entries[0].0, format!("{}-1", appended.last.epoch));
    assert_eq!(entries[0].1[0], "data");
    assert!(
        entries[0].1[1].starts_with(r#"{"type":"log_opened","complete":true,"#),
        "{}",
        entries[0].1[1]
    );
    let snapshot = log.snapshot(&TASK).await.unwrap();
    assert_eq!(
        snapshot,
        Snapshot {
            messages: vec![message("a", text("a")), message("b", text("b"))],
            complete: true,
            ended: false,
            turn_end: None,
            last: Some(appended.last)
        }
    );

    let other = LogId::new("other", "run");
    log.append(
        &other,
        Batch {
            parts: &[Part {
                producer: "model",
                events: &numbered(1, [done("c")]),
            }],
            cursor: None,
            first_batch: FirstBatch::No,
            run: RUN,
            expiry: None,
        },
    )
    .await
    .unwrap();
    assert!(!log.snapshot(&other).await.unwrap().complete);
    assert_eq!(
        log.snapshot(&LogId::new("nowhere", "run")).await.unwrap(),
        Snapshot::default()
    );
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
        let page = log.page_after(&TASK, last).await.unwrap();
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
        log.snapshot(&TASK).await.unwrap().messages.len(),
        usize::try_from(PRODUCERS * BATCHES * 3).unwrap()
    );
}

#[tokio::test]
async fn an_overlapping_batch_adds_only_its_new_events() {
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
async fn the_producers_of_one_batch_append_in_its_order_and_each_only_what_is_new() {
    let (_redis, log) = redis_and_log().await;
    begin(&log, &numbered(1, [done("a")])).await;
    let (outbox, model, end) = (
        numbered(1, [done("a"), done("b")]),
        numbered(1, [done("c"), done("d")]),
        numbered(7, [done("e")]),
    );
    let part = |producer, events| Part { producer, events };
    let batch = Batch {
        parts: &[part("outbox", &outbox[..]), part("model", &model), part("end", &end)],
        cursor: None,
        first_batch: FirstBatch::No,
        run: RUN,
        expiry: None,
    };
    assert_eq!(log.append(&TASK, batch).await.unwrap().added, 4);
    assert_eq!(log.append(&TASK, batch).await.unwrap().added, 0);
    let snapshot = log.snapshot(&TASK).await.unwrap();
    assert_eq!(ids(&snapshot.messages), ["a", "b", "c", "d", "e"]);
}

#[tokio::test]
async fn a_log_that_ends_before_the_cursor_of_its_producer_opens_a_new_epoch() {
    let (redis, log) = redis_and_log().await;
    let first = begin(&log, &numbered(1, [done("a"), done("b")])).await;
    // The tail is lost, as in a failover.
    let _: i64 = command(&redis, &["XDEL", &log.key(&TASK), &first.last.to_string()]).await;
    let second = append(&log, "model", &numbered(1, [done("c")]), Some(first.last))
        .await
        .unwrap();
    assert!(second.opened_epoch);
    assert!(second.last.epoch > first.last.epoch);
    assert_eq!((second.last.number, second.added), (2, 2));
    let snapshot = log.snapshot(&TASK).await.unwrap();
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
async fn the_first_events_sent_again_do_not_make_a_lost_log_complete() {
    let (redis, log) = redis_and_log().await;
    let first = begin(&log, &numbered(1, [done("a")])).await;
    append(&log, "model", &numbered(1, [done("b")]), None).await.unwrap();
    let _: String = command(&redis, &["FLUSHALL"]).await;
    let batch = Batch {
        parts: &[Part {
            producer: "outbox",
            events: &numbered(1, [done("a")]),
        }],
        cursor: Some(first.last),
        first_batch: FirstBatch::Yes,
        run: RUN,
        expiry: None,
    };
    log.append(&TASK, batch).await.unwrap();
    let snapshot = log.snapshot(&TASK).await.unwrap();
    assert_eq!((ids(&snapshot.messages), snapshot.complete), (vec!["a"], false));
}

#[tokio::test]
async fn a_new_epoch_is_later_than_the_cursor_even_if_the_clock_went_back() {
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
    let log = log_on(&redis, settings);
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
    let key = log.key(&TASK);
    let length: usize = command(&redis, &["XLEN", &key]).await;
    assert!((80..=100).contains(&length), "{length}");
    let producers: usize = command(&redis, &["HLEN", &format!("{key}:producers")]).await;
    assert!((1..=512).contains(&producers), "{producers}");
    for key in [key.clone(), format!("{key}:producers")] {
        let expiry: i64 = command(&redis, &["PTTL", &key]).await;
        assert!((1..=60_000).contains(&expiry), "{expiry}");
    }
    assert!(!log.snapshot(&TASK).await.unwrap().complete);
}

#[tokio::test]
async fn a_spill_is_read_back() {
    let (_redis, log) = redis_and_log().await;
    let place = SpillPlace {
        log: &TASK,
        run_id: "run",
        turn: 2,
        step: 3,
    };
    assert_eq!(log.get_spill(place).await.unwrap(), None);
    log.put_spill(place, b"\x00whole answer\xff").await.unwrap();
    assert_eq!(log.get_spill(place).await.unwrap().unwrap(), b"\x00whole answer\xff");
    assert_eq!(log.get_spill(SpillPlace { step: 4, ..place }).await.unwrap(), None);
    // After a reset another run comes to the same place.
    let repeated = SpillPlace {
        run_id: "other run",
        ..place
    };
    assert_eq!(log.get_spill(repeated).await.unwrap(), None);
}

#[tokio::test]
async fn a_task_whose_id_is_used_again_has_a_log_of_its_own() {
    let (_redis, log) = redis_and_log().await;
    begin(&log, &numbered(1, [done("a"), done("b")])).await;
    let again = LogId::new(&TASK.task_id, "another first run");
    assert_eq!(log.snapshot(&again).await.unwrap(), Snapshot::default());
    // The counters start at 1 again: nothing of the new task counts as a repetition.
    let batch = Batch {
        parts: &[Part {
            producer: "outbox",
            events: &numbered(1, [done("c")]),
        }],
        cursor: None,
        first_batch: FirstBatch::Yes,
        run: LogRun {
            id: "another first run",
            follows: "",
        },
        expiry: None,
    };
    assert_eq!(log.append(&again, batch).await.unwrap().added, 2);
    let snapshot = log.snapshot(&again).await.unwrap();
    assert_eq!((ids(&snapshot.messages), snapshot.complete), (vec!["c"], true));
    assert_eq!(ids(&log.snapshot(&TASK).await.unwrap().messages), ["a", "b"]);
}

#[tokio::test]
async fn a_run_that_follows_goes_on_and_a_run_that_was_reset_begins_anew() {
    let (_redis, log) = redis_and_log().await;
    let by = async |id: &'static str, follows: &'static str, first, texts: &[&str], first_batch| {
        let batch = Batch {
            parts: &[Part {
                producer: "outbox",
                events: &numbered(first, texts.iter().map(|text| done(text))),
            }],
            cursor: None,
            first_batch,
            run: LogRun { id, follows },
            expiry: None,
        };
        log.append(&TASK, batch).await.unwrap()
    };
    let messages = async || -> (Vec<String>, bool) {
        let snapshot = log.snapshot(&TASK).await.unwrap();
        let ids = ids(&snapshot.messages).into_iter().map(str::to_owned).collect();
        (ids, snapshot.complete)
    };
    let first = by("run-1", "", 1, &["a", "b"], FirstBatch::Yes).await;
    // The second run repeats an entry that was not acknowledged.
    let second = by("run-2", "run-1", 2, &["b", "c"], FirstBatch::No).await;
    assert_eq!((second.added, second.opened_epoch), (1, false));
    // A late writer of the first run.
    assert!(!by("run-1", "", 2, &["b"], FirstBatch::No).await.opened_epoch);
    assert_eq!(messages().await, (vec!["a".into(), "b".into(), "c".into()], true));

    // The second run was reset to its begin: its entries have the same numbers and may differ.
    let reset = by("run-3", "run-1", 2, &["b", "d"], FirstBatch::No).await;
    assert!(reset.opened_epoch && reset.last.epoch > first.last.epoch, "{reset:?}");
    assert_eq!(messages().await, (vec!["b".into(), "d".into()], false));
    let follows = by("run-4", "run-3", 4, &["e"], FirstBatch::No).await;
    assert_eq!((follows.added, follows.opened_epoch), (1, false));
    // The first run was reset.
    assert!(by("run-5", "", 1, &["f"], FirstBatch::Yes).await.opened_epoch);
    assert_eq!(messages().await, (vec!["f".into()], true));
}

#[tokio::test]
async fn a_log_keeps_no_more_bytes_than_its_limit() {
    let redis = Redis::start().await.unwrap();
    let settings = LogSettings {
        max_bytes: 64 << 10,
        ..LogSettings::default()
    };
    let log = log_on(&redis, settings);
    begin(&log, &[]).await;
    let large = |id: u64| event(text_done(&id.to_string(), &"x".repeat(5_000)));
    for counter in 1..=60 {
        append(&log, "model", &numbered(counter, [large(counter)]), None)
            .await
            .unwrap();
        let snapshot = log.snapshot(&TASK).await.unwrap();
        let bytes: usize = snapshot.messages.len() * 5_000;
        assert!(bytes <= 64 << 10, "{bytes} bytes");
        assert_eq!(snapshot.messages.last().unwrap().id, counter.to_string());
    }
    let snapshot = log.snapshot(&TASK).await.unwrap();
    assert!(snapshot.messages.len() >= 10, "{} messages", snapshot.messages.len());
    assert!(!snapshot.complete);
    // The count is that of the entries which are left.
    let entries: Vec<(String, Vec<String>)> = command(&redis, &["XRANGE", &log.key(&TASK), "-", "+"]).await;
    let counted: usize = command(&redis, &["HGET", &format!("{}:producers", log.key(&TASK)), "@bytes"]).await;
    assert_eq!(
        counted,
        entries.iter().map(|(_, fields)| fields[1].len()).sum::<usize>()
    );

    // An event that is larger than the limit is kept alone.
    let huge = event(text_done("huge", &"x".repeat(70_000)));
    append(&log, "model", &numbered(61, [huge]), None).await.unwrap();
    assert_eq!(ids(&log.snapshot(&TASK).await.unwrap().messages), ["huge"]);
}

#[tokio::test]
async fn nothing_is_appended_to_an_erased_log() {
    let (redis, log) = redis_and_log().await;
    let first = begin(&log, &numbered(1, [done("secret")])).await;
    let place = SpillPlace {
        log: &TASK,
        run_id: "first-run",
        turn: 1,
        step: 0,
    };
    log.put_spill(place, b"secret").await.unwrap();
    log.erase(&TASK).await.unwrap();
    // An activity that still runs.
    log.put_spill(place, b"secret").await.unwrap();
    let late = append(&log, "model", &numbered(1, [done("secret")]), Some(first.last))
        .await
        .unwrap();
    assert_eq!((late.added, late.opened_epoch), (0, false));
    let keys: Vec<String> = command(&redis, &["KEYS", "*"]).await;
    assert_eq!(keys, [format!("{}:producers", log.key(&TASK))]);
    let left: Vec<String> = command(&redis, &["HGETALL", &keys[0]]).await;
    assert_eq!(left, ["@erased", "1"]);
    assert_eq!(log.snapshot(&TASK).await.unwrap(), Snapshot::default());
}

#[tokio::test]
async fn an_append_says_how_long_the_log_is_kept_and_others_keep_to_it() {
    let (redis, log) = redis_and_log().await;
    let key = log.key(&TASK);
    let by = async |producer, expiry| {
        let batch = Batch {
            parts: &[Part {
                producer,
                events: &numbered(1, [done("a")]),
            }],
            cursor: None,
            first_batch: FirstBatch::Yes,
            run: RUN,
            expiry,
        };
        log.append(&TASK, batch).await.unwrap();
        let left: i64 = command(&redis, &["PTTL", &key]).await;
        let of_producers: i64 = command(&redis, &["PTTL", &format!("{key}:producers")]).await;
        assert!((left - of_producers).abs() < 1_000, "{left} {of_producers}");
        Duration::from_millis(u64::try_from(left).unwrap())
    };
    let is = |left: Duration, expected: Duration| left <= expected && left + Duration::from_secs(30) > expected;
    assert!(is(by("nested", None).await, LogSettings::default().expiry));
    assert!(is(
        by("task", Some(Duration::from_hours(1))).await,
        Duration::from_hours(1)
    ));
    assert!(is(by("another", None).await, Duration::from_hours(1)));
}
