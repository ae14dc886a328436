//! The log in Redis: appends by one script, and reads by range. Beside the logs it
//! keeps the results of finished model calls (`spill.rs`) and the attempts that run
//! (`attempts.rs`). Every call ends within the time limit. Nothing here retries: the
//! caller knows which loss matters.

mod attempts;
mod spill;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use redis::{Cmd, ErrorKind, ServerErrorKind, cmd};
use steadfast_events::{EntryId, Event, EventKind, Fold, LogId, Message, TaskStatus};

pub use self::spill::SpillPlace;
use crate::{
    connection::Connection,
    connector::RedisConnector,
    entry::{Entry, FIELD, RawEntry, parse_raw},
    error::LogError,
};

const APPEND: &str = include_str!("append.lua");
/// The field `@erased` of the producers' hash is known to `append.lua`.
const ERASE: &str = "
    redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3])
    redis.call('HSET', KEYS[2], '@erased', '1')
    redis.call('PEXPIRE', KEYS[2], ARGV[1])";
/// Every attempt of an activity is a producer of its own; older ones no longer retry.
const MAX_PRODUCERS: usize = 512;
/// Entries read at once.
const PAGE: usize = 500;

/// Names, sizes and time limits of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// Prefix of a stream's key, before `{<task id>}:<first run id>`.
    pub key_prefix: String,
    /// Prefix of a spill's key, before `{<task id>}:<first run id>`.
    pub spill_prefix: String,
    /// Most entries of a task that are kept.
    pub max_entries: usize,
    /// Most bytes of a task's events that are kept.
    pub max_bytes: usize,
    /// Time after its last entry for which a log is kept, where no append has named another.
    pub expiry: Duration,
    /// Time for which the result of a finished model call is kept.
    pub spill_expiry: Duration,
    /// Longest time of any call to Redis, connecting included.
    pub time_limit: Duration,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            key_prefix: "stream:".to_owned(),
            spill_prefix: "spill:".to_owned(),
            max_entries: 50_000,
            max_bytes: 16 << 20,
            expiry: Duration::from_hours(7 * 24),
            spill_expiry: Duration::from_hours(24),
            time_limit: Duration::from_secs(2),
        }
    }
}

impl LogSettings {
    /// The settings of an installation: its id is the prefix of every key, so that
    /// several can share a Redis. An empty id adds no prefix.
    pub fn for_install(install: &str) -> Self {
        let settings = Self::default();
        if install.is_empty() {
            return settings;
        }
        Self {
            key_prefix: format!("{install}:{}", settings.key_prefix),
            spill_prefix: format!("{install}:{}", settings.spill_prefix),
            ..settings
        }
    }
}

/// An event and its number among the events of its producer.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Numbered {
    /// Rises with each event of a producer; starts at 1.
    pub counter: u64,
    /// The event.
    pub event: Event,
}

/// The events of one producer in a batch.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Name of the producer, unique within the task: one attempt of an activity, or the workflow.
    pub producer: &'a str,
    /// In rising order of counters. Events that this producer appended before are skipped.
    pub events: &'a [Numbered],
}

/// Events that are appended together.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// What each producer appends, in this order.
    pub parts: &'a [Part<'a>],
    /// The last entry that the producer knows of. If the log does not reach it, the
    /// log has lost its tail and a new epoch begins.
    pub cursor: Option<EntryId>,
    /// Whether these are the first events of the task.
    pub first_batch: FirstBatch,
    /// The run whose events these are.
    pub run: LogRun<'a>,
    /// Time after its last entry for which the log is kept; as the appends before have named it when absent.
    pub expiry: Option<Duration>,
}

/// A run of the task that has the log. A run that neither appended before nor follows the run that did repeats a part
/// of the task, because its workflow was reset: the log then begins a new epoch and forgets what it held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogRun<'a> {
    /// Id of the run.
    pub id: &'a str,
    /// The run that appended before this one; empty for the first.
    pub follows: &'a str,
}

/// Whether a batch holds the first events of its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstBatch {
    /// Yes: a log that begins with this batch is complete.
    Yes,
    /// No.
    No,
}

/// Result of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The last entry of the log now: the `cursor` of the next batch.
    pub last: EntryId,
    /// Entries written, including the one that opens an epoch.
    pub added: usize,
    /// The log was missing or had lost its tail. Earlier entries of this producer may
    /// be gone: it should append its finished messages again.
    pub opened_epoch: bool,
}

/// The messages of a whole log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// In order of first appearance.
    pub messages: Vec<Message>,
    /// Whether the log holds every event of the task. If not, the history in Temporal has the rest.
    pub complete: bool,
    /// Whether the log tells that the task has ended. A log that was away at the end does not.
    pub ended: bool,
    /// The latest end of a turn of the task itself. Who waits for it does not get it after the snapshot.
    pub turn_end: Option<Arc<Entry>>,
    /// The last entry that was read; a subscription continues after it.
    pub last: Option<EntryId>,
}

