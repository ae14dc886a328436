#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{collections::VecDeque, sync::Mutex};

use futures::FutureExt as _;
use steadfast_eventlog::{LogSettings, RedisConnector};
use steadfast_events::{
    Content, TextFormat, TurnStatus, Usage,
    testing::{self, event},
};
use tokio::sync::oneshot;

use super::*;

fn scope() -> WriterScope {
    WriterScope {
        log: LogId::new("task", "run"),
        runs: ("run".to_owned(), String::new()),
        expiry: None,
        producer: "attempt".to_owned(),
        outbox_producer: "outbox".to_owned(),
        end_producer: "end".to_owned(),
        turn: 1,
        attempt: 1,
        agent: "haiku".to_owned(),
        path: String::new(),
        cursor: None,
    }
}

/// A log whose answers the test gives.
#[derive(Clone, Default)]
struct FakeStore(Arc<Mutex<Calls>>);

/// What each call appended, and where its answer goes.
#[derive(Default)]
struct Calls {
    made: Vec<Vec<String>>,
    open: VecDeque<oneshot::Sender<Answer>>,
}

#[derive(Clone, Copy)]
enum Answer {
    Success,
    Failure,
    OpenedEpoch,
}

impl Store for FakeStore {
    fn append(&self, append: Append) -> BoxFuture<'static, (Append, Result<Appended, LogError>)> {
        let (sender, answered) = oneshot::channel();
        {
            let parts = append.parts();
            let events = parts.iter().flat_map(|part| {
                let events = part.events.iter();
                events.map(|numbered| format!("{} {} {}", part.producer, numbered.counter, told(&numbered.event.kind)))
            });
            let mut calls = self.0.lock().unwrap();
            calls.made.push(events.collect());
            calls.open.push_back(sender);
        }
        Box::pin(async move {
            let answer = answered.await.unwrap();
            let appended = Appended {
                last: EntryId { epoch: 1, number: 1 },
                added: 1,
                opened_epoch: matches!(answer, Answer::OpenedEpoch),
            };
            match answer {
                Answer::Failure => (append, Err(LogError::TimedOut(Duration::from_secs(2)))),
                Answer::Success | Answer::OpenedEpoch => (append, Ok(appended)),
            }
        })
    }
}

fn told(kind: &EventKind) -> String {
    match kind {
        EventKind::TextDelta { delta, .. } => format!("+{delta}"),
        EventKind::MessageStarted { message_id, .. } => format!("start {message_id}"),
        EventKind::MessageReset { message_id } => format!("reset {message_id}"),
        EventKind::MessageDone { message } => format!("done {}", message.id),
        EventKind::ModelEnded { .. } => "model ended".to_owned(),
        EventKind::TurnEnded { .. } => "turn ended".to_owned(),
        other => format!("{other:?}"),
    }
}

/// A writer on a clock that the test moves, and a log that answers after a fixed time.
struct Running {
    writer: Writer<FakeStore>,
    store: FakeStore,
    began: Instant,
    /// Milliseconds since then.
    now: u64,
    round_trip: u64,
    /// When the calls under way are answered.
    answers_at: VecDeque<u64>,
    /// What the next calls are answered; success when empty.
    answers: VecDeque<Answer>,
    /// When each call was made.
    sent_at: Vec<u64>,
    open: bool,
}

impl Running {
    fn start(window: &SendWindow, round_trip: u64, outbox: OutboxEvents) -> Self {
        let store = FakeStore::default();
        Self {
            writer: Writer::new(store.clone(), window.join(), scope(), outbox),
            store,
            began: Instant::now(),
            now: 0,
            round_trip,
            answers_at: VecDeque::new(),
            answers: VecDeque::new(),
            sent_at: Vec::new(),
            open: true,
        }
    }

    fn alone(round_trip: u64) -> Self {
        Self::start(&SendWindow::default(), round_trip, OutboxEvents::none())
    }

    fn answering(mut self, answers: impl IntoIterator<Item = Answer>) -> Self {
        self.answers.extend(answers);
        self
    }

    fn delta(&mut self, text: &str) {
        self.publish(EventKind::TextDelta {
            message_id: "m".into(),
            delta: text.into(),
        });
    }

    fn publish(&mut self, event: EventKind) {
        self.writer.apply(Command::Publish(event));
    }

    fn begin_message(&mut self) {
        let content = Content::text("", TextFormat::Markdown);
        self.publish(EventKind::MessageStarted {
            message_id: "m".into(),
            content,
        });
    }

