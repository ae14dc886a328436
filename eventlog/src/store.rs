//! The log in Redis: appending through one script, reading by range, and the
//! small spills beside it. Every call ends within the time limit; nothing here
//! retries, because the caller knows what may be lost and what may not.

use std::{sync::Arc, time::Duration};

use redis::{Cmd, ErrorKind, ServerErrorKind, cmd};
use steadfast_events::{EntryId, Event, EventKind, Fold, Message};

use crate::{
    connection::Connection,
    connector::RedisConnector,
    entry::{Entry, FIELD, RawEntry, parse_raw},
    error::LogError,
};

const APPEND: &str = include_str!("append.lua");
/// Attempts of activities are producers too; older ones than these no longer retry.
const MAX_PRODUCERS: usize = 512;
/// Entries read at once.
const PAGE: usize = 500;

/// How a log is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// What stands before `{<task id>}` in the name of a stream.
    pub key_prefix: String,
    /// What stands before `{<task id>}` in the name of a spill.
    pub spill_prefix: String,
    /// About how many entries of a task are kept.
    pub max_entries: usize,
    /// How long after its last entry a log is kept.
    pub expiry: Duration,
    /// How long a finished model call waits for its activity to complete.
    pub spill_expiry: Duration,
    /// The longest that any call to Redis may take.
    pub time_limit: Duration,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            key_prefix: "stream:".to_owned(),
            spill_prefix: "spill:".to_owned(),
            max_entries: 50_000,
            expiry: Duration::from_hours(7 * 24),
            spill_expiry: Duration::from_hours(24),
            time_limit: Duration::from_secs(2),
        }
    }
}

impl LogSettings {
    /// The settings of an install that shares its Redis with others: its id
    /// stands before every key. An empty id leaves the names as they are.
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

/// An event and its place among its producer's events.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Numbered {
    /// Rises with each event of a producer; starts at 1.
    pub counter: u64,
    pub event: Event,
}

/// What one producer appends in one go.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Who appends, unique within the task: one attempt of an activity, or the
    /// workflow. One producer has one append under way at a time.
    pub producer: &'a str,
    /// In rising order of counters. What this producer appended before is left out.
    pub events: &'a [Numbered],
    /// The highest entry the producer knows of; if the log does not reach it, it
    /// lost its tail and starts a new epoch.
    pub seen: Option<EntryId>,
    pub genesis: Genesis,
}

/// Whether a batch holds the first events of its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Genesis {
    /// It starts the task: a log that begins with it is complete.
    Yes,
    No,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The last entry of the log now; what to give as `seen` next time.
    pub last: EntryId,
    /// Entries written, the one that opens an epoch included.
    pub added: usize,
    /// The log was missing or had lost its tail. What the producer appended in
    /// this attempt before may be gone: it should append its finished messages again.
    pub opened_epoch: bool,
}

