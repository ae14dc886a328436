//! Reads the logs of all runs in Redis, whoever writes them: a stream per run, one field per entry.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context as _;
use redis::{AsyncConnectionConfig, aio::MultiplexedConnection, cmd};

use crate::{bench::stamps, redis::Redis};

/// A position before the first entry.
const START: &str = "0";
/// Entries of one stream per answer.
const COUNT: usize = 1_000;

/// An entry of a log.
#[derive(Clone, Debug)]
pub(super) struct LogEntry {
    /// The key of the stream.
    pub(super) key: String,
    /// When it was read, in microseconds since 1970.
    pub(super) read_at: u64,
    pub(super) bytes: Vec<u8>,
}

type RawEntry = (String, Vec<(String, Vec<u8>)>);

/// The logs that are watched, and how far each has been read.
pub(super) struct LogReader {
    connection: MultiplexedConnection,
    positions: BTreeMap<String, String>,
    /// Where the log of a key may be instead.
    other_keys: BTreeMap<String, String>,
}

impl LogReader {
    pub(super) async fn connect(redis: &Redis) -> anyhow::Result<Self> {
        let client = redis::Client::open(redis.url()).context("read the address of Redis")?;
        // A read waits on purpose.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .context("connect to Redis")?;
        Ok(Self {
            connection,
            positions: BTreeMap::new(),
            other_keys: BTreeMap::new(),
        })
    }

    /// Watches a log from its first entry.
    pub(super) fn watch(&mut self, key: String) {
        self.positions.entry(key).or_insert_with(|| START.to_owned());
    }

    /// Watches another key too: its entries are those of the log `key`.
    pub(super) fn watch_also(&mut self, other: String, key: String) {
        self.watch(other.clone());
        self.other_keys.insert(other, key);
    }

    /// The keys that match a pattern.
    pub(super) async fn keys(&self, pattern: &str) -> anyhow::Result<Vec<String>> {
        let mut connection = self.connection.clone();
        let mut keys = Vec::new();
        let mut cursor = 0_u64;
        loop {
            let (next, page): (u64, Vec<String>) = cmd("SCAN")
                .arg(cursor)
                .arg("MATCH")
                .arg(pattern)
                .arg("COUNT")
                .arg(COUNT)
                .query_async(&mut connection)
                .await
                .with_context(|| format!("look for {pattern} in Redis"))?;
            keys.extend(page);
            cursor = next;
            if cursor == 0 {
                return Ok(keys);
            }
        }
    }

    pub(super) fn forget(&mut self, key: &str) {
        self.positions.remove(key);
        let positions = &mut self.positions;
        self.other_keys.retain(|other, log| {
            if log == key {
                positions.remove(other);
            }
            log != key
        });
    }

    /// Appends an entry with one field.
    pub(super) async fn append(&mut self, key: &str, field: &str, value: &str) -> anyhow::Result<()> {
        cmd("XADD")
            .arg(key)
            .arg("*")
            .arg(field)
            .arg(value)
            .exec_async(&mut self.connection)
            .await
            .with_context(|| format!("append to {key}"))
    }

    /// The entries since the last read; waits up to `wait` for the first of them. Without watched logs it only waits.
    pub(super) async fn read(&mut self, wait: Duration) -> anyhow::Result<Vec<LogEntry>> {
        if self.positions.is_empty() {
            tokio::time::sleep(wait).await;
            return Ok(Vec::new());
        }
        let mut command = cmd("XREAD");
        command.arg("COUNT").arg(COUNT);
        command
            .arg("BLOCK")
            .arg(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1));
        command.arg("STREAMS");
        for key in self.positions.keys() {
            command.arg(key);
        }
        for position in self.positions.values() {
            command.arg(position);
        }
        let answer: Option<Vec<(String, Vec<RawEntry>)>> = command
            .query_async(&mut self.connection)
            .await
            .context("read the logs in Redis")?;
        let read_at = stamps::now_micros();
        let mut entries = Vec::new();
        for (key, raw) in answer.unwrap_or_default() {
            if let Some((last, _)) = raw.last() {
                self.positions.insert(key.clone(), last.clone());
            }
            let log = self.other_keys.get(&key).unwrap_or(&key);
            let fields = raw.into_iter().flat_map(|(_, fields)| fields);
            entries.extend(fields.map(|(_, bytes)| LogEntry {
                key: log.clone(),
                read_at,
                bytes,
            }));
        }
        Ok(entries)
    }
}