    fn end_turn(&mut self) {
        self.writer.apply(Command::EndTurn(vec![turn_ended()]));
    }

    fn instant(&self) -> Instant {
        self.began + Duration::from_millis(self.now)
    }

    /// Does all that is to be done at this moment, as [`Writer::run`] would.
    fn run_due(&mut self) {
        loop {
            if self.answers_at.front().is_some_and(|at| *at <= self.now) {
                self.answers_at.pop_front();
                let answer = self.answers.pop_front().unwrap_or(Answer::Success);
                let sender = self.store.0.lock().unwrap().open.pop_front().unwrap();
                assert!(sender.send(answer).is_ok());
                let finished = self.writer.in_flight.next().now_or_never().flatten().unwrap();
                let now = self.instant();
                self.writer.finish_append(finished, now);
                continue;
            }
            let now = self.instant();
            match self.writer.due_at(self.open, now) {
                Some(due) if due <= now && !self.writer.is_done(self.open) => {
                    self.writer.send(self.open, now);
                    self.sent_at.push(self.now);
                    self.answers_at.push_back(self.now + self.round_trip);
                }
                _ => return,
            }
        }
    }

    /// Lets time pass.
    fn pass(&mut self, milliseconds: u64) {
        self.run_due();
        for _ in 0..milliseconds {
            self.now += 1;
            self.run_due();
        }
    }

    /// What each call appended.
    fn appended(&self) -> Vec<Vec<String>> {
        self.store.0.lock().unwrap().made.clone()
    }

    /// The same with the times of the calls.
    fn calls(&self) -> Vec<(u64, Vec<String>)> {
        self.sent_at.iter().copied().zip(self.appended()).collect()
    }

    /// The activity waits for the writer.
    fn finish(&mut self) -> Written {
        self.open = false;
        self.run_due();
        while !self.writer.is_done(false) {
            self.pass(1);
        }
        self.writer.written()
    }
}

fn outbox(count: u64) -> OutboxEvents {
    OutboxEvents::of_task((1..=count).map(|counter| Numbered {
        counter,
        event: event(text_done(&format!("o{counter}"))),
    }))
}

fn text_done(id: &str) -> EventKind {
    testing::text_done(id, id)
}

fn turn_ended() -> Numbered {
    Numbered {
        counter: 3,
        event: event(testing::turn_ended(TurnStatus::Completed)),
    }
}

#[test]
fn an_event_is_sent_at_once_and_what_comes_meanwhile_goes_with_the_answer() {
    let mut writer = Running::alone(4);
    writer.delta("a");
    writer.pass(1);
    writer.delta("b");
    writer.pass(1);
    writer.delta("c");
    writer.pass(4);
    // Nothing is under way any more.
    writer.pass(50);
    writer.delta("d");
    writer.pass(4);
    let expected = [
        (0, vec!["attempt 1 +a".to_owned()]),
        (4, vec!["attempt 2 +bc".to_owned()]),
        (56, vec!["attempt 3 +d".to_owned()]),
    ];
    assert_eq!(writer.calls(), expected);
    writer.finish();
}

#[test]
fn a_slow_answer_holds_up_what_comes_meanwhile_for_30_ms_at_most() {
    let mut writer = Running::alone(100);
    for text in ["a", "b", "c", "d", "e", "f"] {
        writer.delta(text);
        writer.pass(25);
    }
    let expected = [
        (0, vec!["attempt 1 +a".to_owned()]),
        (30, vec!["attempt 2 +b".to_owned()]),
        (60, vec!["attempt 3 +c".to_owned()]),
        (90, vec!["attempt 4 +d".to_owned()]),
    ];
    // Four calls are under way at most; the first answer comes after 100 ms.
    assert_eq!(writer.calls()[..4], expected);
    assert_eq!(writer.calls()[4], (120, vec!["attempt 5 +e".to_owned()]));
    writer.finish();
}

#[test]
fn many_writers_gather_for_longer() {
    let window = SendWindow::default();
    let _others: Vec<WindowMember> = (0..19).map(|_| window.join()).collect();
    let mut writer = Running::start(&window, 1, OutboxEvents::none());
    writer.delta("a");
    writer.pass(2);
    for _ in 0..18 {
        writer.delta("b");
        writer.pass(1);
    }
    assert_eq!(writer.sent_at, [0, 20]);
    writer.finish();
}