/// A whole log, folded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    pub messages: Vec<Message>,
    /// The log holds every event of the task; if not, the rest is in Temporal.
    pub complete: bool,
    /// The last entry that went in; live entries go on after it.
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
}

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
            }),
        }
    }

    /// Name of the stream of a task.
    pub fn key(&self, task_id: &str) -> String {
        format!("{}{{{task_id}}}", self.inner.settings.key_prefix)
    }

    pub(crate) fn connector(&self) -> &RedisConnector {
        self.inner.connection.connector()
    }

    pub(crate) fn time_limit(&self) -> Duration {
        self.inner.settings.time_limit
    }

    pub(crate) async fn query<T: redis::FromRedisValue>(&self, command: &Cmd) -> Result<T, LogError> {
        self.inner.connection.query(command).await
    }

    /// Whether Redis answers.
    pub async fn ping(&self) -> Result<(), LogError> {
        self.query(&cmd("PING")).await
    }

    /// Appends a batch. Safe to repeat after an error: what had arrived is left out.
    pub async fn append(&self, task_id: &str, batch: Batch<'_>) -> Result<Appended, LogError> {
        let by_hash = self.append_command("EVALSHA", &self.inner.script_hash, task_id, batch)?;
        let answer = match self.query(&by_hash).await {
            Err(LogError::Refused(error)) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.query(&self.append_command("EVAL", APPEND, task_id, batch)?).await
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

    fn append_command(&self, command: &str, script: &str, task_id: &str, batch: Batch<'_>) -> Result<Cmd, LogError> {
        let settings = &self.inner.settings;
        let stream = self.key(task_id);
        let opening = Event {
            kind: EventKind::LogOpened {
                // Who has seen entries that are gone cannot begin the log anew.
                complete: batch.genesis == Genesis::Yes && batch.seen.is_none(),
            },
            turn: batch.events.first().map_or(0, |first| first.event.turn),
            attempt: 1,
            agent: batch
                .events
                .first()
                .map_or_else(String::new, |first| first.event.agent.clone()),
            path: String::new(),
            time: jiff::Timestamp::now(),
        };
        let seen = batch.seen.unwrap_or(EntryId { epoch: 0, number: 0 });
        let mut command = cmd(command);
        command
            .arg(script)
            .arg(2)
            .arg(&stream)
            .arg(format!("{stream}:producers"))
            .arg(FIELD)
            .arg(seen.epoch)
            .arg(seen.number)
            .arg(encode(&opening)?)
            .arg(batch.producer)
            .arg(milliseconds(settings.expiry))
            .arg(settings.max_entries)
            .arg(MAX_PRODUCERS);
        for Numbered { counter, event } in batch.events {
            command.arg(counter).arg(encode(event)?);
        }
        Ok(command)
    }

    /// The last entry's id; `None` when there is no log.
    pub async fn tail(&self, task_id: &str) -> Result<Option<EntryId>, LogError> {
        let entries: Vec<RawEntry> = self
            .query(
                cmd("XREVRANGE")
                    .arg(self.key(task_id))
                    .arg("+")
                    .arg("-")
                    .arg("COUNT")
                    .arg(1),
            )
            .await?;
        Ok(entries.first().and_then(|(id, _)| id.parse().ok()))
    }

    /// The entries that follow `after`, a page of them; empty at the end.
    pub async fn page_after(&self, task_id: &str, after: Option<EntryId>) -> Result<Vec<Entry>, LogError> {
        let start = after.map_or_else(|| "-".to_owned(), |id| format!("({id}"));
        let entries: Vec<RawEntry> = self
            .query(
                cmd("XRANGE")
                    .arg(self.key(task_id))
                    .arg(start)
                    .arg("+")
                    .arg("COUNT")
                    .arg(PAGE),
            )
            .await?;
        Ok(entries.into_iter().filter_map(parse_raw).collect())
    }

    /// The entries that come before `before`, the latest first, a page of them.
    pub async fn page_before(&self, task_id: &str, before: EntryId) -> Result<Vec<Entry>, LogError> {
        let entries: Vec<RawEntry> = self
            .query(
                cmd("XREVRANGE")
                    .arg(self.key(task_id))
                    .arg(format!("({before}"))
                    .arg("-")
                    .arg("COUNT")
                    .arg(PAGE),
            )
            .await?;
        Ok(entries.into_iter().filter_map(parse_raw).collect())
    }

    /// Reads and folds the whole log of a task.
    pub async fn snapshot(&self, task_id: &str) -> Result<Snapshot, LogError> {
        self.snapshot_until(
            task_id,
            EntryId {
                epoch: u64::MAX,
                number: u64::MAX,
            },
        )
        .await
    }

    /// Reads and folds the log of a task up to an entry.
    pub async fn snapshot_until(&self, task_id: &str, until: EntryId) -> Result<Snapshot, LogError> {
        let mut fold = Fold::default();
        let mut last: Option<EntryId> = None;
        let mut complete = true;
        'pages: loop {
            let page = self.page_after(task_id, last).await?;
            if page.is_empty() {
                break;
            }
            for entry in &page {
                if entry.id > until {
                    break 'pages;
                }
                complete &= is_next(last, entry);
                fold.apply(&entry.event);
                last = Some(entry.id);
            }
        }
        Ok(Snapshot {
            messages: fold.into_messages(),
            complete: complete && last.is_some(),
            last,
        })
    }

    /// Keeps the result of a finished model call until its activity has completed.
    pub async fn put_spill(&self, place: SpillPlace<'_>, value: &[u8]) -> Result<(), LogError> {
        let expiry = milliseconds(self.inner.settings.spill_expiry);
        self.query(cmd("SET").arg(self.spill_key(place)).arg(value).arg("PX").arg(expiry))
            .await
    }

    /// The result of a model call that an earlier attempt finished.
    pub async fn get_spill(&self, place: SpillPlace<'_>) -> Result<Option<Vec<u8>>, LogError> {
        self.query(cmd("GET").arg(self.spill_key(place))).await
    }

    fn spill_key(&self, SpillPlace { task_id, turn, step }: SpillPlace<'_>) -> String {
        format!("{}{{{task_id}}}:{turn}:{step}", self.inner.settings.spill_prefix)
    }
}

/// The model call that a spill belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpillPlace<'a> {
    pub task_id: &'a str,
    pub turn: u32,
    pub step: u32,
}

/// Whether an entry follows what was read so far with nothing lost between.
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