/// The logs of all tasks. Cheap to clone.
#[derive(Clone)]
pub struct EventLog {
    inner: Arc<Inner>,
}

struct Inner {
    connection: Connection,
    settings: LogSettings,
    script_hash: String,
    observe: Option<CallObserver>,
}

/// Told of each call to Redis: the command, the error if there was one, and how long it took.
pub type CallObserver = Box<dyn Fn(&str, Option<&LogError>, Duration) + Send + Sync>;

impl EventLog {
    /// Connects at the first use, and again whenever needed.
    #[must_use]
    pub fn new(redis: RedisConnector, settings: LogSettings) -> Self {
        let connection = Connection::new(redis, settings.time_limit);
        let script_hash = redis::Script::new(APPEND).get_hash().to_owned();
        Self {
            inner: Arc::new(Inner {
                connection,
                settings,
                script_hash,
                observe: None,
            }),
        }
    }

    /// The same, with an observer of its calls. A log that was cloned before goes on without one.
    #[must_use]
    pub fn observed_by(mut self, observe: CallObserver) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.observe = Some(observe);
        }
        self
    }

    /// Key of the stream of a log.
    pub fn key(&self, log: &LogId) -> String {
        keyed(&self.inner.settings.key_prefix, log)
    }

    fn producers_key(&self, log: &LogId) -> String {
        format!("{}:producers", self.key(log))
    }

    fn spill_key(&self, log: &LogId) -> String {
        keyed(&self.inner.settings.spill_prefix, log)
    }

    pub(crate) fn connector(&self) -> &RedisConnector {
        self.inner.connection.connector()
    }

    pub(crate) fn time_limit(&self) -> Duration {
        self.inner.settings.time_limit
    }

    pub(crate) async fn query<T: redis::FromRedisValue>(&self, command: &Cmd) -> Result<T, LogError> {
        let begin = Instant::now();
        let answer = self.inner.connection.query(command).await;
        if let Some(observe) = &self.inner.observe {
            observe(name_of(command), answer.as_ref().err(), begin.elapsed());
        }
        answer
    }

    /// Succeeds if Redis answers.
    pub async fn ping(&self) -> Result<(), LogError> {
        self.query(&cmd("PING")).await
    }

    /// Appends a batch. Safe to repeat after an error: events that had arrived are skipped.
    /// An erased log takes nothing: the batch counts as appended.
    pub async fn append(&self, log: &LogId, batch: Batch<'_>) -> Result<Appended, LogError> {
        let by_hash = self.append_command("EVALSHA", &self.inner.script_hash, log, batch)?;
        let answer = match self.query(&by_hash).await {
            Err(LogError::Refused(error)) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.query(&self.append_command("EVAL", APPEND, log, batch)?).await
            }
            answer => answer,
        };
        let (epoch, number, added, opened): (u64, u64, usize, u8) = answer?;
        Ok(Appended {
            last: EntryId { epoch, number },
            added,
            opened_epoch: opened == 1,
        })
    }

    fn append_command(&self, command: &str, script: &str, log: &LogId, batch: Batch<'_>) -> Result<Cmd, LogError> {
        let settings = &self.inner.settings;
        let first = batch.parts.iter().flat_map(|part| part.events).next();
        let opening = Event {
            kind: EventKind::LogOpened {
                // A producer that knows of entries which are gone does not hold the task from its beginning.
                complete: batch.first_batch == FirstBatch::Yes && batch.cursor.is_none(),
            },
            turn: first.map_or(0, |first| first.event.turn),
            attempt: 1,
            agent: first.map_or_else(String::new, |first| first.event.agent.clone()),
            path: String::new(),
            time: jiff::Timestamp::now(),
        };
        let cursor = batch.cursor.unwrap_or(EntryId { epoch: 0, number: 0 });
        let mut command = cmd(command);
        command
            .arg(script)
            .arg(2)
            .arg(self.key(log))
            .arg(self.producers_key(log))
            .arg(FIELD)
            .arg(cursor.epoch)
            .arg(cursor.number)
            .arg(encode(&opening)?)
            .arg(batch.run.id)
            .arg(batch.run.follows)
            .arg(batch.expiry.map_or(0, milliseconds))
            .arg(milliseconds(settings.expiry))
            .arg(settings.max_entries)
            .arg(settings.max_bytes)
            .arg(MAX_PRODUCERS);
        for Part { producer, events } in batch.parts {
            command.arg(producer).arg(events.len());
            for Numbered { counter, event } in *events {
                command.arg(counter).arg(encode(event)?);
            }
        }
        Ok(command)
    }

    /// Id of the last entry; `None` when there is no log.
    pub async fn tail(&self, log: &LogId) -> Result<Option<EntryId>, LogError> {
        let entries: Vec<RawEntry> = self
            .query(
                cmd("XREVRANGE")
                    .arg(self.key(log))
                    .arg("+")
                    .arg("-")
                    .arg("COUNT")
                    .arg(1),
            )
            .await?;
        Ok(entries.first().and_then(|(id, _)| id.parse().ok()))
    }

    /// A page of the entries after `after`; empty at the end.
    pub async fn page_after(&self, log: &LogId, after: Option<EntryId>) -> Result<Vec<Entry>, LogError> {
        let start = after.map_or_else(|| "-".to_owned(), |id| format!("({id}"));
        let entries: Vec<RawEntry> = self
            .query(
                cmd("XRANGE")
                    .arg(self.key(log))
                    .arg(start)
                    .arg("+")
                    .arg("COUNT")
                    .arg(PAGE),
            )
            .await?;
        Ok(entries.into_iter().filter_map(parse_raw).collect())
    }

    /// A page of the entries before `before`, or of the last ones; latest first.
    pub async fn page_before(&self, log: &LogId, before: Option<EntryId>) -> Result<Vec<Entry>, LogError> {
        let end = before.map_or_else(|| "+".to_owned(), |id| format!("({id}"));
        let entries: Vec<RawEntry> = self
            .query(
                cmd("XREVRANGE")
                    .arg(self.key(log))
                    .arg(end)
                    .arg("-")
                    .arg("COUNT")
                    .arg(PAGE),
            )
            .await?;
        Ok(entries.into_iter().filter_map(parse_raw).collect())
    }

    /// What `find` finds first in the entries before `before`, or in all, latest first; `None` where so many pages do
    /// not have it.
    pub async fn find_back<T>(
        &self,
        log: &LogId,
        mut before: Option<EntryId>,
        pages: usize,
        mut find: impl FnMut(&Entry) -> Option<T>,
    ) -> Result<Option<T>, LogError> {
        for _ in 0..pages {
            // On the heap: whoever searches would carry the size of a read, and of all that it waits for.
            let page = Box::pin(self.page_before(log, before)).await?;
            if let Some(found) = page.iter().find_map(&mut find) {
                return Ok(Some(found));
            }
            match page.last() {
                Some(entry) => before = Some(entry.id),
                None => break,
            }
        }
        Ok(None)
    }

    /// Reads and folds the whole log of a task.
    pub async fn snapshot(&self, log: &LogId) -> Result<Snapshot, LogError> {
        self.snapshot_until(
            log,
            EntryId {
                epoch: u64::MAX,
                number: u64::MAX,
            },
        )
        .await
    }

    /// Reads and folds the log of a task up to an entry.
    pub async fn snapshot_until(&self, log: &LogId, until: EntryId) -> Result<Snapshot, LogError> {
        let mut fold = Fold::default();
        let mut last: Option<EntryId> = None;
        let mut complete = true;
        let mut ended = false;
        let mut turn_end = None;
        'pages: loop {
            let page = self.page_after(log, last).await?;
            if page.is_empty() {
                break;
            }
            for entry in page {
                if entry.id > until {
                    break 'pages;
                }
                complete &= is_next(last, &entry);
                ended |= tells_end(&entry.event);
                fold.apply(&entry.event);
                last = Some(entry.id);
                if is_turn_end(&entry.event) {
                    turn_end = Some(Arc::new(entry));
                }
            }
        }
        Ok(Snapshot {
            messages: fold.into_messages(),
            complete: complete && last.is_some(),
            ended,
            turn_end,
            last,
        })
    }

    /// Deletes a log and the spill of its task. Activities that still run append nothing to it any more.
    pub async fn erase(&self, log: &LogId) -> Result<(), LogError> {
        self.query(
            cmd("EVAL")
                .arg(ERASE)
                .arg(3)
                .arg(self.key(log))
                .arg(self.producers_key(log))
                .arg(self.spill_key(log))
                .arg(milliseconds(self.inner.settings.expiry)),
        )
        .await
    }
}