#[test]
fn the_outbox_the_attempt_and_the_end_of_the_turn_are_one_call_in_this_order() {
    let mut writer = Running::start(&SendWindow::default(), 1, outbox(2));
    writer.publish(EventKind::ModelEnded {
        step: 0,
        usage: Usage::default(),
    });
    writer.end_turn();
    let written = writer.finish();
    let expected = [
        "outbox 1 done o1",
        "outbox 2 done o2",
        "attempt 1 model ended",
        "end 3 turn ended",
    ];
    assert_eq!(writer.appended(), [expected.map(str::to_owned).to_vec()]);
    assert_eq!((written.ack.acked, written.ack.lagging), (2, false));
    assert!(written.turn_ended);
}

#[test]
fn the_end_of_a_turn_waits_for_the_events_before_it() {
    let mut writer = Running::alone(100);
    writer.begin_message();
    writer.pass(1);
    writer.end_turn();
    writer.delta("a");
    writer.pass(50);
    let written = writer.finish();
    assert!(written.turn_ended);
    let expected = [
        vec!["attempt 1 start m".to_owned()],
        vec!["attempt 2 +a".to_owned()],
        vec!["end 3 turn ended".to_owned()],
    ];
    assert_eq!(writer.appended(), expected);
}

#[test]
fn nothing_overtakes_the_outbox() {
    let mut writer = Running::start(&SendWindow::default(), 100, outbox(1)).answering([Answer::Failure]);
    writer.pass(1);
    writer.begin_message();
    writer.pass(90);
    assert_eq!(writer.appended().len(), 1);
    let written = writer.finish();
    let expected = [
        vec!["outbox 1 done o1".to_owned()],
        vec![
            "outbox 1 done o1".to_owned(),
            "attempt 1 reset m".to_owned(),
            "attempt 2 start m".to_owned(),
        ],
    ];
    assert_eq!(writer.appended(), expected);
    assert_eq!(written.ack.acked, 1);
}

#[test]
fn after_a_failure_finished_messages_are_sent_again_and_open_ones_begin_anew() {
    let mut writer = Running::alone(1).answering([Answer::Failure]);
    writer.publish(text_done("n"));
    writer.begin_message();
    writer.delta("Hel");
    writer.pass(5);
    writer.delta("lo");
    writer.pass(100);
    assert_eq!(writer.appended().len(), 1, "it pauses after a failure");
    writer.pass(500);
    let again = [
        "attempt 4 done n",
        "attempt 5 reset m",
        "attempt 6 start m",
        "attempt 7 +Hello",
    ];
    assert_eq!(writer.appended()[1], again);
    assert!(!writer.finish().ack.lagging);
    assert_eq!(writer.appended().len(), 2);
}

#[test]
fn a_log_that_was_lost_gets_all_messages_of_the_attempt_again() {
    let mut writer = Running::alone(1).answering([Answer::Success, Answer::OpenedEpoch]);
    writer.publish(text_done("n"));
    writer.pass(5);
    writer.begin_message();
    writer.pass(5);
    let again = ["attempt 3 done n", "attempt 4 reset m", "attempt 5 start m"];
    assert_eq!(writer.appended()[2], again);
    writer.finish();
}

#[test]
fn the_last_attempt_is_made_without_a_pause() {
    let mut writer = Running::alone(1).answering([Answer::Failure]);
    writer.publish(text_done("n"));
    writer.pass(5);
    assert!(!writer.finish().ack.lagging);
    assert_eq!(writer.calls()[1], (5, vec!["attempt 2 done n".to_owned()]));
}

#[test]
fn what_was_refused_is_lagging_and_the_turn_has_not_ended() {
    let mut writer = Running::start(&SendWindow::default(), 1, outbox(1)).answering([Answer::Failure]);
    writer.publish(text_done("n"));
    writer.end_turn();
    let written = writer.finish();
    assert_eq!(
        (written.ack.acked, written.ack.lagging, written.turn_ended),
        (0, true, false)
    );
}

#[tokio::test]
async fn shutdown_waits_for_the_writer_of_an_activity_that_is_gone() {
    // No server listens there.
    let redis = RedisConnector::from_url("redis://127.0.0.1:1").unwrap();
    let writers = LogWriters::new(EventLog::new(redis, LogSettings::default()));
    let writer = writers.start(scope(), OutboxEvents::none());
    writer.publish(testing::model_started());
    drop(writer);
    assert_eq!(writers.tasks.len(), 1);
    writers.close(Duration::from_mins(1)).await;
    assert!(writers.tasks.is_empty());
}
