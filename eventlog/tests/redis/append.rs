//! Appending and reading by range.

use std::time::Duration;

use steadfast_eventlog::{Batch, FirstBatch, LogSettings, Snapshot, SpillPlace};
use steadfast_events::{
    EntryId,
    testing::{message, text},
};
use steadfast_testkit::Redis;

use super::support::{TASK, append, begin, command, done, ids, log_on, numbered, redis_and_log};

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
            messages: vec![message("a", text("a")), message("b", text("b"))],
            complete: true,
            ended: false,
            last: Some(appended.last)
        }
    );

    log.append(
        "other",
        Batch {
            producer: "model",
            events: &numbered(1, [done("c")]),
            cursor: None,
            first_batch: FirstBatch::No,
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
async fn a_log_that_ends_before_the_cursor_of_its_producer_opens_a_new_epoch() {
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
async fn the_first_events_sent_again_do_not_make_a_lost_log_complete() {
    let (redis, log) = redis_and_log().await;
    let first = begin(&log, &numbered(1, [done("a")])).await;
    append(&log, "model", &numbered(1, [done("b")]), None).await.unwrap();
    let _: String = command(&redis, &["FLUSHALL"]).await;
    let batch = Batch {
        producer: "outbox",
        events: &numbered(1, [done("a")]),
        cursor: Some(first.last),
        first_batch: FirstBatch::Yes,
    };
    log.append(TASK, batch).await.unwrap();
    let snapshot = log.snapshot(TASK).await.unwrap();
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