/// The name of a command: one of those in this file.
fn name_of(command: &Cmd) -> &str {
    match command.args_iter().next() {
        Some(redis::Arg::Simple(name)) => str::from_utf8(name).unwrap_or_default(),
        _ => "",
    }
}

/// Whether an event says that the task has ended; not an agent that runs as one of its tools.
fn tells_end(event: &Event) -> bool {
    let is_end = matches!(event.kind, EventKind::TaskUpdated { status, .. } if status != TaskStatus::Running);
    is_end && event.path.is_empty()
}

/// Whether a turn of the task itself has ended.
fn is_turn_end(event: &Event) -> bool {
    event.path.is_empty() && matches!(event.kind, EventKind::TurnEnded { .. })
}

fn keyed(prefix: &str, LogId { task_id, first_run_id }: &LogId) -> String {
    format!("{prefix}{{{task_id}}}:{first_run_id}")
}

/// Whether an entry directly follows the last one read, with nothing lost between.
pub(crate) fn is_next(last: Option<EntryId>, entry: &Entry) -> bool {
    match last {
        Some(last) => last.is_followed_by(entry.id),
        None => entry.id.number == 1 && entry.event.kind == EventKind::LogOpened { complete: true },
    }
}

fn encode(event: &Event) -> Result<Vec<u8>, LogError> {
    serde_json::to_vec(event).map_err(LogError::Encode)
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
